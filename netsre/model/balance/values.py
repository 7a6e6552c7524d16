"""What a file of services says."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from netsre.model.levels import Origin
from netsre.model.policies.values import Protocol

Address = IPv4Address | IPv6Address

MOST_WEIGHT: Final = 100
MOST_BACKENDS: Final = 163
"""Of one family: with as many, each gets its share of a Maglev table within 1 %."""


def place(address: Address, port: int) -> str:
    """Return `ADDRESS:PORT`, of IPv6 with brackets."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Backend:
    """Who answers for a service."""

    address: Address
    port: int
    weight: int = 1
    """Its share of new connections is its weight by the sum of all."""
    draining: bool = False
    """Nobody new is sent to it; who has it keeps it."""

    @property
    def name(self) -> str:
        """Return `ADDRESS:PORT`: what it is known by, on every node."""
        return place(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Service:
    """One port of a service, at each of its addresses."""

    name: str
    namespace: str
    addresses: tuple[Address, ...]
    port: int
    protocol: Protocol
    backends: tuple[Backend, ...]
    """May be none: then it is refused."""
    origin: Origin

    @property
    def full_name(self) -> str:
        """Return `namespace/name`."""
        return f"{self.namespace}/{self.name}"
