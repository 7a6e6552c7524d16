"""What people did, and what the controller itself went through, out of the audit."""

import json
from collections.abc import Iterable, Iterator

from netsre.app.control import ACTOR
from netsre.app.control.incidents.events import Happened
from netsre.model.audit import Row

_OWN = ("kill_switch.", "slo.redefined", "controller.started", "value.quarantined")
"""What the controller writes and no incident tells."""
_TOLD = ("run.", "alert.", "incident.", "effect.", "event.", "deploy.announced", "policy.changed")
"""What the runs and alerts of an incident tell themselves; those of others do not belong to it."""


def events(rows: Iterable[Row]) -> Iterator[Happened]:
    """Yield what is of interest, whatever verbs there are."""
    for row in rows:
        ours = row.actor == ACTOR
        if row.verb.startswith(_TOLD) or (ours and not row.verb.startswith(_OWN)):
            continue
        details = _details(row)
        who = str(details.get("by") or ACTOR) if ours else row.actor
        kind = "controller" if who == ACTOR else "person"
        about = "" if row.verb.startswith("kill_switch.") else f" {row.subject}"
        reason = details.get("reason")
        yield row.at, kind, f"{who}: {row.verb}{about}" + (f" ({reason})" if reason else "")


def _details(row: Row) -> dict[str, object]:
    try:
        found = json.loads(row.details)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
