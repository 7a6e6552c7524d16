"""Endpoints, and flow logs about them: some by hand, more by chance."""

import ipaddress
import json
import random
from collections.abc import Iterable

from netsre.datapath import flow_lines
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.identities import NOISE
from netsre.datapath.policy.observed import Observed, Observing
from netsre.model.policies import endpoints
from netsre.model.policies.values import Endpoint, Kind, Protocol

WORLD = (
    "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.9", "198.51.100.1", "10.0.0.200", "2001:db8::4",
    "2001:db8::5",
)  # fmt: skip
NODES = ("127.0.0.1", "192.168.0.1", "192.168.0.2", "192.168.0.3")
JOINED = ("192.0.2.0/24", "192.0.2.4/31", "10.0.0.0/24", "192.168.0.0/16", "2001:db8::/32")
SERVICES = tuple(
    Service(protocol, port) for protocol in (Protocol.TCP, Protocol.UDP) for port in (80, 81, 83, 65535)
)
NODE_ENTRIES = """\
- {name: here, namespace: nodes, labels: {'reserved:host': ''}, ips: [192.168.0.1]}
- {name: there, namespace: nodes, labels: {'reserved:remote-node': ''}, ips: [192.168.0.2]}
- {name: api, namespace: nodes, labels: {'reserved:kube-apiserver': ''}, ips: [192.168.0.3]}
"""


def raw(  # noqa: PLR0913  a line has so many parts
    source: str | None,
    destination: str | None,
    port: int | None,
    *,
    protocol: str = "tcp",
    outcome: str = "delivered",
    direction: str = "egress",
    sampling: int = 1,
    time: str = "2026-01-02T03:04:05",
) -> str:
    """Return one line of a flow log."""
    return json.dumps(
        {
            "time": f"{time}.000000000Z",
            "kind": "flow",
            "direction": direction,
            "src": {"name": "a", "ip": source, "port": 40_000},
            "dst": {"name": "b", "ip": destination, "port": port},
            "protocol": protocol,
            "outcome": outcome,
            "reason": {"delivered": "none", "failed": "refused", "denied": "blocked"}[outcome],
            "verdict": "denied" if outcome == "denied" else "allowed",
            "latency_seconds": None,
            "sampling": sampling,
        }
    )


def observed(lines: list[str], known: tuple[Endpoint, ...]) -> Observed:
    """Return what one log of these lines says."""
    taking = Observing(known)
    for line in lines:
        taking.take(flow_lines.parse(line.encode()), "log")
    return taking.done()


def cluster(chance: random.Random) -> tuple[Endpoint, ...]:
    """Return endpoints whose labels are often those of others, or nearly, and nodes."""
    entries = [NODE_ENTRIES]
    for number in range(1, chance.randint(2, 12)):
        labels = {key: chance.choice(("one", "two", "3", "")) for key in ("app", "k/tier", "zone")}
        kept = {key: value for key, value in labels.items() if chance.random() < 0.5}
        kept |= {"pod-template-hash": str(number)} if chance.random() < 0.5 else {}
        ips = [f"10.0.0.{number}", *([f"fd00::{number}"] if chance.random() < 0.5 else [])]
        entry = {"name": f"e{number}", "namespace": chance.choice("xyz"), "labels": kept, "ips": ips}
        entries.append(f"- {json.dumps(entry)}\n")
    return endpoints.parse({"endpoints.yaml": "".join(entries)})


def everybody(known: tuple[Endpoint, ...]) -> list[str]:
    """Return every address there is."""
    return [*WORLD, *NODES, *(str(ip) for one in known if one.kind is Kind.ENDPOINT for ip in one.ips)]


def log(chance: random.Random, known: tuple[Endpoint, ...]) -> list[str]:
    """Return lines of attempts between them."""
    addresses = everybody(known)
    found = []
    for _ in range(chance.randint(0, 30)):
        source, destination = chance.choice(addresses), chance.choice(addresses)
        destination = source if chance.random() < 0.1 else destination
        if (":" in source) != (":" in destination):
            continue
        service = chance.choice(SERVICES)
        line = raw(
            source,
            destination,
            service.port,
            protocol=service.protocol.lower(),
            outcome=chance.choice(("delivered", "delivered", "failed", "denied")),
            direction=chance.choice(("egress", "ingress")),
            sampling=chance.choice((1, 100)),
            time=f"2026-01-{chance.randint(1, 28):02d}T03:04:05",
        )
        found.append(line)
    return found


def whom(end: End, joined: Iterable[str]) -> str:
    """Return what suggested policies tell of an end: labels that last, or its address or joined network."""
    if end.endpoint is not None and end.kind is Kind.ENDPOINT:
        labels = sorted(pair for pair in end.endpoint.labels.items() if pair[0] not in NOISE)
        return f"{end.endpoint.namespace} {labels}"
    address = ipaddress.ip_address(str(end.address))
    around = [network for network in map(ipaddress.ip_network, joined) if address in network]
    if end.kind is Kind.WORLD and around:
        return str(min(around, key=lambda network: network.prefixlen))
    return str(address)
