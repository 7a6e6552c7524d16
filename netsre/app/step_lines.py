"""The steps of a runbook and of a plan, as JSON and in words; the rounds of a loop are told once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from netsre import clock
from netsre.model.documents import Json
from netsre.model.runbooks import Manner, Parameter, Round, Runbook, Step
from netsre.runbook import conditions
from netsre.runbook.plan import Plan

_LENGTHS: Final = frozenset({"ttl", "every", "to", "timeout"})
"""Parameters of actions that are milliseconds."""


def describe(step: Step) -> dict[str, Any]:
    """Return a step as JSON; lengths of time are texts such as `15m`."""
    manner = step.manner
    return {
        "action": step.action,
        "with": step.parameters,
        "if": None if step.condition is None else conditions.text(step.condition),
        "timeout": None if manner.timeout is None else clock.duration_text(manner.timeout),
        "retry": None
        if manner.retry is None
        else {"times": manner.retry.times, "wait": clock.duration_text(manner.retry.wait)},
        "on_failure": manner.on_failure,
        "round": None if manner.round is None else _place(manner.round),
    }


def lines(book: Runbook) -> Iterator[str]:
    """Yield what a runbook does, for people; steps have the numbers of the first round."""
    for number, step in enumerate(book.steps):
        loop = step.manner.round
        if loop is None or loop.number == 1:
            yield f"{number} {_step(step)}"
        if loop is not None and loop.number == loop.times and _ends(book.steps, number):
            last = loop.loop + (number + 1 - loop.loop) // loop.times - 1
            which = f"step {loop.loop}" if last == loop.loop else f"steps {loop.loop} to {last}"
            yield f"  {which}: {bound(loop)}"


def parameter(one: Parameter) -> str:
    """Say what a parameter of a runbook is, unless it is set, and may be."""
    bounds = [f"{word} {text}" for word, text in (("from", one.least), ("to", one.most)) if text is not None]
    among = [f"one of {', '.join(one.choices)}"] if one.choices else []
    return ", ".join((f"{one.name}: {one.value}, a {one.type}", *filter(None, (" ".join(bounds), *among))))


def bound(loop: Round) -> str:
    """Say how often a loop goes round, and when it ends."""
    rest = clock.duration_text(loop.wait)
    return f"up to {loop.times} rounds, {rest} apart, until {conditions.text(loop.until)}"


def further(plan: Plan) -> Sequence[str]:
    """Say what a plan may do beside the effects that it has: the further rounds of each loop."""
    loops = {
        step.manner.round.loop: step.manner.round for step in plan.steps if step.manner.round is not None
    }
    return [f"again from step {loop.loop}, {bound(loop)}" for loop in loops.values()]


def flow(value: Json) -> str:
    """Return a value as one would write it in the file, on one line."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
        case str():
            return value
        case Sequence():
            return "[" + ", ".join(map(flow, value)) + "]"
        case _:
            return json.dumps(value)


def _step(step: Step) -> str:
    given = {key: _length(value) if key in _LENGTHS else value for key, value in step.parameters.items()}
    asked = None if step.condition is None else f"only if {conditions.text(step.condition)}"
    return ", ".join(filter(None, (f"{step.action} {flow(given)}", asked, *_manner(step.manner))))


def _manner(manner: Manner) -> Iterator[str]:
    if manner.timeout is not None:
        yield f"waits {clock.duration_text(manner.timeout)} for an answer"
    if manner.retry is not None:
        wait = clock.duration_text(manner.retry.wait)
        yield f"tried again {manner.retry.times} times, {wait} apart" if manner.retry.times else "tried once"
    if manner.on_failure is not None:
        yield f"{manner.on_failure} when it fails"


def _place(loop: Round) -> dict[str, Any]:
    return {
        "number": loop.number,
        "times": loop.times,
        "until": conditions.text(loop.until),
        "wait": clock.duration_text(loop.wait),
    }


def _ends(steps: Sequence[Step], number: int) -> bool:
    """Tell whether a loop ends with a step."""
    after = steps[number + 1].manner.round if number + 1 < len(steps) else None
    here = steps[number].manner.round
    return after is None or here is None or after.loop != here.loop


def _length(value: Json) -> Json:
    return clock.duration_text(value) if isinstance(value, int) else value
