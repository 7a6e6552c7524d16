"""The schemas as they are published, by file name."""

import json
from collections.abc import Mapping
from typing import Final

from netsre import conventions
from netsre.app.schemas import automation, levels, parts
from netsre.app.schemas.parts import Schema
from netsre.model import alert_rules, gamedays
from netsre.runbook import parsing as runbooks
from netsre.slo import parsing as slos
from netsre.slo import policies

ANY: Final = "netsre.json"
"""The schema of a file of any kind."""


def schemas() -> Mapping[str, Schema]:
    """Return every schema by file name: one for each kind, and one for a file of any of them."""
    labels = {
        "description": "Labels that its alerts have beside those that netsre sets.",
        "type": "object",
        "additionalProperties": parts.text("A value."),
    }
    name = parts.name("Unique among its kind.")
    alert = parts.pattern("Unique among alerts.", "[A-Z][A-Za-z0-9]{0,62}")
    plain = parts.mapping("What it is called.", {"name": name})
    named = parts.mapping("What it is called, and whose it is.", {"name": name}, {"labels": labels})
    alerting = parts.mapping("What it is called, and whose it is.", {"name": alert}, {"labels": labels})
    kinds = {
        "slo.json": (slos.KIND, "A service level objective.", named, levels.slo()),
        "burn-policy.json": (policies.KIND, "When burning is an alert.", plain, levels.burn_policy()),
        "alert.json": (alert_rules.KIND, "An alert about a condition.", alerting, levels.alert()),
        "runbook.json": (runbooks.KIND, "What is done about an alert.", plain, automation.runbook()),
        "game-day.json": (gamedays.KIND, "A fault on purpose.", plain, automation.game_day()),
    }
    found = {
        file: parts.document(kind, about, metadata, spec, conventions.API_VERSION)
        for file, (kind, about, metadata, spec) in kinds.items()
    }
    about = "A file of netsre, of any kind."
    return {**found, ANY: parts.any_of_kinds(about, {kind: file for file, (kind, *_) in kinds.items()})}


def files() -> Mapping[str, bytes]:
    """Return what stands in each file."""
    return {
        file: (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()
        for file, schema in schemas().items()
    }
