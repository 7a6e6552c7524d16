"""The circuit breaker of a runbook: what did not help several times in a row is not tried on and on.

Nothing is kept but when a person closed it: whether it is open is counted from the runs on record.
"""

from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.runbooks import CANCELLED, DENIED, Limits, Run, RunState
from netsre.runbook.gates.answers import Answer, age_text
from netsre.runbook.gates.circumstances import Act, Circumstances, Holds
from netsre.runbook.gates.names import Gate

BY_PEOPLE: Final = frozenset(
    {CANCELLED, DENIED, Gate.PAUSED.value, Gate.MAINTENANCE.value, Gate.KILL_SWITCH_ON.value}
)
"""Ends of a run that people chose: they say nothing of whether the runbook helps."""


def answer(act: Act, limits: Limits, circumstances: Circumstances) -> Answer:
    """Return whether the circuit is closed, or one run may try again."""
    failed = failures(act.runbook, circumstances.holds)
    count, most = len(failed), limits.breaker_failures
    said = f"{count} runs in a row did not succeed, open at {most}"
    if count < most or not act.changes:
        return Answer(Gate.CIRCUIT_OPEN, passed=True, detail=said)
    last = _end(failed[-1])
    age, retry = abs(circumstances.now - last), limits.breaker_retry
    said += f", the last {age_text(age)} ago"
    if retry is None:
        return Answer(Gate.CIRCUIT_OPEN, passed=False, detail=f"{said}; close it by hand")
    # Among the runs that are known here is never the one that asks.
    busy = any(run.runbook == act.runbook and not run.ended for run in circumstances.history)
    said += f"; one run may try after {clock.duration_text(retry)}" + (", and one does" if busy else "")
    return Answer(Gate.CIRCUIT_OPEN, passed=age >= retry and not busy, detail=said)


def failures(runbook: str, holds: Holds) -> list[Run]:
    """Return the runs in a row, up to the latest, that changed something and did not succeed.

    Those that people stopped are not in it, and do not end it.
    """
    closed = holds.closed.get(runbook)
    ended = sorted(
        (
            run
            for run in holds.changed
            if run.runbook == runbook and run.ended and run.reason not in BY_PEOPLE
        ),
        # Of two that ended in one millisecond the order is not known: a success forgives none of them.
        key=lambda run: (_end(run), run.state is not RunState.SUCCEEDED),
    )
    row = list[Run]()
    for run in reversed(ended):
        if run.state is RunState.SUCCEEDED or (closed is not None and _end(run) <= closed):
            break
        row.append(run)
    return row[::-1]


def _end(run: Run) -> Timestamp:
    return run.ended_at or run.started_at
