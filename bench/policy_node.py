"""A node between a client and a server, and one set of rules for it: as policies, and as nftables has them.

Three namespaces and two pairs of links, as a node without a CNI looks: the client is somebody of the world,
the server an endpoint whose link ends at the node, which forwards.
"""

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters import namespaces, processes
from netsre.adapters.bpf import policy_maps, programs
from netsre.adapters.bpf.policy import Datapath, open_policy
from netsre.adapters.namespaces import Address, End
from netsre.app.resources import directory
from netsre.datapath.policy import sync
from netsre.datapath.policy.compiler import Compiler
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.programs import CONNECTIONS, FROM_ENDPOINT, TO_ENDPOINT

CLIENT: Final = "10.83.1.2"
SERVER: Final = "10.83.2.2"
PORT: Final = 7000
CLOSED: Final = 7001
"""Nobody may come to it."""
RULES: Final = 100
_INGRESS: Final = 80
_OURS: Final = 40
"""In the place of this one is the rule that lets the client in."""
_FIRST: Final = 1 << 3
_INGRESS_HOOK, _EGRESS_HOOK = 46, 47
_NOTHING: Final = bytes.fromhex("b7000000ffffffff9500000000000000")
"""A program that returns -1."""
_FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
"""Of the namespace of whoever opens it."""
_Network = ipaddress.IPv4Network


class Rule(NamedTuple):
    """Who may send to the server, or whom it may send to, and at which ports."""

    network: _Network
    excepted: _Network | None
    label: str
    """Of an endpoint in the place of the network; empty where it is that network."""
    first: int
    last: int


def rules() -> tuple[Rule, ...]:
    """Return them all: those of ingress first."""
    found = [_rule(number) for number in range(RULES)]
    found[_OURS] = Rule(_Network("10.83.1.0/24"), None, "", PORT, PORT)
    return tuple(found)


def _rule(number: int) -> Rule:
    """Return networks with and without exceptions, ranges of ports, and every third rule an endpoint."""
    if number % 3 == 0:
        alone = _Network(f"10.84.{number}.9/32")
        return Rule(alone, None, f"app-{number}", 8000 + number, 8000 + number)
    network = _Network(f"172.20.{number}.0/24")
    excepted = _Network(f"172.20.{number}.64/28") if number % 3 == 1 else None
    return Rule(network, excepted, "", 9000 + number, 9000 + number + number % 8)


def policies() -> str:
    """Return ten policies of ten rules each."""
    known = rules()
    return "".join(_policy(begin, known[begin : begin + 10]) for begin in range(0, RULES, 10))


def _policy(begin: int, some: Sequence[Rule]) -> str:
    way, whom = ("ingress", "from") if begin < _INGRESS else ("egress", "to")
    lines = "".join(
        f"    - {whom}: [{_peer(one)}]\n"
        f"      ports: [{', '.join(_ports(one, protocol) for protocol in ('TCP', 'UDP'))}]\n"
        for one in some
    )
    return (
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: p-{begin}, namespace: bench}}\n"
        f"spec:\n  podSelector: {{matchLabels: {{app: server}}}}\n  policyTypes: [{way.title()}]\n"
        f"  {way}:\n{lines}"
    )


def _peer(one: Rule) -> str:
    if one.label:
        return f"{{podSelector: {{matchLabels: {{app: {one.label}}}}}}}"
    excepted = f", except: [{one.excepted}]" if one.excepted else ""
    return f"{{ipBlock: {{cidr: {one.network}{excepted}}}}}"


def _ports(one: Rule, protocol: str) -> str:
    return f"{{protocol: {protocol}, port: {one.first}, endPort: {one.last}}}"


def endpoints() -> str:
    """Return the server, and the endpoints that rules are about."""
    others = "".join(
        f"- {{name: {one.label}, namespace: bench, labels: {{app: {one.label}}}, "
        f"ips: [{one.network.network_address}]}}\n"
        for one in rules()
        if one.label
    )
    return f"- {{name: server, namespace: bench, labels: {{app: server}}, ips: [{SERVER}]}}\n{others}"


