"""What a runbook says, in a word: a run goes by the text that it was judged by, or ends."""

import hashlib
from collections.abc import Mapping

from netsre.model.documents import Document, Json, canonical
from netsre.model.runbooks import Limits, Runbook, Verification
from netsre.runbook import conditions


def of(runbook: Runbook) -> str:
    """Return the hash of everything that a runbook says; where it says it does not count."""
    return hashlib.sha256(canonical(_document(runbook)).encode()).hexdigest()


def limits(of_runbook: Limits) -> Document:
    """Return limits as a document."""
    return {
        "cooldown": of_runbook.cooldown,
        "perHour": of_runbook.per_hour,
        "maxTargets": of_runbook.max_targets,
        "minHealthy": of_runbook.min_healthy,
    }


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
    }


def read_limits(value: Json) -> Limits:
    """Return the limits of a document; raises `ValueError` for what is none."""
    cooldown, per_hour, max_targets, min_healthy = (
        _whole(value, key) for key in ("cooldown", "perHour", "maxTargets", "minHealthy")
    )
    return Limits(cooldown, per_hour, max_targets, min_healthy)


def read_verification(value: Json) -> Verification:
    """Return the verification of a document; raises `ValueError` for what is none."""
    window, samples, within = (_whole(value, key) for key in ("window", "samples", "within"))
    slo, no_data = (
        (value.get(key) for key in ("slo", "noData")) if isinstance(value, Mapping) else (None, None)
    )
    if not isinstance(slo, str):
        raise ValueError("the verification names no service level")
    return Verification(slo, window, samples, "fail" if no_data == "fail" else "inconclusive", within)


def _whole(value: Json, key: str) -> int:
    number = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(number, int):
        raise ValueError(f"{key} is {number!r}; a whole number belongs there")
    return number


def _document(runbook: Runbook) -> Document:
    return {
        "name": runbook.name,
        "on": [[trigger.alert, trigger.transition.value] for trigger in runbook.triggers],
        "when": None if runbook.when is None else conditions.text(runbook.when),
        "lock": runbook.lock,
        "limits": limits(runbook.limits),
        "mode": runbook.mode,
        "steps": [
            {
                "action": step.action,
                "with": step.parameters,
                "if": None if step.condition is None else conditions.text(step.condition),
            }
            for step in runbook.steps
        ],
        "verify": verification(runbook.verify),
        "onFailure": runbook.on_failure,
    }
