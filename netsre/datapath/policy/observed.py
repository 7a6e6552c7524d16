"""What a flow log says, as policies see it: who spoke to whom, for which service, how often and when."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from netsre.datapath.flow_lines import FlowLine
from netsre.datapath.flows import DIRECTIONS
from netsre.datapath.policy import ends
from netsre.datapath.policy.ends import End, Service
from netsre.model.policies.values import Address, Endpoint, Protocol

DELIVERED: Final = "delivered"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many attempts, and when; the times are those of the lines."""

    count: int
    """Estimated where delivered attempts are sampled: each line stands for as many as it says."""
    first: str
    last: str


def together(tallies: Iterable[Tally]) -> Tally:
    """Return one for all of several attempts; there must be some."""
    known = tuple(tallies)
    return Tally(
        sum(one.count for one in known), min(one.first for one in known), max(one.last for one in known)
    )


@dataclass(frozen=True, slots=True)
class Flow:
    """All attempts of one end to reach one service of another."""

    source: End
    destination: End
    service: Service
    tallies: Mapping[str, Tally]
    """By outcome; never empty."""

    @property
    def all(self) -> Tally:
        """Return its attempts, whatever became of them."""
        return together(self.tallies.values())

    @property
    def order(self) -> tuple[str, str, str, int]:
        """Return where it stands among others, whatever the order of lines."""
        return (str(self.source), str(self.destination), self.service.protocol, self.service.port)


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that was read."""

    flows: tuple[Flow, ...]
    spans: Mapping[str, tuple[str, str]]
    """Of each log the times of its earliest and its latest line."""
    sampling: int
    """For so many attempts a line stands, at most."""
    without_address: int
    """Attempts with an end whose address the log does not know; they are in no flow."""


@dataclass(slots=True)
class _Seen:
    """Attempts of one outcome, by the end that reported them."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    first: str = ""
    last: str = ""

    def add(self, line: FlowLine) -> None:
        self.counts[line.direction] += line.sampling
        self.first = min(self.first or line.time, line.time)
        self.last = max(self.last, line.time)

    def tally(self) -> Tally:
        # The nodes of both ends may have told of the same attempts.
        return Tally(max(self.counts.values()), self.first, self.last)


class Observing:
    """Takes the lines of flow logs, in any order."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Begin with no line; `endpoints` are who has which address."""
        self._owners = {ip: one for one in endpoints for ip in one.ips}
        self._known: dict[Address, End] = {}
        self._seen: dict[tuple[Address, Address, Service], dict[str, _Seen]] = {}
        self._spans: dict[str, tuple[str, str]] = {}
        self._sampling = 1
        self._without_address = 0

    def take(self, line: FlowLine, log: str) -> None:
        """Take one line of the log of this name."""
        first, last = self._spans.get(log, (line.time, line.time))
        self._spans[log] = (min(first, line.time), max(last, line.time))
        self._sampling = max(self._sampling, line.sampling)
        if line.src.ip is None or line.dst.ip is None or line.dst.port is None:
            self._without_address += line.sampling
            return
        service = Service(Protocol(line.protocol.upper()), line.dst.port)
        key = (_plain(line.src.ip), _plain(line.dst.ip), service)
        self._seen.setdefault(key, {}).setdefault(line.outcome, _Seen()).add(line)

    def done(self) -> Observed:
        """Return what was taken, in one order."""
        found = [
            Flow(
                self._end(source),
                self._end(destination),
                service,
                MappingProxyType({outcome: by.tally() for outcome, by in sorted(seen.items())}),
            )
            for (source, destination, service), seen in self._seen.items()
        ]
        flows = tuple(sorted(found, key=lambda flow: flow.order))
        return Observed(flows, MappingProxyType(self._spans), self._sampling, self._without_address)

    def _end(self, address: Address) -> End:
        found = self._known.get(address)
        if found is None:
            owner = self._owners.get(address)
            found = ends.of_address(address, (owner,) if owner is not None else ())
            self._known[address] = found
        return found


def _plain(address: Address) -> Address:
    """Return an address as files of endpoints have it: IPv4 as IPv4, and no zone."""
    if address.version == 4:
        return address
    return address.ipv4_mapped or type(address)(int(address))
