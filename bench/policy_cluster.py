"""A cluster of a thousand endpoints under a thousand policies, as files say it.

Fifty namespaces with ten applications of two replicas each. Every application has a policy of what it lets in
and one of where it goes; five hundred are NetworkPolicies and five hundred are Cilium's, four of those for
the whole cluster. They have selectors within a namespace and across, networks with exceptions, ranges of
ports, named ports and rules that deny.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

NAMESPACES: Final = 50
APPLICATIONS: Final = 10
REPLICAS: Final = 2

_INGRESS: Final = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: in-{app}, namespace: ns-{space}}}
spec:
  podSelector: {{matchLabels: {{app: app-{app}}}}}
  ingress:
    - from: [{{podSelector: {{matchLabels: {{app: app-{next}}}}}}}]
      ports: [{{port: http}}, {{port: {port}, endPort: {last}}}]
    - from:
        - namespaceSelector: {{matchLabels: {{team: team-{team}}}}}
          podSelector: {{matchExpressions: [{{key: tier, operator: In, values: [edge, mesh]}}]}}
        - ipBlock: {{cidr: 10.{space}.0.0/16, except: [10.{space}.{app}.0/26]}}
      ports: [{{port: 8080}}]
"""
_EGRESS: Final = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: out-{app}, namespace: ns-{space}}}
spec:
  endpointSelector: {{matchLabels: {{app: app-{app}}}}}
  egress:
    - toEndpoints: [{{matchLabels: {{app: app-{previous}}}}}]
      toPorts: [{{ports: [{{port: http}}, {{port: '{port}', endPort: {last}, protocol: TCP}}]}}]
    - toEndpoints: [{{matchLabels: {{'k8s:io.kubernetes.pod.namespace': ns-0, app: app-0}}}}]
      toPorts: [{{ports: [{{port: '53', protocol: ANY}}]}}]
    - toCIDRSet: [{{cidr: 172.16.{space}.0/24, except: [172.16.{space}.{low}/28]}}]
      toPorts: [{{ports: [{{port: '443', protocol: TCP}}]}}]
"""
_WIDE: Final = (
    "{endpointSelector: {}, egressDeny: [{toCIDR: [169.254.169.254/32]}]}",
    "{endpointSelector: {matchLabels: {tier: edge}}, ingress: [{fromEntities: [world]}]}",
    "{endpointSelector: {}, ingress: [{fromEntities: [host]}], enableDefaultDeny: {ingress: false}}",
    """{endpointSelector: {matchLabels: {tier: mesh}}, egress: [
    {toCIDRSet: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}],
    toPorts: [{ports: [{port: '443', protocol: TCP}]}]}]}""",
)
_ENDPOINT: Final = """\
- name: app-{app}-{replica}
  namespace: ns-{space}
  labels: {{app: app-{app}, tier: {tier}, pod-template-hash: h{app}}}
  namespaceLabels: {{team: team-{team}}}
  ips: [10.{space}.{app}.{host}, 'fd00:{space}::{app}:{host}']
  namedPorts: {{http: 80{app}}}
"""
_TIERS: Final = ("edge", "mesh", "core", "data")


def policies() -> Mapping[str, str]:
    """Return the policies, each in a file of its own as teams keep them, by name."""
    found = dict(_policies())
    # Some policies are about many, each in the place of one that is about one application.
    for number, spec in enumerate(_WIDE):
        del found[f"ns-{number + 1}/out-0.yaml"]
        found[f"wide-{number}.yaml"] = (
            "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n"
            f"metadata: {{name: wide-{number}}}\nspec: {spec}\n"
        )
    return MappingProxyType(found)


def _policies() -> Iterator[tuple[str, str]]:
    for space in range(NAMESPACES):
        for app in range(APPLICATIONS):
            about = {
                "space": space, "app": app, "next": (app + 1) % APPLICATIONS,
                "previous": (app - 1) % APPLICATIONS, "team": (space + 1) % 10, "low": app % 16 * 16,
                "port": 9000 + app, "last": 9100 + space,
            }  # fmt: skip
            yield f"ns-{space}/in-{app}.yaml", _INGRESS.format(**about)
            yield f"ns-{space}/out-{app}.yaml", _EGRESS.format(**about)


def endpoints() -> Mapping[str, str]:
    """Return the endpoints, those of each namespace in a file, by name."""
    return MappingProxyType(
        {
            f"ns-{space}.yaml": "".join(
                endpoint(space, app, replica) for app in range(APPLICATIONS) for replica in range(REPLICAS)
            )
            for space in range(NAMESPACES)
        }
    )


def endpoint(space: int, app: int, replica: int) -> str:
    """Return one entry of the list of endpoints."""
    tier = _TIERS[app % len(_TIERS)]
    return _ENDPOINT.format(
        space=space, app=app, replica=replica, host=replica + 10, team=space % 10, tier=tier
    )
