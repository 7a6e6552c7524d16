"""Pages that join an incident which people have seen already: each is said in the channel, once.

The first message changes in its place, which rings nowhere, and may stand far above what anybody reads.
"""

from typing import Final

from netsre import clock
from netsre.app.control.incidents import causes
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.incidents.left import web_address
from netsre.app.control.slack import blocks
from netsre.app.control.slack.blocks import Said
from netsre.model.alerts import Alert, AlertState

JOINED: Final = "page/"
_LATE: Final = 5 * clock.MINUTE
"""A page that begins so long after an incident is news."""
_MOST: Final = 20


def keys(facts: Facts) -> list[str]:
    """Return the key of each page that came late, by what it is about, the first one first."""
    first: dict[str, Alert] = {}
    for alert in facts.alerts:
        if causes.is_urgent(alert):
            first.setdefault(alert.fingerprint, alert)
    late = (alert for alert in first.values() if alert.fired_at - facts.incident.opened_at >= _LATE)
    return [JOINED + alert.fingerprint for alert in late][:_MOST]


def say(key: str, facts: Facts) -> Said:
    """Return what is said of a page: as it fires now, or fired last."""
    alert = [one for one in facts.alerts if one.fingerprint == key.removeprefix(JOINED)][-1]
    name = causes.named(dict(alert.labels))
    named = blocks.link(web_address(alert.annotations.get("runbook_url", "")), name)
    summary = blocks.escape(alert.annotations.get("summary", ""), 350)
    fires = alert.state is AlertState.FIRING
    ended = "" if fires else f" until {blocks.moment(alert.resolved_at)}"
    text = (
        f"{'🔴' if fires else '✅'} *page* {named}: {summary}, since {blocks.moment(alert.fired_at)}{ended}"
    )
    return Said(text, (blocks.section([text]),), broadcast=True)
