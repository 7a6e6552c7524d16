"""Incidents: the alerts of one node are one, until none of them fires and no run of them goes on."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from netsre import clock
from netsre.app.control import incidents
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertState
from netsre.model.incidents import Incident
from netsre.model.runbooks import Run, RunState
from netsre.model.samples import labels
from netsre.store.database import Store
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")

MINUTE = clock.MINUTE


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def at(minutes: float) -> Timestamp:
    """Return a moment so many minutes after the first."""
    return Timestamp(burning.T0 + int(minutes * MINUTE))


def alert(name: str = "Full", node: str = "a", minutes: float = 0) -> Alert:
    """Return an alert that fires since a moment; an empty node is none."""
    pairs = {"alertname": name, "severity": "page", **({"node": node} if node else {})}
    identity = labels(pairs)
    return Alert(
        alerts.fingerprint(identity), identity, {}, AlertState.FIRING, at(minutes), None, at(minutes)
    )


def ended(of: Alert, minutes: float) -> Alert:
    """Return an alert as it is after its end."""
    return dataclasses.replace(of, state=AlertState.RESOLVED, resolved_at=at(minutes))


def tell(store: Store, minutes: float, *told: Alert) -> None:
    """Keep alerts and note them, as whoever decides on them does."""
    with store.write() as transaction:
        for one in told:
            transaction.alerts.save(one)
        incidents.note(transaction, told, at(minutes))


def check(store: Store, minutes: float) -> None:
    """Do what every turn does."""
    with store.write() as transaction:
        incidents.check(transaction, at(minutes))


def known(store: Store) -> list[Incident]:
    """Return every incident, newest first."""
    with store.read() as transaction:
        return transaction.incidents.newest(100)


def verbs(store: Store) -> list[str]:
    """Return what the audit says."""
    with store.read() as transaction:
        return [row.verb for row in transaction.audit.rows()]


def test_the_alerts_of_one_node_are_one_incident(store: Store) -> None:
    """Two nodes are two, and each begins with its first alert."""
    first, second, other = alert("Full"), alert("Slow", minutes=2), alert("Full", "b", minutes=1)
    tell(store, 0, first)
    tell(store, 2, second, other)

    found = known(store)

    assert [(one.node, one.opened_at, one.closed_at) for one in found] == [
        ("b", at(1), None),
        ("a", at(0), None),
    ]
    with store.read() as transaction:
        assert transaction.incidents.alerts(found[1].id, 10) == [first, second]
        assert transaction.incidents.alerts(found[1].id, 1) == [first]
        assert transaction.incidents.count(found[1].id) == 2
        assert transaction.incidents.of(other) == found[0] == transaction.incidents.find(found[0].id)


def test_the_name_of_an_incident_is_short_and_follows_from_what_it_is(
    store: Store, tmp_path: pathlib.Path
) -> None:
    """The day, and four characters: two databases agree."""
    tell(store, 0, alert())
    again = burning.store(tmp_path / "again")
    tell(again, 0, alert())

    (one,), (other,) = known(store), known(again)
    again.close()

    assert one.id == other.id
    assert one.id.startswith("20260101-")
    assert len(one.id) == len("20260101-1c9f")


def test_names_never_clash(store: Store) -> None:
    """Among many of one moment some share four characters: those have one more."""
    tell(store, 0, *[alert("Full", f"node-{number}") for number in range(1500)])

    with store.read() as transaction:
        names = [one.id for one in transaction.incidents.newest(2000)]

    assert len(set(names)) == 1500
    assert {len(name) for name in names} > {13}


def test_it_closes_when_the_last_alert_ends(store: Store) -> None:
    """Not with the first of two."""
    first, second = alert("Full"), alert("Slow")
    tell(store, 0, first, second)

    tell(store, 1, ended(first, 1))
    still_open = known(store)[0].closed_at
    tell(store, 2, ended(second, 2))

    assert (still_open, known(store)[0].closed_at) == (None, at(2))
    assert [verb for verb in verbs(store) if verb.startswith("incident")] == [
        "incident.opened",
        "incident.closed",
    ]


def test_a_run_that_goes_on_keeps_it_open(store: Store) -> None:
    """Its effects are not verified yet; the turn after its end closes it."""
    full = alert()
    tell(store, 0, full)
    run = Run("r", "book", full.fingerprint, full.fired_at, "t", RunState.VERIFYING, "x", at(0), None)
    with store.write() as transaction:
        transaction.runs.add(run)
    tell(store, 1, ended(full, 1))
    check(store, 1)
    before = known(store)[0].closed_at
    with store.write() as transaction:
        done = dataclasses.replace(run, state=RunState.SUCCEEDED, ended_at=at(2))
        transaction.runs.change(done)
    check(store, 2)

    assert (before, known(store)[0].closed_at) == (None, at(2))


@pytest.mark.parametrize(("minutes", "count"), [(6, 1), (6.5, 2), (-4, 1), (-5, 2)])
def test_an_alert_soon_after_the_end_opens_the_incident_again(
    store: Store, minutes: float, count: int
) -> None:
    """Five minutes after a close at minute 1, and also when the clock was set back a little."""
    full = alert()
    tell(store, 0, full)
    tell(store, 1, ended(full, 1))

    tell(store, minutes, alert("Slow", minutes=minutes))

    assert len(known(store)) == count
    assert sum(one.closed_at is None for one in known(store)) == 1


def test_alerts_without_a_node_are_one_incident_by_name(store: Store) -> None:
    """They are about no one thing that could be told apart."""
    tell(store, 0, alert("Watchdog", ""), alert("Lag", ""), alert("Full", "a"))

    assert {one.node for one in known(store)} == {"~Watchdog", "~Lag", "a"}


def test_an_alert_that_is_told_twice_opens_nothing_twice(store: Store) -> None:
    """Nor does one whose incident closed meanwhile."""
    full = alert()
    tell(store, 0, full)
    tell(store, 1, full)
    tell(store, 2, ended(full, 2))
    tell(store, 3, ended(full, 2))

    assert [one.closed_at for one in known(store)] == [at(2)]


def test_an_alert_that_fires_and_belongs_nowhere_gets_a_home(store: Store) -> None:
    """It began before there were incidents."""
    full = alert()
    with store.write() as transaction:
        transaction.alerts.save(full)

    check(store, 1)
    check(store, 2)

    (found,) = known(store)
    with store.read() as transaction:
        assert transaction.incidents.of(full) == found
    assert (found.opened_at, found.closed_at) == (at(0), None)


def test_what_ended_before_anybody_noted_it_is_no_incident(store: Store) -> None:
    """Somebody else's alert that came with its end."""
    tell(store, 1, ended(alert(), 1))
    check(store, 1)

    assert known(store) == []
