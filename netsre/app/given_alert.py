"""One alert as somebody hands it in: in Alertmanager's form, or as a webhook body with just one."""

import json
from collections.abc import Mapping
from typing import Any

from netsre import clock
from netsre.alerting import webhook
from netsre.clock import Timestamp
from netsre.errors import BadInput


def read(text: str, now: Timestamp) -> Mapping[str, Any]:
    """Return the one alert of a text; one without a beginning begins now. Raises `BadInput`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"alert is no JSON: {error}") from error
    if isinstance(document, dict) and isinstance(document.get("alerts"), list):
        if len(document["alerts"]) != 1:
            raise BadInput(f"alert: the body has {len(document['alerts'])} alerts; hand in one")
        document = document["alerts"][0]
    if not isinstance(document, dict):
        raise BadInput('alert is no JSON object; write {"labels": {"alertname": "…"}}')
    alert = {"startsAt": clock.rfc3339(now), **document}
    if alert.get("status") != "resolved":
        # Alertmanager's API has an object there, and what it lists fires.
        alert["status"] = "firing"
    notice(alert)
    return alert


def notice(alert: Mapping[str, Any]) -> webhook.Notice:
    """Return an alert of the webhook's form; raises `BadInput`."""
    try:
        (found,) = webhook.read(json.dumps({"version": webhook.VERSION, "alerts": [alert]}).encode()).notices
    except BadInput as error:
        raise BadInput(str(error).replace("alerts[0]", "alert")) from error
    return found
