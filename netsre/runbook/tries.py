"""How long a node may stay silent, and when what failed is tried again: from the journal alone."""

from collections.abc import Sequence
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.runbooks import Manner
from netsre.runbook.commands import Command, Fail, Observe, Wait
from netsre.runbook.journal import NOT_APPLIED
from netsre.runbook.story import Turn

PATIENCE: Final = clock.MINUTE
"""How long a node may stay silent before the run goes on without it, where the step says nothing else."""
MOST_LOOKS: Final = 40
"""Looks at a silent node, whatever the clock says."""
MOST_BEGUN: Final = 2
"""Intents of one change that says nothing else: one that the node never heard of is begun once more."""
SILENT: Final = "node_unreachable"
_PAUSES: Final = (1 * clock.SECOND, 2 * clock.SECOND, 4 * clock.SECOND, 8 * clock.SECOND)


def given_up(silent: Sequence[Timestamp], manner: Manner) -> bool:
    """Tell whether a node was silent for too long, as the journal says: the present does not matter."""
    patience = PATIENCE if manner.timeout is None else manner.timeout
    return bool(silent) and (abs(silent[-1] - silent[0]) >= patience or len(silent) >= MOST_LOOKS)


def pause(silent: Sequence[Timestamp], now: Timestamp) -> Wait | None:
    """Return how long a silent node is left alone before it is asked again."""
    if not silent:
        return None
    length = _PAUSES[min(len(silent), len(_PAUSES)) - 1]
    # Also when the clock was set back: an hour is not waited for.
    return Wait(Timestamp(silent[-1] + length), "node") if abs(now - silent[-1]) < length else None


def observe(
    step: int, action: str, parameters: Document, turn: Turn, now: Timestamp, manner: Manner
) -> Command:
    """Return how an observation goes on that has no outcome yet, or is tried again."""
    if given_up(turn.silent, manner):
        return Fail(step, action, SILENT, "the node gave no answer")
    return pause(turn.silent, now) or Observe(step, action, parameters, turn.open)


def another(turn: Turn, manner: Manner, now: Timestamp) -> Wait | bool:
    """Tell whether an observation that failed is tried again, or until when that waits."""
    retry = manner.retry
    if retry is None or turn.failures > retry.times:
        return False
    ready = Timestamp(turn.ended_at + retry.wait)
    return Wait(ready, "retry") if abs(now - turn.ended_at) < retry.wait else True


def another_change(turn: Turn, reason: str, manner: Manner, now: Timestamp) -> Wait | bool:
    """Tell the same of a change: only of one that was not made, as a look or the silence before it says."""
    if manner.retry is None:
        return reason == NOT_APPLIED and turn.begun < MOST_BEGUN
    return reason in (NOT_APPLIED, SILENT) and another(turn, manner, now)


def reason_of(outcome: Document) -> str:
    """Return the word of an outcome that is not ok."""
    reason = outcome.get("reason")
    return reason if isinstance(reason, str) and reason else "step_failed"
