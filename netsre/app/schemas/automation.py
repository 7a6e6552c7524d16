"""Schemas of runbooks and game days."""

from typing import Final

from netsre.app.schemas import actions, levels, parts
from netsre.app.schemas.parts import Schema
from netsre.gameday.parsing import FLOOD, PROFILES
from netsre.model.alerts import AlertState
from netsre.model.directory import OPERATOR
from netsre.model.gamedays import STAGES
from netsre.runbook import asked as asking
from netsre.runbook import bounds, loops, manner_specs, parameters, people_files, proofs
from netsre.runbook import parsing as runbooks
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import Change, Notice, Observation

# In a list, what looks like nothing is a text as well.
_IN_LIST: Final = {**parts.name("Its name."), "type": [*parts.SCALARS, "null"]}
_NO_TIMEOUT: Final = parts.along("veto", {"properties": {"timeout": False}})
_CHANGES: Final = tuple(name for name, action in ACTIONS.items() if isinstance(action, Change))


def runbook() -> Schema:
    """Return the schema of `spec` of a runbook."""
    trigger = parts.mapping(
        "An alert that starts a run.",
        {
            "alert": parts.text("Its name."),
            "transition": parts.choice("Whether it begins or ends.", (state.value for state in AlertState)),
        },
        {
            "from": parts.choice("For an alert of somebody else's.", (runbooks.FOREIGN,)),
            "match": actions.labels("Labels that it must have."),
        },
    )
    step = _step()
    condition = parts.filled_text('A condition about the alert, such as labels.severity == "page".')
    found = parts.mapping(
        "What is done about an alert, within limits, and how it is known to have helped.",
        {
            "on": parts.sequence("What starts a run.", trigger, least=1),
            "lock": _lock(),
            "steps": parts.sequence(
                "What is done, in order.",
                {"if": {"required": [loops.KEY]}, "then": _loop(step), "else": step},
                least=1,
            ),
        },
        {
            "when": condition,
            "parameters": parts.sequence("What a person may choose who begins a run.", _parameter()),
            "unless": parts.sequence("Alerts beside which nothing is done.", _veto()),
            "limits": _limits(),
            "approval": _approval(),
            "verify": _verify(),
            "onFailure": parts.choice(
                "Whether effects are taken back when it did not help.", ("undo", "stop")
            ),
        },
    )
    return found | {"allOf": [_of_changes()]}


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
        "alert": parts.alert_name("The alert that must fire."),
        "runbook": parts.name("The runbook that must act."),
        "slo": parts.name("The SLO that must show that it helped."),
    }
    schedule = {
        "cron": parts.pattern(
            "Five fields as in crontab(5).", r"\s*\S+(?:\s+\S+){4}\s*", "Five fields such as 30 2 * * mon."
        ),
        "timezone": parts.text("Where those are the times, such as Europe/Berlin."),
    }
    deadlines = {str(stage): parts.duration(f"Until when it must be {stage}.") for stage in STAGES}
    budget = {"budgetBelow": parts.share("No drill while less of the error budget is left.")}
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


def people() -> Schema:
    """Return the schema of `spec` of the people who may decide about runs."""
    free = {"not": {"const": OPERATOR}}
    token = parts.pattern(
        "SHA-256 of the person's own token.", people_files.TOKEN_HASH.pattern, "The 64 digits of sha256sum."
    )
    account = parts.pattern(
        "The person's account in Slack.", people_files.SLACK_ACCOUNT.pattern, "A member id such as U024BE7LH."
    )
    person = parts.mapping(
        "A person.",
        {"name": parts.name("Unique among people and groups.") | free},
        {"tokenSha256": token, "slack": account},
    )
    members = parts.sequence("Names of people.", parts.text("A name."), least=1)
    group = parts.mapping(
        "A group.", {"name": parts.name("Unique among people and groups.") | free, "members": members}
    )
    return parts.mapping(
        "Who may decide about runs, beside the operator, who has the controller's own token.",
        {},
        {"people": parts.sequence("People.", person), "groups": parts.sequence("Groups.", group)},
    )


def _approval() -> Schema:
    by = parts.sequence("People and groups whose yes counts; anybody by default.", _IN_LIST, least=1)
    asked = {"by": by, "quorum": parts.whole("How many must say yes.", minimum=1)}
    found = parts.mapping(
        "Who decides: by its mode, or within the time for a veto.",
        {},
        {
            "mode": parts.choice("observe only looks, propose asks, auto acts by itself.", asking.MODES),
            "veto": parts.duration("It acts by itself after so long, 1m to 24h, unless somebody denies it."),
            **asked,
            "timeout": parts.duration("How long it waits for a yes, 1m to 24h."),
        },
    )
    only = dict.fromkeys(("by", "quorum", "timeout"), False)
    quiet = parts.when("mode", ["observe", "auto"], {"properties": only})
    return found | {"oneOf": [{"required": ["mode"]}, {"required": ["veto"]}], "allOf": [quiet, _NO_TIMEOUT]}


def _lock() -> Schema:
    found = parts.pattern(
        "What two runs must never share, such as conntrack/{node}.",
        r"(?=\s*\S)(?:[^{}]|\{[A-Za-z_][A-Za-z0-9_]*\})*",
        "A text such as conntrack/{node}, with labels of the alert in braces.",
    )
    return {**found, "type": list(parts.SCALARS)}


