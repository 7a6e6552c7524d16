"""The two ends of a connection, as policies see them."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from types import MappingProxyType
from typing import Final

from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.policies import parts
from netsre.model.policies.values import (
    LAST_ICMP_TYPE,
    RESERVED,
    WITH_PORTS,
    Address,
    Endpoint,
    Facts,
    Kind,
    NamedPort,
    Protocol,
    Scope,
)

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_PROTOCOLS: Final = MappingProxyType({protocol.upper(): protocol for protocol in Protocol})


@dataclass(frozen=True, slots=True)
class Service:
    """What a connection asks for: a port of a protocol, of ICMP a type."""

    protocol: Protocol
    port: int


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection."""

    kind: Kind
    facts: Facts
    address: Address | None
    """None where nobody said; then no network has it."""
    named_ports: tuple[NamedPort, ...] = ()
    endpoint: Endpoint | None = None
    """The entry of the endpoints file that it is; None for an address that nobody has."""

    def __str__(self) -> str:
        """Return its name with its address, each as far as there is one."""
        if self.endpoint is None:
            return str(self.address or self.kind.value)
        name = self.endpoint.full_name
        return name if self.address is None else f"{name} ({self.address})"

    def is_same(self, other: "End") -> bool:
        """Return whether both are one endpoint."""
        return self.endpoint is not None and self.endpoint is other.endpoint


def of_endpoint(endpoint: Endpoint, address: Address | None) -> End:
    """Return an endpoint as an end, by one of its addresses."""
    return End(endpoint.kind, endpoint.facts, address, endpoint.named_ports, endpoint)


def of_address(address: Address, endpoints: Iterable[Endpoint]) -> End:
    """Return whose an address is: an endpoint's, else the node's where it is loopback, else the world's."""
    for endpoint in endpoints:
        if address in endpoint.ips:
            return of_endpoint(endpoint, address)
    at_home = any(address in network for network in LOOPBACK)
    return of_kind(Kind.HOST if at_home else Kind.WORLD, address)


def of_kind(kind: Kind, address: Address | None = None) -> End:
    """Return an end that is no endpoint."""
    return End(kind, MappingProxyType({(Scope.RESERVED, kind.value): ""}), address)


def between(source: str, destination: str, endpoints: tuple[Endpoint, ...]) -> tuple[End, End]:
    """Return both ends, each named `namespace/name`, an address, or a reserved name such as `host`.

    Where endpoints have several addresses, the first one counts that the other end can reach. Raises
    `BadInput` for what is not there, and for two ends without a family of addresses in common.
    """
    ways = [
        (one, other)
        for one in _candidates(source, endpoints)
        for other in _candidates(destination, endpoints)
        if one.address is None or other.address is None or one.address.version == other.address.version
    ]
    if not ways:
        raise BadInput(
            f"{source} and {destination} have no family of addresses in common; give both IPv4 or both IPv6"
        )
    return ways[0]


def _candidates(text: str, endpoints: tuple[Endpoint, ...]) -> list[End]:
    if text in RESERVED:
        known = [one for one in endpoints if one.kind == text]
        return [end for one in known for end in _by_address(one)] or [of_kind(Kind(text))]
    if "/" in text:
        for endpoint in endpoints:
            if endpoint.full_name == text:
                return _by_address(endpoint)
        hint = literals.nearest(text, (one.full_name for one in endpoints))
        raise BadInput(f"endpoint {literals.shown(text)} is not in the file of endpoints{hint}")
    try:
        return [of_address(parts.address(text), endpoints)]
    except ValueError:
        # Whoever leaves the namespace out is told the whole name.
        named = [one.full_name for one in endpoints if one.name == text]
        hint = f"; did you mean {named[0]!r}?" if named else "; write namespace/name or an address"
        raise BadInput(f"{literals.shown(text)} is no end of a connection{hint}") from None


def _by_address(endpoint: Endpoint) -> list[End]:
    return [of_endpoint(endpoint, ip) for ip in endpoint.ips] or [of_endpoint(endpoint, None)]


def service(text: str) -> Service:
    """Read `80/TCP`, `80` (TCP), or `8/ICMP` by the type; raises `ValueError`."""
    port, slash, word = text.partition("/")
    protocol = _PROTOCOLS.get(word.upper()) if slash else Protocol.TCP
    if protocol is None:
        known = ", ".join(Protocol)
        raise ValueError(
            f"{literals.shown(text)} is of no known protocol; write one of {known}, as in 80/TCP"
        )
    ported = protocol in WITH_PORTS
    try:
        number = parts.number(port) if ported else parts.number(port, LAST_ICMP_TYPE, 0)
    except ValueError as error:
        raise ValueError(f"{error}, as in {'80/TCP' if ported else f'8/{protocol}'}") from error
    return Service(protocol, number)
