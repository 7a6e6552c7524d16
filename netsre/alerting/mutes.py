"""Which alerts are muted: the tickets of announced deploys and of known noisy clients, never a page.

Alertmanager keeps the same ones back, by the silence of an announcement and by the times in the file that
`netsre generate alertmanager` writes. Whoever else tells people goes by this, and asks nobody.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from netsre import conventions
from netsre.alerting import describe
from netsre.alerting import noisy as noisy_clients
from netsre.alerting.routing import ClientMute
from netsre.clock import Timestamp
from netsre.model.alerts import Alert


@dataclass(frozen=True, slots=True)
class Announced:
    """A deploy of services that was announced, and whose tickets an Alertmanager keeps back."""

    services: frozenset[str]
    begin: Timestamp
    until: Timestamp


def all_muted(
    alerts: Iterable[Alert], deploys: Collection[Announced], noisy: Collection[ClientMute], now: Timestamp
) -> bool:
    """Tell whether every one of some alerts is muted now; one that ended: was muted when it did."""
    return all(_is_muted(dict(one.labels), one.resolved_at or now, deploys, noisy) for one in alerts)


def _is_muted(
    labels: dict[str, str], at: Timestamp, deploys: Collection[Announced], noisy: Collection[ClientMute]
) -> bool:
    # What automation asks people comes all the same.
    if labels.get("severity") != conventions.SEVERITY_TICKET or describe.is_call(labels):
        return False
    service = labels.get("service")
    if any(service in one.services and one.begin <= at < one.until for one in deploys):
        return True
    day = noisy_clients.day_of(at)
    return any(
        labels["alertname"] in one.alerts and labels.get(one.label) == one.value and day <= one.client.until
        for one in noisy
    )
