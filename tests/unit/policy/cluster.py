"""The cluster of the upstream tables: namespaces x, y and z, each with the pods a, b and c."""

import textwrap
from typing import Final

from netsre.datapath.policy import ends, reference
from netsre.datapath.policy.reference import Verdict
from netsre.model.policies import endpoints, files
from netsre.model.policies.values import Endpoint, Policy

NAMESPACES: Final = ("x", "y", "z")
PODS: Final = ("a", "b", "c")
NAMES: Final = tuple(f"{space}/{pod}" for space in NAMESPACES for pod in PODS)


def address(name: str, family: int = 4) -> str:
    """Return the address of a pod: x is 10.0.1.0/24, a is .1."""
    space, pod = name.split("/")
    numbers = NAMESPACES.index(space) + 1, PODS.index(pod) + 1
    return "10.0.{}.{}".format(*numbers) if family == 4 else "fd00:{}::{}".format(*numbers)


ENDPOINTS_TEXT: Final = (
    "\n".join(
        f"- {{name: {pod}, namespace: {space}, labels: {{pod: {pod}}}, namespaceLabels: {{ns: {space}}}, "
        f"ips: [{address(f'{space}/{pod}')}, '{address(f'{space}/{pod}', 6)}'], "
        "namedPorts: {serve-80: 80, serve-81: 81/TCP, dns: 53/UDP}}"
        for space in NAMESPACES
        for pod in PODS
    )
    + "\n- {name: node, namespace: nodes, labels: {'reserved:host': ''}, ips: [192.168.0.1]}"
    + "\n- {name: other, namespace: nodes, labels: {'reserved:remote-node': ''}, ips: [192.168.0.2]}"
    + "\n- {name: api, namespace: nodes, labels: {'reserved:kube-apiserver': ''}, ips: [192.168.0.3]}"
)
ENDPOINTS: Final[tuple[Endpoint, ...]] = endpoints.parse({"endpoints.yaml": ENDPOINTS_TEXT})


def kubernetes(spec: str, name: str = "p", namespace: str = "x") -> str:
    """Return a NetworkPolicy as a document."""
    return _document(
        "networking.k8s.io/v1", "NetworkPolicy", f"{{name: {name}, namespace: {namespace}}}", spec
    )


def cilium(spec: str, name: str = "p", namespace: str = "x") -> str:
    """Return a CiliumNetworkPolicy as a document."""
    return _document("cilium.io/v2", "CiliumNetworkPolicy", f"{{name: {name}, namespace: {namespace}}}", spec)


def clusterwide(spec: str, name: str = "p") -> str:
    """Return a CiliumClusterwideNetworkPolicy as a document."""
    return _document("cilium.io/v2", "CiliumClusterwideNetworkPolicy", f"{{name: {name}}}", spec)


def _document(version: str, kind: str, metadata: str, spec: str) -> str:
    body = textwrap.indent(textwrap.dedent(spec).strip("\n"), "  ")
    return f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec:\n{body}\n"


def read(*documents: str) -> tuple[Policy, ...]:
    """Return the policies of some documents."""
    return files.parse({"p.yaml": "".join(documents)}) if documents else ()


def ask(policies: tuple[Policy, ...], source: str, destination: str, port: str = "80/TCP") -> Verdict:
    """Return what policies decide in this cluster."""
    one, other = ends.between(source, destination, ENDPOINTS)
    return reference.verdict(policies, one, other, ends.service(port))


def asked(policies: tuple[Policy, ...], table: str) -> list[str]:
    """Return the lines of a table `source destination port verdict` as the policies decide them."""
    return [
        f"{source} {destination} {port} {ask(policies, source, destination, port).decision}"
        for source, destination, port, _ in map(str.split, lines(table))
    ]


def lines(table: str) -> list[str]:
    """Return the rows of a table without what makes it pleasant to read."""
    return [" ".join(line.split()) for line in table.strip().splitlines()]


def reachable(policies: tuple[Policy, ...], destination: str, port: str = "80/TCP") -> set[str]:
    """Return the other pods that may connect to one."""
    return {
        name
        for name in NAMES
        if name != destination and ask(policies, name, destination, port).decision == "allow"
    }
