"""The schema of scenarios."""

from typing import Final

from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema
from netsre.model import urls
from netsre.model.runbooks import ENDED, RunState
from netsre.model.scenarios import NodeState
from netsre.runbook import scenario_events, scenario_others, scenario_series
from netsre.runbook.verify import Outcome

_DEEPEST: Final = 5
"""Of answers: lists of mappings, as many as there are anywhere."""
_NAME: Final = {**parts.name("A name."), "type": [*parts.SCALARS, "null"]}
_TIME: Final = "Since the beginning."


def scenario() -> Schema:
    """Return the schema of `spec` of a scenario."""
    return parts.mapping(
        "A world, what happens in it, and what a runbook must make of it.",
        {
            "runbook": parts.name("The runbook that is tested."),
            "expect": parts.sequence("What must be so, in the order of time.", _look(), least=1),
        },
        {
            "about": parts.text("What it shows, for people."),
            "given": _given(),
            "while": parts.sequence("What is so as long as effects are in force.", _while()),
            "events": parts.sequence("What happens.", _event()),
        },
    )


def _given() -> Schema:
    earlier = parts.mapping(
        "A run of the runbook that was before.",
        {
            "ago": parts.duration("How long ago it began."),
            "state": parts.choice("How it ended.", sorted(state.value for state in ENDED)),
            "reason": parts.text("By which word."),
        },
        {
            "changed": parts.choice("Whether it changed something; true by default.", _truth()),
            "target": parts.text("On what; the lock on the one node by default."),
        },
    )
    groups = {
        "description": "Members by the name of the group.",
        "type": "object",
        "additionalProperties": parts.sequence("Members.", parts.listed_text("A name.")),
    }
    return parts.mapping(
        "How the world is at the beginning.",
        {},
        {
            "interval": parts.duration("Between two readings, 15s by default, at most 1m."),
            "people": parts.sequence("Who is known beside the operator.", _NAME),
            "groups": groups,
            "series": _series(),
            "facts": _facts(),
            "runs": parts.sequence("Runs that were before.", earlier),
            "others": _others(),
        },
    )


def _others() -> Schema:
    word = parts.choice("The answer; lost: it is done, and nobody hears that.", sorted(scenario_others.WORDS))
    http = {
        "description": "Addresses that may be called, each with its answer.",
        "type": "object",
        "propertyNames": {"pattern": f"^{urls.PREFIX.pattern}$"},
        "additionalProperties": word,
    }
    return parts.mapping(
        "How others than the node answer.",
        {},
        {"alertmanager": word | {"description": "What Alertmanager answers."}, "http": http},
    )


def _truth() -> list[str | bool]:
    return [True, False, "true", "false"]


def _series() -> Schema:
    value = {
        **parts.pattern(
            "A level such as 0.92, a counter's rate such as 100/s, or gone.",
            scenario_series.VALUE,
            "0.92, 100/s or gone.",
        ),
        "type": ["string", "number"],
    }
    return {
        "description": "Series, each with how it goes on.",
        "type": "object",
        "additionalProperties": value,
    }


def _facts() -> Schema:
    answer = {**_filled(_DEEPEST), "type": ["object", *parts.SCALARS]}
    about = "What the node answers, or by which word it refuses, by what it is asked."
    return {"description": about, "type": "object", "additionalProperties": answer}


def _filled(depth: int) -> Schema:
    """Return a value of whatever shape, in which no key is without one: the reader knows the answers."""
    if not depth:
        return {"not": {"type": "null"}}
    below = _filled(depth - 1)
    return {
        "not": {"type": "null"},
        "items": {"anyOf": [below, {"type": "null"}]},
        "additionalProperties": below,
    }


def _effects(about: str, *, least: int = 0) -> Schema:
    whole = {
        "type": "object",
        "properties": {"kind": parts.text("Its kind.")},
        "required": ["kind"],
        "additionalProperties": parts.text("A field that it must have."),
    }
    kind = parts.listed_text("A kind such as block, or a mapping with its kind and fields that it must have.")
    return parts.sequence(about, {"anyOf": [kind, whole]}, least=least)


def _while() -> Schema:
    return parts.mapping(
        "What is so as long as all of these are in force together; a later one goes before an earlier.",
        {"effects": _effects("The effects.", least=1)},
        {"series": _series(), "facts": _facts()},
    )


def _event() -> Schema:
    labels = {
        "description": "Labels of the alert; node is added.",
        "type": "object",
        "properties": {"alertname": parts.text("Its name.")},
        "required": ["alertname"],
        "additionalProperties": parts.text("A value."),
    }
    words = "|".join(scenario_events.WORDS)
    point = parts.pattern(
        "The first time that a run comes there.", rf"\s*(?:{words})(?: [0-9]{{1,4}})?\s*", "apply 1"
    )
    deeds: dict[str, Schema] = {
        "firing": labels,
        "resolved": labels,
        "series": _series(),
        "facts": _facts(),
        "others": _others(),
        "node": parts.choice("What becomes of the agent.", (state.value for state in NodeState)),
        "kill": parts.choice("Who is killed, and started again two seconds later.", ["controller"]),
        "killSwitch": parts.choice("How it is set.", scenario_events.SWITCH),
        **{verb: parts.text("Who says so.") for verb in scenario_events.VERBS},
    }
    when: dict[str, Schema] = {"at": parts.duration(_TIME, none=True), "before": point, "after": point}
    found = parts.mapping(
        "Something that happens: when, and what.",
        {},
        {**when, **deeds, "answer": parts.text("What a person must be answered.")},
    )
    once = [{"oneOf": [{"required": [key]} for key in keys]} for keys in (when, deeds)]
    return found | {"allOf": once}


def _look() -> Schema:
    run = parts.mapping(
        "How a run stands.",
        {"state": parts.choice("Its state.", (state.value for state in RunState))},
        {"reason": parts.text("The word why.")},
    )
    verdict = parts.choice("A verdict.", (one.value for one in Outcome))
    keys: dict[str, Schema] = {
        "runs": parts.sequence("All runs, in the order in which they began.", run),
        "effects": _effects("All that the node and others did, in order."),
        "undone": _effects("All that they took back, in order."),
        "inForce": _effects("All that is in force."),
        "samples": parts.sequence("What the newest run measured.", verdict),
        "evidence": parts.sequence("Topics that the newest run saw, by name.", parts.listed_text("A topic.")),
        "calls": parts.sequence(
            "For what people were called, in order.", parts.listed_text("A reason, or approval.")
        ),
        "told": parts.sequence("The lines of notify, in order.", parts.listed_text("A line.")),
    }
    found = parts.mapping(
        "What must be so at a time, or at the end.", {}, {"at": parts.duration(_TIME, none=True), **keys}
    )
    return found | {"anyOf": [{"required": [key]} for key in keys]}
