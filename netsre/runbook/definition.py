"""What a runbook says, in a word: a run goes by the text that it was judged by, or ends."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from netsre.model.documents import Document, Json, canonical
from netsre.model.runbooks import Limits, Runbook, Trigger, Verification, Veto
from netsre.model.samples import labels
from netsre.runbook import conditions, manners, parameters, proofs

_OTHERS: Final = {
    "perDay": "per_day",
    "targetPerHour": "target_per_hour",
    "targetPerDay": "target_per_day",
    "breakerFailures": "breaker_failures",
    "breakerRetry": "breaker_retry",
}
"""Limits that an older version does not know, by the name of the field."""
_DEFAULT: Final = {key: getattr(Limits(0, 0), name) for key, name in _OTHERS.items()}


def of(runbook: Runbook) -> str:
    """Return the hash of everything that a runbook says; where it says it does not count."""
    return hashlib.sha256(canonical(_document(runbook)).encode()).hexdigest()


def limits(of_runbook: Limits) -> Document:
    """Return limits as a document."""
    usual = {
        "cooldown": of_runbook.cooldown,
        "perHour": of_runbook.per_hour,
        "maxTargets": of_runbook.max_targets,
        "minHealthy": of_runbook.min_healthy,
    }
    others = {key: getattr(of_runbook, name) for key, name in _OTHERS.items()}
    # What is as it is by default is left out: then a text of an older version has the hash that it had.
    return {**usual, **{key: value for key, value in others.items() if value != _DEFAULT[key]}}


def verification(verify: Verification | None) -> Document | None:
    """Return a verification as a document."""
    if verify is None:
        return None
    return {
        "slo": verify.slo,
        "window": verify.window,
        "samples": verify.samples,
        "noData": verify.no_data,
        "within": verify.within,
        **({} if verify.need is None else {"need": verify.need}),
        **({} if verify.query is None else {"query": proofs.write(verify.query)}),
    }


def read_limits(value: Json) -> Limits:
    """Return the limits of a document; raises `ValueError` for what is none."""
    cooldown, per_hour, max_targets, min_healthy = (
        _whole(value, key) for key in ("cooldown", "perHour", "maxTargets", "minHealthy")
    )
    others = {
        name: _whole(value, key)
        for key, name in _OTHERS.items()
        if isinstance(value, Mapping) and key in value
    }
    return Limits(cooldown, per_hour, max_targets, min_healthy, **others)


def vetoes(unless: Iterable[Veto]) -> list[Json]:
    """Return what stands under `unless` as a document."""
    return [{"alert": veto.alert, "match": dict(veto.match), "equal": list(veto.equal)} for veto in unless]


def read_vetoes(value: Json) -> tuple[Veto, ...]:
    """Return what stands under `unless` in a document; raises `ValueError` for what is none."""
    found = []
    for item in value if isinstance(value, Sequence) and not isinstance(value, str) else ():
        alert, match, equal = (
            (item.get(key) for key in ("alert", "match", "equal"))
            if isinstance(item, Mapping)
            else ("", {}, "")
        )
        if not isinstance(match, Mapping) or not isinstance(equal, Sequence) or isinstance(equal, str):
            raise ValueError("the veto is none")
        pairs = labels({name: str(text) for name, text in match.items()})
        found.append(Veto(str(alert), pairs, tuple(map(str, equal))))
    return tuple(found)


def read_verification(value: Json) -> Verification:
    """Return the verification of a document; raises `ValueError` for what is none."""
    window, samples, within = (_whole(value, key) for key in ("window", "samples", "within"))
    slo, no_data = (
        (value.get(key) for key in ("slo", "noData")) if isinstance(value, Mapping) else (None, None)
    )
    if not isinstance(slo, str):
        raise ValueError("the verification names no service level")
    need, query = (
        (value.get(key) for key in ("need", "query")) if isinstance(value, Mapping) else (None, None)
    )
    return Verification(
        slo,
        window,
        samples,
        proofs.read_no_data(no_data),
        within,
        None if need is None else _whole(value, "need"),
        None if query is None else proofs.read_query(query),
    )


def _whole(value: Json, key: str) -> int:
    number = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(number, int):
        raise ValueError(f"{key} is {number!r}; a whole number belongs there")
    return number


def _trigger(trigger: Trigger) -> Json:
    said = (trigger.alert, trigger.transition.value)
    return (*said, dict(trigger.match)) if trigger.match else said


def _document(runbook: Runbook) -> Document:
    asked = runbook.approval
    words: Document = {} if asked is None else {"by": asked.by, "quorum": asked.quorum, "wait": asked.wait}
    return {
        "name": runbook.name,
        "on": [_trigger(trigger) for trigger in runbook.triggers],
        "when": None if runbook.when is None else conditions.text(runbook.when),
        "lock": runbook.lock,
        "limits": limits(runbook.limits),
        "mode": runbook.mode,
        # Only where people are asked: the names of all others stay what they were.
        **({"approval": words} if words else {}),
        "steps": [
            {
                "action": step.action,
                "with": step.parameters,
                "if": None if step.condition is None else conditions.text(step.condition),
                **manners.write(step.manner),
            }
            for step in runbook.steps
        ],
        "verify": verification(runbook.verify),
        "onFailure": runbook.on_failure,
        **({"unless": vetoes(runbook.unless)} if runbook.unless else {}),
        **(
            {"parameters": [parameters.write(one) for one in runbook.parameters]}
            if runbook.parameters
            else {}
        ),
    }
