"""Loops: `repeat` with a bound, a condition that ends it, and steps; each round is steps of their own.

So that each has its place in the plan, its intent, its outcome and its key, and is taken back like any other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from netsre import clock
from netsre.model import values
from netsre.model.conditions import Condition
from netsre.model.runbooks import Round, Step
from netsre.runbook import codes, conditions, references

KEY: Final = "repeat"
MOST_ROUNDS: Final = 10
MOST_STEPS: Final = 60
"""Steps of a runbook, those of all rounds counted."""
DEFAULT_WAIT: Final = 10 * clock.SECOND
SHORTEST_WAIT: Final = clock.SECOND
LONGEST_WAIT: Final = 5 * clock.MINUTE


@dataclass(frozen=True, slots=True)
class Bounds:
    """How often a loop goes round at most, and how long it rests in between, in milliseconds."""

    times: int
    wait: int


@dataclass(frozen=True, slots=True)
class Around:
    """What a loop stands in."""

    begins: int
    """Index of its first step."""
    within: Mapping[str, int]
    """Evidence that a round sees, by the place in the round."""
    before: Mapping[str, int]
    """Evidence that was seen before, by the index of the step."""


def bounds(part: values.Mapping) -> Bounds | None:
    """Take `times` and `wait`; what is wrong becomes findings."""
    times, wait = part.integer("times"), part.duration("wait", required=False)
    if times is not None and not 2 <= times <= MOST_ROUNDS:
        part.wrong("times", codes.REPEAT, f"{times} is outside 2 to {MOST_ROUNDS}; every loop has an end")
    if wait is not None and not SHORTEST_WAIT <= wait <= LONGEST_WAIT:
        longest = clock.duration_text(LONGEST_WAIT)
        message = f"{clock.duration_text(wait)} is outside {clock.duration_text(SHORTEST_WAIT)} to {longest}"
        part.wrong("wait", codes.REPEAT, message)
    return None if times is None else Bounds(times, DEFAULT_WAIT if wait is None else wait)


def rounds(limits: Bounds, until: Condition, body: Sequence[Step], around: Around) -> Iterator[Step]:
    """Yield the steps of all rounds."""
    for number in range(1, limits.times + 1):
        begins = around.begins + (number - 1) * len(body)
        for place, step in enumerate(body):
            # What a step goes by was seen before it in its own round, or before the loop.
            seen = {name: begins + at for name, at in around.within.items() if at < place}
            sees = _sees(_asked(step), {**around.before, **seen})
            last = {name: begins - len(body) + at for name, at in around.within.items()}
            ends = _sees(conditions.evidence(until), {**around.before, **last}) if place == 0 else ()
            turn = Round(around.begins, number, limits.times, until, limits.wait, place == 0, ends)
            yield replace(step, manner=replace(step.manner, round=turn, sees=sees))


def _asked(step: Step) -> frozenset[str]:
    asked = frozenset() if step.condition is None else conditions.evidence(step.condition)
    return asked | {name for _, name in references.named(step.parameters)}


def _sees(names: frozenset[str], seen: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((name, seen[name]) for name in sorted(names) if name in seen)
