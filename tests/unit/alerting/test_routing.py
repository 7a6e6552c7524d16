"""Claims about what a routing tree is made of."""

import datetime
import pathlib

from netsre.alerting import routing
from netsre.alerting.noisy import NoisyClient
from netsre.app import service_levels

LEVELS = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: NAME}
spec:
  service: SERVICE
  description: It works.
  objective: 99.9
  window: 30d
  groupBy: [node]
  indicator:
    ratio: {bad: {metric: netsre_policy_verdicts_total, match: 'verdict="denied"'}, total: {metric: TOTAL}}
  alerting: {policy: workbook}
"""


def level(name: str, service: str, total: str) -> str:
    """Return a level of a service whose events are those of a metric."""
    return LEVELS.replace("NAME", name).replace("SERVICE", service).replace("TOTAL", total)


def test_the_shipped_levels_have_one_service_of_policies() -> None:
    """Its table is one of policies too; that of the kernel and the flows are not."""
    found = service_levels.load()
    routes = routing.of(found.slos, found.alerts)

    assert routes.policy_services == ("node-policy",)
    assert routes.equal == ("alertname", "service", "slo", "netns", "node")


def test_a_service_that_also_carries_traffic_is_not_one_of_policies(tmp_path: pathlib.Path) -> None:
    """Its pages stay by node: that it is down is never one of a batch."""
    (tmp_path / "a.yaml").write_text(
        level("denied", "shop", "netsre_policy_verdicts_total")
        + "---"
        + level("flows", "shop", "netsre_flows_total")
        + "---"
        + level("other", "gate", "netsre_policy_verdicts_total")
    )
    found = service_levels.load([tmp_path])

    assert routing.of(found.slos, found.alerts).policy_services == ("gate",)


def test_a_noisy_client_is_muted_by_its_name_and_by_its_address_where_alerts_have_them() -> None:
    """Whoever is known by one of them is muted by that alone."""
    day = datetime.date(2027, 1, 31)
    both = NoisyClient("default/scanner", "10.0.0.7", day, "ann", "x")
    one = NoisyClient("", "10.0.0.6", day, "ann", "x")
    found = routing.client_mutes(service_levels.load().alerts, [both, one])

    egress = ("UnexpectedEgress", "UnexpectedEgressDenied")
    assert [(mute.label, mute.value, mute.alerts) for mute in found] == [
        ("source", "10.0.0.6", ("NoisyClient",)),
        ("source", "10.0.0.7", ("NoisyClient",)),
        ("src", "default/scanner", egress),
    ]
