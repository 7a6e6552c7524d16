"""What is balanced: each address of each service, with who takes new connections and who is kept."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from netsre.datapath.balance import layouts, maglev
from netsre.model.balance.values import Service, place

NUMBERS: Final = {word: number for number, word in layouts.PROTOCOLS.items()}


@dataclass(frozen=True, slots=True)
class Frontend:
    """A service at one of its addresses."""

    service: str
    """Its namespace and name."""
    place: str
    """Its address and port, as `198.51.100.1:80/TCP`."""
    end: bytes
    """The same as the kernel's maps have it, without the protocol."""
    protocol: int
    weights: Mapping[str, int]
    """Of the backends that take new connections, by name."""
    members: Mapping[str, bytes]
    """The place of every backend, also of those that take nobody new, by name."""

    def backend_of(self, cookie: int) -> str | None:
        """Return who a socket is given that has nobody yet; None where it is refused."""
        return maglev.table(self.weights)[maglev.slot(cookie)] if self.weights else None


def frontends(services: Iterable[Service]) -> Iterator[Frontend]:
    """Yield what the kernel can balance: no SCTP. A backend belongs to the addresses of its own family."""
    for service in services:
        number = NUMBERS.get(service.protocol)
        for address in service.addresses if number is not None else ():
            ours = [one for one in service.backends if one.address.version == address.version]
            yield Frontend(
                service.full_name,
                f"{place(address, service.port)}/{service.protocol}",
                layouts.end(address, service.port),
                number or 0,
                {one.name: one.weight for one in ours if not one.draining},
                {one.name: layouts.end(one.address, one.port) for one in ours},
            )
