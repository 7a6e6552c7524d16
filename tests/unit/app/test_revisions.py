"""Changes of policies in incidents: each once, whoever looked, and no more than a database can take."""

import pathlib
from collections.abc import Iterator
from decimal import Decimal

import pytest

from netsre import clock, conventions
from netsre.app.control import revisions
from netsre.app.control.incidents import facts, view
from netsre.app.control.postmortem import page
from netsre.app.control.postmortem import view as postmortem
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.model.events import Event
from netsre.model.samples import Scrape, Series
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.fakes import Machine
from tests.unit.app.test_condition_turns import FULL, RULE

REVISION = Series(conventions.POLICY_REVISION, ())


@pytest.fixture(name="machine")
def _machine(tmp_path: pathlib.Path) -> Iterator[Machine]:
    """Return a controller with one condition and no runbook."""
    store = burning.store(tmp_path)
    yield Machine(store, tmp_path, runbooks=(), rules=(RULE,))
    store.close()


def show(machine: Machine, *numbers: int | None) -> None:
    """Take a turn with each of these revisions in force, None for one without a datapath."""
    for number in numbers:
        machine.source.gauges.pop(REVISION, None)
        if number is not None:
            machine.source.gauges[REVISION] = Decimal(number)
        machine.turn()


def wait(machine: Machine) -> None:
    """Let a minute pass in which nothing changes."""
    for _ in range(5):
        machine.turn()


def said(store: Store) -> list[str]:
    """Return what is on record, oldest first, without the words that all have."""
    with store.read() as transaction:
        events = transaction.events.newest(1_000)
    assert {(event.kind, event.node, event.person) for event in events} <= {("policy", "a", "controller")}
    return [event.text.removeprefix("policies: revision ") for event in reversed(events)]


def test_a_change_is_told_once(machine: Machine, tmp_path: pathlib.Path) -> None:
    """Not what is found at first; a change while no controller looked, too, and nothing twice."""
    show(machine, 41, 41, 42, 42)
    again = Machine(machine.store, tmp_path, machine.clock, machine.source, runbooks=(), rules=(RULE,))
    show(again, 42)
    wait(again)
    show(again, 40)
    assert said(machine.store) == ["41 -> 42", "42 -> 40"]
    with machine.store.read() as transaction:
        rows = [row.verb for row in transaction.audit.rows() if row.verb.startswith("policy.")]
    assert rows == ["policy.changed"] * 2


def test_the_first_revision_of_a_node_is_a_change(machine: Machine) -> None:
    """It had none, and the change may be why there is an incident."""
    show(machine, None, 1)
    assert said(machine.store) == ["1, the first that was seen"]


def test_a_datapath_that_is_not_read_changes_nothing(machine: Machine) -> None:
    """Nor does it when it is read again; zero is a revision, under which all passes."""
    show(machine, 41, None, 41)
    assert said(machine.store) == []
    show(machine, None, 0)
    assert said(machine.store) == ["41 -> 0"]


def test_what_changes_all_the_time_is_told_once_a_minute(machine: Machine) -> None:
    """About: with the last of several, from when it was in force."""
    show(machine, 1, 2, 3, 4)
    seen_at = machine.clock.at
    wait(machine)
    show(machine, *range(5, 25))
    wait(machine)
    assert said(machine.store)[:3] == ["1 -> 2", "2 -> 4", "4 -> 5"]
    assert len(said(machine.store)) <= 10
    assert said(machine.store)[-1].endswith("-> 24")
    with machine.store.read() as transaction:
        told = {event.text: event.at for event in transaction.events.newest(100)}
    assert told["policies: revision 2 -> 4"] == seen_at


def test_what_could_not_be_kept_is_kept_with_the_next_turn(machine: Machine) -> None:
    """A transaction that fails after it had been noted."""
    seen = revisions.Revisions()
    scrapes = [
        Scrape(Timestamp(burning.T0 + minute * clock.MINUTE), "a", burning.T0, {REVISION: Decimal(minute)})
        for minute in (1, 2)
    ]
    for scrape in scrapes:
        seen.see(scrape)
    with pytest.raises(StoreUnusable):
        _fail(machine, seen)
    assert said(machine.store) == []
    for _ in range(2):
        with machine.store.write() as transaction:
            seen.keep(transaction, machine.clock.at)
        seen.kept()
    assert said(machine.store) == ["1 -> 2"]


def _fail(machine: Machine, seen: revisions.Revisions) -> None:
    with machine.store.write() as transaction:
        seen.keep(transaction, machine.clock.at)
        raise StoreUnusable("full")


@pytest.mark.parametrize("values", [{REVISION: Decimal("NaN")}, {REVISION: Decimal("1.5")}, {}])
def test_what_is_no_number_of_a_revision_is_none(machine: Machine, values: dict[Series, Decimal]) -> None:
    """Nothing is made of it."""
    show(machine, 41)
    machine.source.gauges = dict(values)
    machine.turn()
    assert said(machine.store) == []


def test_it_stands_in_the_incident_and_its_postmortem(machine: Machine) -> None:
    """Before the alert that follows from it, without the name of a person."""
    show(machine, 41, 42)
    machine.source.gauges[FULL] = Decimal("0.93")
    machine.turn()
    with machine.store.read() as transaction:
        [incident] = transaction.incidents.newest(1)
        timeline = view.build(facts.read(transaction, incident, machine.clock.at)).timeline
        draft = postmortem.read(transaction, incident, (), machine.clock.at)
    assert [(one.kind, one.text) for one in timeline][:2] == [
        ("policy", "policies: revision 41 -> 42"),
        ("alert", "ConntrackUtilization (page) began"),
    ]
    assert [one.text for one in draft.timeline if "policies" in one.text] == ["policies: revision 41 -> 42"]
    assert "policies: revision 41 -\\> 42" in page.markdown(draft)


def test_what_is_old_goes_and_what_people_said_stays(machine: Machine) -> None:
    """With the rows of nodes that nobody reads any more, so that one that comes back is a new one."""
    show(machine, 41, 42)
    now = machine.clock.at
    with machine.store.write() as transaction:
        transaction.events.add(Event("one", "policy", "", "by hand", now, now, "ann"))
        transaction.meta.put("policy_revision:gone", "7@0")
        revisions.prune(transaction, Timestamp(now + revisions.KEPT))
        assert len(transaction.events.newest(9)) == 2
        revisions.prune(transaction, Timestamp(now + revisions.KEPT + clock.MINUTE))
        assert [event.text for event in transaction.events.newest(9)] == ["by hand"]
        assert list(transaction.meta.named("policy_revision:")) == ["policy_revision:a"]
