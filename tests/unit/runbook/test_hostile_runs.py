"""Whatever a runbook of loops and tries meets, its run ends, does nothing twice, and proves what it says."""

from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest

from netsre.model.documents import Document
from netsre.model.effects import Effect, Standing
from netsre.model.runbooks import JournalEntry, JournalKind, RunState
from netsre.runbook import course, decide
from netsre.runbook.progress import Replan
from tests.unit.runbook import given, hostile_runs

SEEDS = range(120)
OUTSIDE = ("notify", "alertmanager.silence", "http.call")


def reason(line: JournalEntry) -> object:
    """Return why something was not done, if it was not."""
    return line.data.get("reason") or line.data.get("skipped")


def test_no_run_breaks_a_rule_whatever_happens_to_it() -> None:
    """Of 120 runs with these seeds."""
    ends, rounds, tries, undone, chosen, done = set[RunState](), 0, 0, 0, 0, Counter[str]()
    for seed in SEEDS:
        run = hostile_runs.played(seed)
        assert run.broken == [], f"seed {seed}"
        finish = run.commands[-1]
        ends.add(finish.state)  # type: ignore[union-attr]
        later = [c.planned.manner.round for c in run.commands if isinstance(c, Replan)]
        rounds += any(loop is not None and loop.number > 1 for loop in later)
        tries += any(line.data.get("reason") == "not_applied" for line in run.entries)
        undone += any(line.kind is JournalKind.UNDO_INTENT for line in run.entries)
        done.update(
            line.action for line in run.entries if line.kind is JournalKind.OUTCOME and not reason(line)
        )
        chosen += bool(run.chosen and run.node.applications)

    # Much happened in them: otherwise they would prove nothing.
    assert ends >= {
        RunState.SUCCEEDED, RunState.UNDONE, RunState.FAILED, RunState.REFUSED, RunState.NEEDS_HUMAN,
    }  # fmt: skip
    assert min(rounds, tries, undone, chosen, *(done[action] for action in OUTSIDE)) >= 10


def _forgetful(machine: pytest.MonkeyPatch) -> None:
    """Whoever looks at the node after a death is told that nothing was done, and repeats it."""
    machine.setattr(hostile_runs.Trouble, "look", lambda *_: Standing.ABSENT)
    machine.setattr(hostile_runs.Trouble, "apply", _again)


def _again(node: hostile_runs.Trouble, key: str, effect: Effect) -> Document:
    node.applications.append(key)
    return given.MemoryNode.apply(node, key, effect)


def _lax(machine: pytest.MonkeyPatch) -> None:
    """Let the gates before a change say yes to everything."""
    yes = decide.Verdict(decide.Gate.ACCEPTED)
    machine.setattr(decide, "recheck", lambda *_: yes)


def _credulous(machine: pytest.MonkeyPatch) -> None:
    """One good sample is taken for as many as there must be."""
    machine.setattr(course, "_passes", lambda samples, *_: 99 if samples else 0)


MUTATIONS: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "twice": _forgetful,
    "while the kill switch is": _lax,
    "succeeded without a proof": _credulous,
}


@pytest.mark.parametrize("word", MUTATIONS)
def test_a_rule_that_is_broken_is_found(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge is judged: an engine without the rule is caught, by its own word."""
    MUTATIONS[word](monkeypatch)

    assert any(word in found for seed in SEEDS for found in hostile_runs.played(seed).broken)
