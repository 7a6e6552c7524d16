"""Which runs limits are counted from: those of which something came lately, however long they waited."""

import pathlib

import pytest

from netsre.clock import DAY, HOUR, MINUTE, Timestamp
from netsre.model.runbooks import DENIED, Run, RunState
from netsre.store.database import Store
from tests.unit import burning

NOW = Timestamp(1_800_000_000_000)
START = Timestamp(NOW - 2 * HOUR)


def at(ago: int) -> Timestamp:
    """Return a time so many milliseconds ago."""
    return Timestamp(NOW - ago)


def run(name: str, state: RunState, reason: str, *times: Timestamp | None) -> Run:
    """Return a run with these times of its beginning, its end and its first change."""
    begun, ended, changed = times
    assert begun is not None
    return Run(name, "book", "alert", begun, "conntrack/a", state, reason, begun, ended, changed)


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (run("lately", RunState.NEEDS_HUMAN, "undo_failed", at(HOUR), at(MINUTE), at(HOUR)), True),
        (run("waited", RunState.NEEDS_HUMAN, "undo_failed", at(5 * HOUR), at(MINUTE), at(HOUR)), True),
        (run("denied", RunState.REFUSED, DENIED, at(23 * HOUR), at(MINUTE), None), True),
        (run("refused", RunState.REFUSED, "cooldown", at(HOUR), at(HOUR), None), False),
        (run("denied long ago", RunState.REFUSED, DENIED, at(23 * HOUR), at(3 * HOUR), None), False),
        (run("acted long ago", RunState.SUCCEEDED, "verified", at(DAY), at(3 * HOUR), at(3 * HOUR)), False),
    ],
    ids=lambda value: value.id if isinstance(value, Run) else "",
)
def test_limits_know_what_a_run_did_after_it_waited_for_people(
    tmp_path: pathlib.Path, one: Run, *, counts: bool
) -> None:
    """A question may stand for a day; what came of it is as new as its end."""
    store = Store.at(tmp_path, burning.MIGRATIONS)
    store.upgrade()
    with store.write() as transaction:
        transaction.runs.add(one)

    with store.read() as transaction:
        found = [known.id for known in transaction.runs.counted(START)]
    store.close()

    assert found == ([one.id] if counts else [])
