"""Schemas of runbooks and game days."""

from typing import Final

from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema
from netsre.gameday.parsing import FLOOD, PROFILES
from netsre.model.alerts import AlertState
from netsre.model.gamedays import STAGES
from netsre.runbook import parsing as runbooks
from netsre.runbook.actions import evidence

_SOURCE: Final = parts.text("An address, or ${evidence.top_source}.")


def runbook() -> Schema:
    """Return the schema of `spec` of a runbook."""
    trigger = parts.mapping(
        "An alert that starts a run.",
        {
            "alert": parts.text("Its name."),
            "transition": parts.choice("Whether it begins or ends.", (state.value for state in AlertState)),
        },
        {"from": parts.choice("For an alert of somebody else's.", (runbooks.FOREIGN,))},
    )
    condition = parts.text('A condition about the alert, such as labels.severity == "page".')
    return parts.mapping(
        "What is done about an alert, within limits, and how it is known to have helped.",
        {
            "on": parts.sequence("What starts a run.", trigger, least=1),
            "lock": parts.text("What two runs must never share, such as conntrack/{node}."),
            "steps": parts.sequence("What is done, in order.", _step(), least=1),
        },
        {
            "when": condition,
            "limits": _limits(),
            "approval": parts.mapping(
                "Who decides.",
                {"mode": parts.choice("observe only looks; auto acts by itself.", ("observe", "auto"))},
            ),
            "verify": _verify(),
            "onFailure": parts.choice(
                "Whether effects are taken back when it did not help.", ("undo", "stop")
            ),
        },
    )


def game_day() -> Schema:
    """Return the schema of `spec` of a game day."""
    fault = parts.mapping(
        "What is broken.",
        {
            "kind": parts.choice("The fault.", (FLOOD,)),
            "profile": parts.choice("How the table is filled.", PROFILES),
            "duration": parts.duration("When it ends by itself: whole seconds, up to 10m."),
        },
    )
    answer = {
        "alert": parts.text("The alert that must fire."),
        "runbook": parts.text("The runbook that must act."),
        "slo": parts.text("The SLO that must show that it helped."),
    }
    schedule = {
        "cron": parts.text("Five fields as in crontab(5)."),
        "timezone": parts.text("Where those are the times, such as Europe/Berlin."),
    }
    deadlines = {str(stage): parts.duration(f"Until when it must be {stage}.") for stage in STAGES}
    budget = {"budgetBelow": parts.percent("No drill while less of the error budget is left.")}
    return parts.mapping(
        "A fault that is made on purpose, and what must answer it.",
        {
            "hypothesis": parts.text("What will be true."),
            "faults": {**parts.sequence("Exactly one fault.", fault, least=1), "maxItems": 1},
            "targets": parts.mapping(
                "Where: in the lab, and nowhere else.",
                {"lab": {"description": "Always true.", "enum": [True, "true"]}},
            ),
            "expect": parts.mapping("What must answer the fault.", answer),
            "deadlines": parts.mapping("Times since the fault, none earlier than the one before.", deadlines),
        },
        {
            "abort": parts.mapping("When no drill is done.", budget),
            "schedule": parts.mapping("When it is done without a hand.", schedule),
        },
    )


def _limits() -> Schema:
    return parts.mapping(
        "What a run may never exceed.",
        {},
        {
            "cooldown": parts.duration("How long a target is left alone after a run."),
            "perHour": parts.whole("Runs in an hour.", minimum=1),
            "maxTargets": parts.whole("Targets at the same time.", minimum=1),
            "minHealthy": parts.percent("The share of the other targets that must be healthy."),
        },
    )


def _verify() -> Schema:
    return parts.mapping(
        "How it is known to have helped.",
        {
            "slo": parts.text("The SLO that says so."),
            "window": parts.duration("What each sample looks back at."),
            "samples": parts.whole("Good samples in a row.", minimum=1, maximum=runbooks.MOST_SAMPLES),
        },
        {
            "noData": parts.choice("What it means that nothing was measured.", ("inconclusive", "fail")),
            "within": parts.duration("Until when, at most 1h after the last change."),
        },
    )


def _step() -> Schema:
    ttl = parts.duration("When the change ends by itself.")
    limit = parts.text("x2 to x8 of the present limit, or a number of entries.")
    look = parts.text("Only when this holds, such as still(alert).")
    topic = parts.choice("A topic.", sorted(evidence.TOPICS))
    takes = {
        "evidence.collect": {"what": parts.sequence("What to look at.", topic, least=1)},
        "datapath.block_source": {"source": _SOURCE, "ttl": ttl},
        "conntrack.flush": {"source": _SOURCE},
        "conntrack.tune": {"limit": limit, "max": parts.whole("Never above this.", minimum=1), "ttl": ttl},
    }
    steps = []
    for action, parameters in takes.items():
        required = {
            "action": {"description": "The action.", "const": action},
            "with": parts.mapping("Its parameters.", parameters),
        }
        changes = action != "evidence.collect"
        steps.append(parts.mapping("One action.", required, {"if": look} if changes else {}))
    return {"type": "object", "oneOf": steps}
