"""Whatever a runbook of loops and tries meets, its run ends, does nothing twice, and proves what it says."""

from netsre.model.runbooks import JournalKind, RunState
from netsre.runbook.progress import Replan
from tests.unit.runbook import hostile_runs

SEEDS = range(120)


def test_no_run_breaks_a_rule_whatever_happens_to_it() -> None:
    """Of 120 runs with these seeds."""
    ends, rounds, tries, undone = set[RunState](), 0, 0, 0
    for seed in SEEDS:
        run = hostile_runs.played(seed)
        assert run.broken == [], f"seed {seed}"
        finish = run.commands[-1]
        ends.add(finish.state)  # type: ignore[union-attr]
        later = [c.planned.manner.round for c in run.commands if isinstance(c, Replan)]
        rounds += any(loop is not None and loop.number > 1 for loop in later)
        tries += any(line.data.get("reason") == "not_applied" for line in run.entries)
        undone += any(line.kind is JournalKind.UNDO_INTENT for line in run.entries)

    # Much happened in them: otherwise they would prove nothing.
    assert ends >= {
        RunState.SUCCEEDED, RunState.UNDONE, RunState.FAILED, RunState.REFUSED, RunState.NEEDS_HUMAN,
    }  # fmt: skip
    assert min(rounds, tries, undone) >= 10
