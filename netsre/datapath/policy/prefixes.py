"""Protocol and port as bits, and prefixes of them: what a longest-prefix match of the kernel can hold.

Eight bits of protocol, as in the header of a packet, then sixteen of port, of ICMP the type.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.datapath.policy.ends import Service
from netsre.model.policies.values import Protocol

PORT_BITS: Final = 16
BITS: Final = 8 + PORT_BITS
PROTOCOLS: Final = MappingProxyType(
    {Protocol.ICMP: 1, Protocol.TCP: 6, Protocol.UDP: 17, Protocol.ICMPV6: 58, Protocol.SCTP: 132}
)
"""The numbers that packets have."""


class Prefix(NamedTuple):
    """The first bits of protocol and port; none at all are whatever there is."""

    length: int
    bits: int
    """As many as `length` says, as a number."""

    def shortened(self, length: int) -> "Prefix":
        """Return what is around it, with so many bits."""
        return Prefix(length, self.bits >> (self.length - length))

    def covers(self, asked: int) -> bool:
        """Return whether protocol and port begin with it."""
        return asked >> (BITS - self.length) == self.bits


WHATEVER: Final = Prefix(0, 0)


def of_service(service: Service) -> int:
    """Return protocol and port of a connection."""
    return PROTOCOLS[service.protocol] << PORT_BITS | service.port


def of_range(protocol: Protocol, first: int, last: int) -> Iterator[Prefix]:
    """Yield the fewest prefixes that are exactly these ports, at most 30."""
    while first <= last:
        # The largest block that begins here and does not reach beyond the end.
        size = first & -first or 1 << PORT_BITS
        while first + size - 1 > last:
            size >>= 1
        free = size.bit_length() - 1
        yield Prefix(BITS - free, (PROTOCOLS[protocol] << PORT_BITS | first) >> free)
        first += size
