"""How a run begins: judged by the gates, on record with what they said, whoever or whatever asked for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from netsre.app.control import runs
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.runbooks import Run, Runbook, RunState
from netsre.runbook import decide, journal
from netsre.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Asker:
    """A person who asks for a run by hand."""

    person: str
    via: str
    id: str
    """The same id again is the same run."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the runbook that they chose."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why a run begins: an announcement, or a person."""

    key: str
    """The same key again is the same run."""
    asker: Asker | None = None


def start(
    world: World,
    transaction: Transaction,
    runbook: Runbook,
    alert: Alert,
    occasion: Occasion,
    now: Timestamp,
) -> Run | None:
    """Record a run for an alert, a refused one too; None where it is none of the runbook's, or on record."""
    run_id = runs.run_name(runbook.name, occasion.key)
    if not decide.concerns(runbook, alert, world.node) or transaction.runs.find(run_id) is not None:
        return None
    verdict = decide.decide(runbook, alert, world.circumstances(transaction, alert))
    received = Run(
        id=run_id,
        runbook=runbook.name,
        alert=alert.fingerprint,
        fired_at=alert.fired_at,
        target=verdict.target,
        state=RunState.RECEIVED,
        reason="received",
        started_at=now,
        ended_at=None,
    )
    runs.begin(transaction, received)
    asker = occasion.asker
    if asker is not None:
        runs.write(
            transaction, received, journal.requested(asker.person, asker.via, asker.id, asker.given), now
        )
    runs.write(transaction, received, verdict.line(), now)
    state = RunState.GATED if verdict.accepted else RunState.REFUSED
    return runs.change(transaction, received, state, verdict.reason.value, now)
