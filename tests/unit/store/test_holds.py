"""Pauses, quarantine, what was set free, and the runs that gates count, on disk and in both databases."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from netsre.clock import DAY, HOUR, MINUTE, Timestamp
from netsre.model.alerts import Alert, AlertSource, fingerprint
from netsre.model.holds import Asked, Pause, Quarantined, Released, Scope
from netsre.model.runbooks import Run, RunState
from netsre.model.samples import labels
from netsre.store.database import Store
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")

T0 = burning.T0
PAUSE = Pause("p1", Scope.TARGET, "conntrack/a", "ada", "switches", T0, Timestamp(T0 + HOUR))
VALUE = Quarantined("conntrack.limit=2000", "run1", T0, Timestamp(T0 + DAY))


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def test_a_pause_stands_until_its_end_or_until_somebody_ends_it(store: Store) -> None:
    """And comes back as it was; the same id again is the same pause."""
    other = dataclasses.replace(PAUSE, id="p2", scope=Scope.ALL, name="", created_at=Timestamp(T0 + 1))
    with store.write() as transaction:
        assert transaction.holds.pause(PAUSE) == PAUSE
        assert transaction.holds.pause(dataclasses.replace(PAUSE, reason="again")) == PAUSE
        transaction.holds.pause(other)
        assert transaction.holds.pauses(Timestamp(T0 + HOUR - 1)) == [PAUSE, other]
        assert transaction.holds.pauses(PAUSE.until) == []
        assert transaction.holds.resume("p1", Timestamp(T0 + 1), "bob") is True
        assert transaction.holds.resume("p1", Timestamp(T0 + 2), "eve") is False

    with store.read() as transaction:
        assert transaction.holds.pauses(T0) == [other]


def test_a_pause_of_an_unknown_kind_is_for_all(store: Store) -> None:
    """What another version meant by it is not known: as wide as there is."""
    with store.write() as transaction:
        transaction.holds.pause(PAUSE)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE pause SET scope = 'galaxy'")
    with store.read() as transaction:
        (found,) = transaction.holds.pauses(T0)

    assert found.covers("any", "thing")


def test_a_value_is_in_quarantine_until_its_time_is_over_or_it_is_released(store: Store) -> None:
    """And again when it fails again."""
    with store.write() as transaction:
        holds = transaction.holds
        holds.quarantine(VALUE)
        assert holds.quarantined(Timestamp(VALUE.until - 1)) == [VALUE]
        assert holds.quarantined(VALUE.until) == []
        holds.release(Released.QUARANTINE, VALUE.key, T0, "ada", "it was the switch")
        assert holds.quarantined(T0) == []
        again = dataclasses.replace(VALUE, run="run2")
        holds.quarantine(again)
        assert holds.quarantined(T0) == [again]
        assert holds.closed() == {}
        holds.release(Released.BREAKER, "look", T0, "ada", "mended")
        holds.release(Released.BREAKER, "look", Timestamp(T0 + 1), "ada", "mended again")
        assert holds.closed() == {"look": T0 + 1}


def run(
    name: str, at: int, runbook: str = "act", state: RunState = RunState.SUCCEEDED, **more: object
) -> Run:
    """Return a run that began so many milliseconds after the beginning."""
    began = Timestamp(T0 + at)
    made = Run(name, runbook, f"alert-{name}", T0, "t", state, "word", began, None)
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def test_a_run_remembers_when_it_began_to_change_something(store: Store) -> None:
    """The first time; whatever state it goes to later."""
    with store.write() as transaction:
        transaction.runs.add(run("a", 0, state=RunState.EXECUTING))
        transaction.runs.change_begins("a", Timestamp(T0 + 5))
        transaction.runs.change_begins("a", Timestamp(T0 + 9))
        transaction.runs.change(run("a", 0))
        found = transaction.runs.find("a")

    assert found is not None
    assert (found.state, found.changed_at) == (RunState.SUCCEEDED, T0 + 5)


def test_changes_are_those_since_a_time_and_the_latest_of_each_runbook(store: Store) -> None:
    """The breaker counts runs however long ago they were."""
    with store.write() as transaction:
        for number in range(5):
            at = number * MINUTE
            transaction.runs.add(run(f"a{number}", at, changed_at=Timestamp(T0 + at)))
        transaction.runs.add(run("b", 0, "other", changed_at=T0))
        transaction.runs.add(run("looked", 9 * MINUTE))
        changed = transaction.runs.changed

        assert [one.id for one in changed(Timestamp(T0 + 4 * MINUTE), (), 9)] == ["a4"]
        assert [one.id for one in changed(Timestamp(T0 + HOUR), ["act", "other"], 2)] == ["b", "a3", "a4"]


def test_who_wanted_a_change_is_known_also_when_it_was_refused(store: Store) -> None:
    """But neither runbooks that only look, nor what was not asked for; the latest come first."""
    with store.write() as transaction:
        transaction.runs.add(run("old", 0))
        transaction.runs.add(run("a", MINUTE, state=RunState.REFUSED))
        transaction.runs.add(run("b", 2 * MINUTE))
        transaction.runs.add(run("looks", 2 * MINUTE, "look"))
        transaction.runs.add(run("no", 2 * MINUTE, state=RunState.REFUSED, reason="condition_false"))
        asked = transaction.runs.asked

        both = [Asked("alert-b", Timestamp(T0 + 2 * MINUTE)), Asked("alert-a", Timestamp(T0 + MINUTE))]
        assert asked(Timestamp(T0 + 1), ["look"], 9) == both
        assert asked(Timestamp(T0 + 1), ["look"], 1) == both[:1]
        assert [one.id for one in transaction.runs.counted(Timestamp(T0 + 1))] == ["b", "looks"]


def firing(**pairs: str) -> Alert:
    """Return an alert of somebody else's."""
    found = labels(pairs)
    alert = burning.fired().alert
    return dataclasses.replace(
        alert, labels=found, fingerprint=fingerprint(found), source=AlertSource.WEBHOOK
    )


def test_firing_alerts_are_found_by_their_name(store: Store) -> None:
    """Whoever told of them, and whatever signs a name has."""
    odd = 'a%b_"c'
    first, second, other = (firing(alertname=name, node="a") for name in ("Down", odd, "DownToo"))
    decoy = firing(alertname="Other", said='{"alertname":"Down"}')
    with store.write() as transaction:
        transaction.alerts.save_all([first, second, other, decoy], [])
        found = transaction.alerts.firing_as

        assert {one.fingerprint for one in found(["Down", odd])} == {first.fingerprint, second.fingerprint}
        assert found(['aXbY"c']) == found([]) == []
