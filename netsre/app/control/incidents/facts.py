"""Everything that is on record about one incident, read in one view of the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.gameday import journal as drill_journal
from netsre.gameday.journal import RELEASE, STOP, Told
from netsre.model.alerts import Alert
from netsre.model.events import Event
from netsre.model.gamedays import Drill
from netsre.model.incidents import Incident, Page, Received
from netsre.model.runbooks import JournalEntry, Run
from netsre.store.database import Transaction

MOST_ALERTS: Final = 200
"""Alerts of one incident that are shown; a storm has more than anybody reads."""
MOST_EVENTS: Final = 500
_BEFORE: Final = clock.HOUR
"""From how long before it on what people did may have to do with an incident."""
_DELIVERY: Final = clock.MINUTE


@dataclass(frozen=True, slots=True)
class Fault:
    """A drill that went on during the incident: it may be the cause."""

    drill: Drill
    told: Told

    @property
    def began_at(self) -> Timestamp | None:
        """Return when the fault began, None when it did not."""
        return self.told.injected_at

    @property
    def ended_at(self) -> Timestamp | None:
        """Return when the fault was stopped."""
        return _at(self.told, STOP)

    def released_at(self, key: str) -> Timestamp | None:
        """Return when the drill took back the effect of a key."""
        return _at(self.told, RELEASE + key)


@dataclass(frozen=True, slots=True)
class Facts:
    """One incident, and all that belongs to it."""

    incident: Incident
    alerts: tuple[Alert, ...]
    """Those that matter most where there are many, oldest first."""
    alerts_total: int
    pages: tuple[Page, ...]
    received: tuple[Received, ...]
    runs: tuple[Run, ...]
    """Oldest first."""
    journals: Mapping[str, tuple[JournalEntry, ...]]
    faults: tuple[Fault, ...]
    said: tuple[Event, ...]
    """What people said that they did, and changes of policies; from a while before on, oldest first."""
    now: Timestamp

    def released_at(self, key: str) -> Timestamp | None:
        """Return when a drill took back the effect of a key."""
        return next((at for fault in self.faults if (at := fault.released_at(key)) is not None), None)


def read(transaction: Transaction, incident: Incident, now: Timestamp) -> Facts:
    """Return what is known of an incident."""
    alerts = transaction.incidents.alerts(incident.id, MOST_ALERTS)
    end = incident.closed_at or now
    # The last alert may have begun and ended in one breath: its run begins when it is delivered.
    runs = transaction.runs.of(alerts, incident.opened_at, Timestamp(end + _DELIVERY))
    drills = transaction.drills.between(incident.opened_at, end)
    return Facts(
        incident=incident,
        alerts=tuple(alerts),
        alerts_total=transaction.incidents.count(incident.id),
        pages=tuple(transaction.pages.of(alerts)),
        received=tuple(transaction.received.of(alerts)),
        runs=tuple(runs),
        journals=transaction.runs.journal([run.id for run in runs]),
        faults=tuple(
            Fault(drill, drill_journal.read(transaction.drills.journal(drill.id))) for drill in drills
        ),
        said=tuple(
            transaction.events.between(
                Timestamp(incident.opened_at - _BEFORE), end, incident.node, MOST_EVENTS
            )
        ),
        now=now,
    )


def _at(told: Told, key: str) -> Timestamp | None:
    outcome = told.outcomes.get(key)
    return None if outcome is None else outcome.at