def nftables() -> str:
    """Return the same rules as people write them there: what is known passes, the rest is one look-up."""
    known = rules()
    return f"""
table inet netsre-bench {{
  set to_server {{
    type ipv4_addr . inet_proto . inet_service; flags interval
    elements = {{ {_elements(known[:_INGRESS])} }}
  }}
  set from_server {{
    type ipv4_addr . inet_proto . inet_service; flags interval
    elements = {{ {_elements(known[_INGRESS:])} }}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    oifname "server" ip saddr . meta l4proto . th dport @to_server accept
    iifname "server" ip daddr . meta l4proto . th dport @from_server accept
    oifname "server" counter drop
    iifname "server" counter drop
  }}
}}
"""


def _elements(some: Sequence[Rule]) -> str:
    return ", ".join(
        f"{network} . {protocol} . {one.first}-{one.last}"
        for one in some
        for network in (one.network.address_exclude(one.excepted) if one.excepted else (one.network,))
        for protocol in ("tcp", "udp")
    )


@dataclass(frozen=True, slots=True)
class Node:
    """Three namespaces; what is in force in the middle one is said by who measures."""

    client: str
    node: str
    server: str
    datapath: Datapath
    empty: int

    def policed(self) -> AbstractContextManager[None]:
        """Have netsre's policies in force meanwhile."""
        ours = self.datapath.programs
        return self._attached(ours[FROM_ENDPOINT].fd, ours[TO_ENDPOINT].fd)

    def with_empty_programs(self) -> AbstractContextManager[None]:
        """Have programs that do nothing where netsre's would be."""
        return self._attached(self.empty, self.empty)

    def forget(self) -> None:
        """Have nobody know any connection that was."""
        known = self.datapath.maps[CONNECTIONS]
        for key, _ in list(known.entries()):
            known.delete(key)
        _do(self.node, "conntrack", "--flush")

    @contextlib.contextmanager
    def _attached(self, ingress: int, egress: int) -> Iterator[None]:
        def attach() -> list[int]:
            interface = socket.if_nametoindex("server")
            hooks = ((ingress, _INGRESS_HOOK), (egress, _EGRESS_HOOK))
            return [programs.attach_interface(fd, interface, hook, _FIRST) for fd, hook in hooks]

        links = namespaces.inside(self.node, attach)
        try:
            yield
        finally:
            for fd in links:
                os.close(fd)

    @contextlib.contextmanager
    def filtered(self) -> Iterator[None]:
        """Have the same in nftables meanwhile; connection tracking comes and goes with it."""
        _do(self.node, "nft", "-f", "-", text=nftables())
        try:
            yield
        finally:
            _do(self.node, "nft", "flush", "ruleset")


@contextlib.contextmanager
def made() -> Iterator[Node]:
    """Make namespaces, links and routes, with the policies loaded and attached nowhere."""
    owner = processes.this_process()
    names = [owner.name("bench", which) for which in ("client", "node", "server")]
    with contextlib.ExitStack() as undo:
        for name in names:
            namespaces.create(name)
            undo.callback(namespaces.remove, name)
        client, node, server = names
        _join(node, "client", client, CLIENT)
        _join(node, "server", server, SERVER)
        namespaces.inside(node, lambda: _FORWARDING.write_text("1", encoding="ascii"))
        datapath = Datapath.load(open_policy(directory("bpf")))
        undo.callback(datapath.close)
        compiled = Compiler(lambda: 0.0).compile({"p": policies()}, {"e": endpoints()}, Numbers())
        for operation in sync.plan(sync.Held(), compiled.encoded).operations:
            policy_maps.perform(datapath, operation)
        empty = programs.load("netsre_nothing", _NOTHING, programs.SCHED_CLS).fd
        undo.callback(os.close, empty)
        yield Node(client, node, server, datapath, empty)


def _join(node: str, link: str, other: str, address: str) -> None:
    router = address.rpartition(".")[0] + ".1"
    namespaces.connect(End(node, link, (Address(router, 24),)), End(other, "uplink", (Address(address, 24),)))
    _do(other, "ip", "route", "add", "default", "via", router)


def _do(namespace: str, *command: str, text: str = "") -> None:
    namespaces.run(namespace, command, text).check_returncode()