def _limits() -> Schema:
    return parts.mapping(
        "What a run may never exceed.",
        {},
        {
            "cooldown": parts.duration("How long a target is left alone after a run."),
            "perHour": parts.whole("Runs in an hour.", minimum=1),
            "maxTargets": parts.whole("Targets at the same time.", minimum=1),
            "minHealthy": parts.whole_share("The share of the other targets that must be healthy."),
            "perDay": parts.whole("Runs in a day.", minimum=1),
            "perTarget": parts.mapping(
                "The same on one target.",
                {},
                {
                    "perHour": parts.whole("Runs in an hour.", minimum=1),
                    "perDay": parts.whole("Runs in a day.", minimum=1),
                },
            ),
            "breaker": parts.mapping(
                "When it is tried no more, because it does not help.",
                {},
                {
                    "failures": parts.whole(
                        "Runs in a row that changed something without success.",
                        minimum=1,
                        maximum=bounds.MOST_FAILURES,
                    ),
                    "retryAfter": parts.duration("When one run may try again; without it a person decides."),
                },
            ),
        },
    )


def _veto() -> Schema:
    return parts.mapping(
        "An alert beside which nothing is done.",
        {"alert": parts.text("Its name.")},
        {
            "from": parts.choice("For an alert of somebody else's.", (runbooks.FOREIGN,)),
            "match": actions.labels("Labels that it must have."),
            "equal": parts.sequence(
                "Labels that it must share with the alert of the run, node by default; [] for anywhere.",
                parts.listed_text("A label."),
            ),
        },
    )


def _verify() -> Schema:
    found = parts.mapping(
        "How it is known to have helped.",
        {
            "window": parts.duration("What each sample looks back at."),
            "samples": parts.whole("Samples in a row.", minimum=1, maximum=proofs.MOST_SAMPLES),
        },
        {
            "slo": parts.name("The SLO that says so."),
            "query": levels.query(),
            "need": parts.whole("How many of them must be good: all, unless written.", minimum=1),
            "noData": parts.choice("What it means that nothing was measured.", proofs.NO_DATA),
            "within": parts.duration("Until when, at most 1h after the last change."),
        },
    )
    return found | {"oneOf": [{"required": ["slo"]}, {"required": ["query"]}]}


def _parameter() -> Schema:
    kind = parts.choice("What a value of it is.", parameters.TYPES)
    name = parts.pattern(
        "How steps name it: ${param.NAME}.",
        parameters.NAME.pattern,
        "Lower-case letters, digits and underscores.",
    )
    bounds = {
        "min": parts.text("The least, of a duration or an integer."),
        "max": parts.text("The most, of a duration or an integer."),
        "choices": parts.sequence("All there are, of a choice.", parts.listed_text("A value.")),
    }
    return parts.mapping(
        "A parameter.",
        {
            "name": {**name, "type": list(parts.SCALARS)},
            "type": kind,
            "default": parts.text("Its value unless set."),
        },
        bounds,
    )


def _loop(step: Schema) -> Schema:
    steps = parts.sequence("The steps of one round.", step, least=1)
    bounded = parts.mapping(
        "Steps that are done again until they helped.",
        {
            "times": parts.whole("Rounds at most.", minimum=2, maximum=loops.MOST_ROUNDS),
            "until": parts.filled_text("No further round begins once this holds, such as not still(alert)."),
            "steps": steps,
        },
        {"wait": parts.duration("The rest between two rounds, 1s to 5m; 10s by default.")},
    )
    return parts.mapping("A loop.", {loops.KEY: bounded})


def _step() -> Schema:
    look = parts.filled_text("Only when this holds, such as still(alert).")
    anything = {"description": "The parameters of the action.", "type": "object"}
    tries = {
        "times": parts.whole("Tries after the first.", maximum=manner_specs.MOST_TRIES),
        "wait": parts.duration("The rest between two tries, 1s to 10m."),
    }
    item = parts.mapping(
        "One action.",
        {"action": parts.choice("The action.", ACTIONS), "with": anything},
        {
            "if": look,
            "timeout": parts.duration("How long a node without an answer is asked again, 1s to 5m."),
            "retry": parts.mapping("How often it is tried again when it failed.", tries),
            "onFailure": parts.choice("What follows when it failed.", manner_specs.WAYS),
        },
    )
    return item | {"allOf": [_parameters(action) for action in ACTIONS]}


def _parameters(action: str) -> Schema:
    """Return what a step must have by its action."""
    named = parameters.REFERENCE.pattern
    takes, may = (
        {key: parts.or_reference(value, named) for key, value in keys.items()}
        for keys in (actions.TAKES[action], actions.MAY_TAKE.get(action, {}))
    )
    keys: Schema = {"with": parts.mapping("The parameters of the action.", takes, may)}
    if action not in _CHANGES:
        keys["if"] = False
    if not isinstance(ACTIONS[action], Observation | Notice):
        keys["onFailure"] = {"not": {"const": "continue"}}
    return parts.when("action", [action], {"properties": keys})


def _of_changes() -> Schema:
    """Return what a runbook must have that changes something."""
    asked = {
        "approval": {"properties": {"mode": {"not": {"const": "observe"}}}},
        "on": {"items": {"properties": {"transition": {"const": AlertState.FIRING.value}}}},
    }
    # A loop changes something, or is refused.
    change = {"anyOf": [parts.has("action", _CHANGES), {"required": [loops.KEY]}]}
    changing = {"properties": {"steps": {"contains": change}}, "required": ["steps"]}
    return {"if": changing, "then": {"required": ["approval", "verify"], "properties": asked}}
