"""A node of the test's own that policies are put into force on, by the commands alone."""

import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from netsre.adapters import namespaces
from netsre.datapath.policy import interfaces
from tests.kernel import command_node
from tests.kernel.block_link import INTERFACE, SOURCE, TARGET, Link, link
from tests.kernel.command_node import CommandNode, begun

ENDPOINTS: Final = f"""
- {{name: own, namespace: x, labels: {{pod: a}}, ips: [{SOURCE[4]}, '{SOURCE[6]}'], interface: {INTERFACE}}}
- {{name: peer, namespace: x, labels: {{pod: b}}, ips: [{TARGET[4]}, '{TARGET[6]}']}}
"""


def policy(port: int, networks: int = 0) -> str:
    """Return a policy that lets the endpoint send to a port of its peer, and to so many networks."""
    blocks = "".join(
        f"\n    - to: [{{ipBlock: {{cidr: 172.{16 + n // 256}.{n % 256}.0/24}}}}]" for n in range(networks)
    )
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: p, namespace: x}}
spec:
  podSelector: {{matchLabels: {{pod: a}}}}
  policyTypes: [Egress]
  egress:
    - to: [{{podSelector: {{matchLabels: {{pod: b}}}}}}]
      ports: [{{port: {port}, protocol: UDP}}]{blocks}
"""


@dataclass(frozen=True)
class Node(CommandNode):
    """The receiver's side of a link, with a BPF file system and a state directory of its own."""

    link: Link

    @property
    def pins(self) -> pathlib.Path:
        """Return where the datapath is."""
        return self.home / "bpf" / "policy"

    def command(self, *arguments: str) -> list[str]:
        """Return how to run one command of `netsre policy` here."""
        places = ["--pins", str(self.pins), "--state", str(self.home / "state")]
        return [sys.executable, "-m", "netsre", "policy", arguments[0], *places, *arguments[1:]]

    def start(self, *arguments: str, text: str | None = None) -> "subprocess.Popen[str]":
        """Begin one of them."""
        return namespaces.inside(self.link.receiver, lambda: begun(self.command(*arguments), text))

    def apply(self, text: str, *options: str) -> dict[str, Any]:
        """Put a policy into force."""
        (self.home / "policy.yaml").write_text(text, encoding="utf-8")
        found: dict[str, Any] = json.loads(self.run(*self.applying(), "--json", *options))
        return found

    def applying(self) -> Sequence[str]:
        """Return the command for what was written last."""
        return ("apply", str(self.home / "policy.yaml"), "--endpoints", str(self.home / "endpoints.yaml"))


def crowd(node: Node) -> tuple[list[str], str]:
    """Make one interface more than there is room for with numbers that end alike; return endpoints there."""
    names = [f"alike{row}" for row in range(interfaces.AT_ONE + 1)]
    for row, name in enumerate(names, 1):
        number = str(row * interfaces.PLACES + 77)
        node.link.run(node.link.receiver, "ip", "link", "add", name, "index", number, "type", "veth")
    listed = (
        f"- {{name: {name}, namespace: x, ips: [10.8.0.{row + 1}], interface: {name}}}\n"
        for row, name in enumerate(names)
    )
    return names, "".join(listed)


@contextlib.contextmanager
def policed_node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with command_node.home() as home, link() as made:
        (home / "endpoints.yaml").write_text(ENDPOINTS, encoding="utf-8")
        yield Node(home, made)
