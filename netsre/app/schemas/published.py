"""The schemas as they are published, by file name."""

import json
from collections.abc import Mapping
from typing import Final

from netsre import conventions
from netsre.alerting import noisy
from netsre.alerting import parsing as alerts
from netsre.app import settings
from netsre.app.schemas import (
    automation,
    endpoints,
    levels,
    maintenance,
    parts,
    records,
    scenarios,
    services,
    set_up,
)
from netsre.app.schemas.parts import Schema
from netsre.datapath import workload_files
from netsre.model import alert_rules, gamedays
from netsre.model import maintenance as calendars
from netsre.model import scenarios as model
from netsre.runbook import parsing as runbooks
from netsre.runbook import people_files
from netsre.slo import parsing as slos
from netsre.slo import policies, spec_parts

ANY: Final = "netsre.json"
"""The schema of a file of any kind."""


def schemas() -> Mapping[str, Schema]:
    """Return every schema by file name: one for each kind, and one for a file of any of them."""
    labels = {
        "description": "Labels that its alerts have beside those that netsre sets.",
        "type": "object",
        "propertyNames": {
            "pattern": "^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$",
            "not": {"enum": sorted(spec_parts.RESERVED)},
        },
        "additionalProperties": parts.text("A value."),
    }
    name = parts.name("Unique among its kind.")
    alert = parts.alert_name("Unique among alerts.") | {"not": {"enum": sorted(alerts.RESERVED)}}
    policy = parts.mapping("What it is called.", {"name": name | {"not": {"const": slos.NO_POLICY}}})
    plain = parts.mapping("What it is called.", {"name": name})
    named = parts.mapping("What it is called, and whose it is.", {"name": name}, {"labels": labels})
    alerting = parts.mapping("What it is called, and whose it is.", {"name": alert}, {"labels": labels})
    kinds = {
        "slo.json": (slos.KIND, "A service level objective.", named, levels.slo()),
        "burn-policy.json": (policies.KIND, "When burning is an alert.", policy, levels.burn_policy()),
        "alert.json": (alert_rules.KIND, "An alert about a condition.", alerting, levels.alert()),
        "runbook.json": (runbooks.KIND, "What is done about an alert.", plain, automation.runbook()),
        "game-day.json": (gamedays.KIND, "A fault on purpose.", plain, automation.game_day()),
        "scenario.json": (model.KIND, "What a runbook makes of a world.", plain, scenarios.scenario()),
        "maintenance.json": (calendars.KIND, "When people work.", plain, maintenance.calendar()),
        "noisy-clients.json": (noisy.KIND, "Clients whose tickets wait.", plain, set_up.noisy_clients()),
        "people.json": (people_files.KIND, "Who may decide about runs.", plain, automation.people()),
        "workloads.json": (workload_files.KIND, "Names of ends of connections.", plain, set_up.workloads()),
        "controller.json": (settings.KIND, "How a controller is set up.", plain, set_up.controller()),
    }
    found = {
        file: {"$id": file, **parts.document(kind, about, metadata, spec, conventions.API_VERSION)}
        for file, (kind, about, metadata, spec) in kinds.items()
    }
    about = "A file of netsre, of any kind."
    any_kind = parts.any_of_kinds(about, {kind: file for file, (kind, *_) in kinds.items()})
    return {**found, ANY: {"$id": ANY, **any_kind}}


def list_schemas() -> Mapping[str, Schema]:
    """Return the schemas of files that are a list without a head, by file name."""
    found = {"endpoints.json": endpoints.listed(), "services.json": services.listed()}
    return {file: {"$id": file, **schema} for file, schema in found.items()}


def record_schemas() -> Mapping[str, Schema]:
    """Return the schemas of what netsre writes for other programs, by file name."""
    return {"flow.json": {"$id": "flow.json", **records.flow()}}


def files() -> Mapping[str, bytes]:
    """Return what stands in each file."""
    return {
        file: (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()
        for file, schema in {**schemas(), **list_schemas(), **record_schemas()}.items()
    }
