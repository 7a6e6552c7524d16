"""How a controller comes to lead, for how long it acts, and that it stops before another one may begin."""

import contextlib
import dataclasses
import logging
import pathlib
import threading
from collections.abc import Iterator

import pytest

from netsre import conventions as c
from netsre.app.control.leading import Only, Shared, Term
from netsre.clock import SECOND, Timestamp
from netsre.errors import EnvironmentUnfit
from netsre.metrics.readings import Readings
from netsre.model.leases import ACTS_FOR, LASTS
from netsre.store.database import Store
from netsre.store.sqlite import FILE_NAME
from tests.unit import burning

MILLISECOND = 10**6


class Boot:
    """A clock that only moves when told."""

    at = 5 * SECOND * MILLISECOND

    def now(self) -> int:
        """Return nanoseconds."""
        return self.at

    def go_on(self, milliseconds: int) -> None:
        """Let time pass."""
        self.at += milliseconds * MILLISECOND


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def boot() -> Boot:
    """Return the clock that leases are acted by."""
    return Boot()


def office(store: Store, boot: Boot, holder: str = "a", node: str = "node") -> Shared:
    """Return the office of a controller that just started."""
    made = Shared(store, node, holder, boot.now)
    made.begin()
    return made


def led(made: Shared) -> Term:
    """Have it lead."""
    term = made.seek()
    assert term is not None
    return term


def expire(store: Store) -> None:
    """Let the lease end by the database's clock."""
    with store.write() as transaction:
        found = transaction.leases.find()
        assert found is not None
        transaction.leases.keep(dataclasses.replace(found, expires_at=Timestamp(found.expires_at - LASTS)))


def leader(made: Shared | Only) -> float:
    """Return what its metric says."""
    readings = Readings()
    made.readings(readings)
    [(_, value)] = readings.numbers[c.CONTROLLER_LEADER]
    return value


def test_the_first_leads_and_the_second_stands_by(store: Store, boot: Boot) -> None:
    """Until the first gives it back; then at once."""
    first, second = office(store, boot), office(store, boot, "b")
    term = led(first)
    assert term.leads()
    assert (second.seek(), second.leader()) == (None, "a")

    with first.keeping(term):
        assert second.seek() is None
    assert not term.leads()
    assert led(second).leads()


def test_who_renews_nothing_acts_no_more_before_another_one_leads(store: Store, boot: Boot) -> None:
    """By its own clock, and says so; a renewal lets it go on."""
    made = office(store, boot)
    term = led(made)
    boot.go_on(ACTS_FOR - 1)
    assert (term.leads(), made.problems()) == (True, [])
    boot.go_on(1)
    assert not term.leads()
    assert [problem.partition(":")[0] for problem in made.problems()] == [
        "lease is not renewed, nothing acts"
    ]
    assert ACTS_FOR < LASTS

    made.renew(term)
    assert (term.leads(), made.problems()) == (True, [])


def test_a_term_that_another_one_followed_is_over_for_ever(
    store: Store, boot: Boot, caplog: pytest.LogCaptureFixture
) -> None:
    """Also within the time for which it could act; it says who leads."""
    first, second = office(store, boot), office(store, boot, "b")
    term = led(first)
    expire(store)
    later = led(second)
    assert (later.epoch or 0) > (term.epoch or 0)

    with caplog.at_level(logging.WARNING):
        first.renew(term)
    assert (term.over(), term.leads()) == (True, False)
    assert "controller is fenced" in caplog.text
    assert "b leads" in caplog.text
    term.renewed(boot.now())
    assert not term.leads()
    with first.keeping(term):
        pass
    assert second.leader() == "b"
    assert first.seek() is None


def test_a_process_that_was_killed_leads_again_at_once(store: Store, boot: Boot) -> None:
    """Nobody else has its name; its last term is over."""
    before = led(office(store, boot))
    again = led(office(store, boot))
    assert (again.epoch or 0) > (before.epoch or 0)


def test_a_database_that_is_away_is_told_and_outlived(
    store: Store, boot: Boot, tmp_path: pathlib.Path
) -> None:
    """Nothing acts after a while; when it is back, the same term goes on."""
    made, other = office(store, boot), office(store, boot, "b")
    term = led(made)
    (tmp_path / FILE_NAME).rename(tmp_path / "away")
    made.renew(term)
    assert term.leads()
    boot.go_on(ACTS_FOR)
    assert not term.leads()
    assert "was deleted" in made.problems()[0]
    assert other.seek() is None
    assert "was deleted" in other.problems()[0]
    assert leader(made) == 0

    (tmp_path / "away").rename(tmp_path / FILE_NAME)
    made.renew(term)
    assert (term.leads(), made.problems(), leader(made)) == (True, [], 1)
    assert (other.seek(), other.problems()) == (None, [])


def test_a_lease_is_renewed_as_long_as_it_is_kept(store: Store, boot: Boot) -> None:
    """In a thread; a term that is over by then ends."""
    made = office(store, boot)
    term = led(made)
    expire(store)
    renewed = threading.Event()
    with made.keeping(term):
        while not renewed.wait(0.05):
            with store.read() as transaction:
                found = transaction.leases.find()
                if found is not None and found.expires_at > transaction.leases.now():
                    renewed.set()
    with store.read() as transaction:
        found = transaction.leases.find()
    assert found is not None
    assert found.expires_at == 0


def test_controllers_of_another_node_are_refused(store: Store, boot: Boot) -> None:
    """One line: what one began on its node the other would go on with on its own."""
    led(office(store, boot))
    with pytest.raises(EnvironmentUnfit, match="of controllers for node node, this one is for other; give"):
        office(store, boot, "b", "other")


def test_the_only_controller_leads_until_it_ends(boot: Boot) -> None:
    """There is no lease, and nothing to wait for."""
    made = Only("a", boot.now)
    term = made.first()
    with contextlib.ExitStack() as stack:
        stack.enter_context(made.keeping(term))
        boot.go_on(1000 * LASTS)
        assert (term.epoch, term.leads(), leader(made), made.problems()) == (None, True, 1, [])
    assert term.over()
