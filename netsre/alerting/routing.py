"""Which alerts go where: what a routing tree has to know of service levels and alerts.

An alert's labels are its identity, so that routes, groups and inhibition rest on nothing but labels that the
loaded service levels and alerts give theirs.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from netsre.alerting import describe
from netsre.alerting.noisy import NoisyClient
from netsre.model.alert_rules import AlertRule
from netsre.model.levels import (
    SLO,
    LatencyIndicator,
    PromqlIndicator,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)

CLIENT: Final = "src"
"""The label of an alert about one client, with its name."""
SOURCE: Final = "source"
"""The same, with its address."""
_OF_POLICIES: Final = "netsre_policy_"
_TABLE_OF_POLICIES: Final = ("table", "=", "datapath")


@dataclass(frozen=True, slots=True)
class ClientMute:
    """Tickets about a noisy client that are muted: those of some alerts with one value of a label."""

    label: str
    value: str
    alerts: tuple[str, ...]
    """The names of the alerts that have this label; empty where none has."""
    client: NoisyClient


@dataclass(frozen=True, slots=True)
class Routing:
    """What the tree is made of; all of it in a fixed order."""

    policy_services: tuple[str, ...]
    """Services of which every level and alert is about network policies: grouped by deployment batch."""
    levels: tuple[str, ...]
    """The names of alerts about service levels: of each there may be a page and a ticket for one group."""
    equal: tuple[str, ...]
    """The labels that say which level and group such an alert is about; one that both lack is equal."""
    noisy: tuple[ClientMute, ...]


def of(slos: Sequence[SLO], rules: Sequence[AlertRule], noisy: Collection[NoisyClient] = ()) -> Routing:
    """Return what the routing tree of these is made of."""
    grouped = {label for slo in slos for label in slo.group_by}
    return Routing(
        policy_services=_policy_services(slos, rules),
        levels=(describe.ALERT_NAME, describe.ABSENT),
        equal=("alertname", "service", "slo", *sorted(grouped)),
        noisy=client_mutes(rules, noisy),
    )


def client_mutes(rules: Sequence[AlertRule], clients: Iterable[NoisyClient]) -> tuple[ClientMute, ...]:
    """Return what is muted of noisy clients, in a fixed order."""
    alerts = {
        label: tuple(sorted(rule.name for rule in rules if label in rule.group_by))
        for label in (CLIENT, SOURCE)
    }
    known = (
        ClientMute(label, value, alerts[label], client)
        for client in clients
        for label, value in ((CLIENT, client.src), (SOURCE, client.source))
        if value
    )
    return tuple(sorted(known, key=lambda mute: (mute.label, mute.value)))


def _policy_services(slos: Sequence[SLO], rules: Sequence[AlertRule]) -> tuple[str, ...]:
    about = [(slo.service, _selectors(slo)) for slo in slos]
    about += [(rule.service, (rule.selector,)) for rule in rules]
    # A service with anything else keeps its groups: a page about traffic is never one of a batch.
    others = {
        service for service, asked in about if not asked or not all(_is_of_policies(one) for one in asked)
    }
    return tuple(sorted({service for service, _ in about} - others))


def _selectors(slo: SLO) -> tuple[Selector, ...]:
    """Return what a level asks for; nothing is known of an expression of somebody's own."""
    match slo.indicator:
        case RatioIndicator(bad=bad, total=total):
            return (bad, total)
        case LatencyIndicator(selector=selector) | ThresholdIndicator(selector=selector):
            return (selector,)
        case PromqlIndicator():
            return ()


def _is_of_policies(selector: Selector) -> bool:
    tables = ((one.label, one.op, one.value) for one in selector.matchers)
    return selector.metric.startswith(_OF_POLICIES) or _TABLE_OF_POLICIES in tables
