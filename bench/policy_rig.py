"""The policy datapath without an interface: maps that are written here, and packets that the kernel runs."""

import struct
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final, NamedTuple

from bench.packet_cost import run
from netsre.adapters.bpf import policy_counts
from netsre.adapters.bpf.policy import Datapath, Template, open_policy
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.app.resources import directory
from netsre.datapath.block import source_key
from netsre.datapath.policy import programs
from netsre.datapath.policy.conntrack import (
    EVENT,
    KEY,
    PROTOCOL_AT,
    TIMEOUT,
    Connection,
    Event,
    State,
    state_of,
)
from netsre.datapath.policy.orders import FIRST_RULE, TURN, Order
from netsre.datapath.policy.prefixes import BITS, Prefix
from netsre.datapath.policy.programs import FROM_ENDPOINT, TO_ENDPOINT
from netsre.datapath.policy.reference import Answer, Decision, Reason
from netsre.datapath.policy.refused import Refused
from netsre.datapath.policy.resolve import Resolved
from netsre.datapath.policy.tables import Table
from netsre.datapath.policy.zones import Zones, network
from netsre.model.policies.values import Direction, Endpoint, Kind, Network

PASS, DROP = -1, 2
ENFORCE, MONITOR, OFF = 0, 1, 2
ALLOWED, DENIED, AUDITED = 0, 1, 2
REASONS: Final = tuple(Reason)
DIRECTIONS: Final = tuple(Direction)
PROGRAMS: Final = {Direction.EGRESS: FROM_ENDPOINT, Direction.INGRESS: TO_ENDPOINT}
CAPACITIES: Final = {
    programs.ADDRESSES: 4096,
    programs.ENDPOINTS: 4096,
    programs.ZONES: 16_384,
    programs.ENTRIES: 65_536,
    programs.ENDPOINT_MODES: 16,
    programs.CONNECTIONS: 8192,
    programs.FRAGMENTS: 1024,
    programs.ROWS: 8192,
    programs.ORDERS: 64,
    programs.REFUSED: 1024,
}
_FIRST: Final = bytes(4)
_LO: Final = 1


class CountKey(NamedTuple):
    """What packets are counted by."""

    rule: int
    source: int
    destination: int
    verdict: int
    direction: int
    reason: int


class Count(NamedTuple):
    """What was counted."""

    packets: int
    bytes: int
    connections: int


@dataclass
class Rig:
    """Loaded programs, and what the test wrote into their maps."""

    datapath: Datapath
    rules: dict[str, int] = field(default_factory=dict)
    """Numbers by name; 0 is no rule."""
    interfaces: dict[str, int] = field(default_factory=dict)
    """Likewise."""
    _tables: int = 0

    def write(self, resolved: Resolved, endpoints: Sequence[Endpoint], number: int, slot: int = 0) -> None:
        """Write a revision under numbers of its own, and its slot; it is not in force yet."""
        addresses = {
            _address_key(number, network): struct.pack("<IHBx", *whose)
            for network, whose in resolved.addresses.items()
        }
        entries: dict[bytes, bytes] = {}
        zones: dict[bytes, bytes] = {}
        written: dict[int, int] = {}
        known: dict[bytes, bytes] = {}
        for place, endpoint in enumerate(endpoints, 1):
            mine = resolved.tables.get(endpoint.full_name)
            tables = [self._table(mine[way], entries, written) if mine else 0 for way in DIRECTIONS]
            lenient = sum(1 << bit for bit, way in enumerate(DIRECTIONS) if mine and not mine[way].denies)
            around = [
                self._zones(table, mine[way].zones if mine else (), zones)
                for table, way in zip(tables, DIRECTIONS, strict=True)
            ]
            if endpoint.kind is Kind.ENDPOINT:
                at = self._interface(endpoint.interface)
                for ip in endpoint.ips:
                    identity = resolved.identities[endpoint.full_name]
                    known[struct.pack("<II16s", number, 0, source_key(str(ip)))] = struct.pack(
                        "<8I", place, *tables, identity, *around, lenient, at
                    )
                if at:
                    key = struct.pack("<II16x", number, at)
                    known[key] = struct.pack("<8I", 0 if key in known else place, *[0] * 6, at)
        self.map(programs.ADDRESSES).put_many(addresses)
        self.map(programs.ENTRIES).put_many(entries)
        self.map(programs.ZONES).put_many(zones)
        self.map(programs.ENDPOINTS).put_many(known)
        self.slot(slot, number)

    def slot(self, slot: int, number: int, until_ns: int = 0, afterwards: int = 0) -> None:
        """Write a slot: a revision that was written, and what comes after it where it ends."""
        value = struct.pack("<QIIQI4x", number, number, number, until_ns, afterwards)
        self.map(programs.REVISIONS).put(struct.pack("<I", slot), value)

    def switch(self, slot: int) -> None:
        """Put a slot in force."""
        self.map(programs.ACTIVE).put(_FIRST, struct.pack("<I", slot))

    def comes_from(self, interface: str) -> None:
        """Have packets of test runs, which the kernel takes for packets of lo, come from an interface."""
        place = struct.pack("<8I", *(0, 0), *(_LO, self._interface(interface)), *[0] * 4)
        self.map(programs.INTERFACES).put(struct.pack("<I", _LO), place)

    def _interface(self, name: str | None) -> int:
        return self.interfaces.setdefault(name, len(self.interfaces) + 1) if name else 0

    def _table(self, table: Table, entries: dict[bytes, bytes], written: dict[int, int]) -> int:
        """Add the entries of a table once; return its number, 0 where all may pass."""
        if not table.entries and table.otherwise.decision is Decision.ALLOW:
            return 0
        if id(table) not in written:
            self._tables += 1
            written[id(table)] = self._tables
            # Whoever has entries of his own finds this one behind them.
            last = {0: {Prefix(0, 0): table.otherwise}}
            for said in (last, table.entries):
                for end, prefixes in said.items():
                    for prefix, answer in prefixes.items():
                        entries[_entry_key(self._tables, end, prefix)] = self._entry(answer)
        return written[id(table)]

    @staticmethod
    def _zones(table: int, networks: Zones, zones: dict[bytes, bytes]) -> int:
        """Add the zones of a table under its number; return it, 0 where there are none."""
        for one, zone in networks if table else ():
            zones[_address_key(table, network(one))] = struct.pack("<HH", *zone)
        return table if networks else 0

    def _entry(self, answer: Answer) -> bytes:
        decision = [Decision.ALLOW, Decision.DENY, Decision.AUDIT].index(answer.decision)
        return struct.pack("<IBBH", self.rule(answer), decision, REASONS.index(answer.reason), 0)

    def rule(self, answer: Answer) -> int:
        """Return the number of the rule that an answer names."""
        if answer.rule is None:
            return 0
        return self.rules.setdefault(answer.rule.name, len(self.rules) + 1)

    def map(self, name: str) -> BpfMap:
        """Return a map by name."""
        return self.datapath.maps[name]

    def passes(self, way: Direction, packet: bytes) -> bool:
        """Run a packet out of an endpoint, or into it, and say whether it passes."""
        verdict, _ = run(self.datapath.programs[PROGRAMS[way]].fd, packet)
        if verdict not in {PASS, DROP}:
            raise AssertionError(f"the program says {verdict} to {packet.hex()}")
        return verdict == PASS

    def leaves(self, packet: bytes) -> bool:
        """Say whether a packet gets out of an endpoint."""
        return self.passes(Direction.EGRESS, packet)

    def arrives(self, packet: bytes) -> bool:
        """Say whether a packet gets to an endpoint."""
        return self.passes(Direction.INGRESS, packet)

    def mode(self, mode: int, *, endpoint: int | None = None, until_ns: int = 0, afterwards: int = 0) -> None:
        """Set the mode for all, or of one endpoint."""
        name = programs.MODE if endpoint is None else programs.ENDPOINT_MODES
        value = struct.pack("<QBB6x", until_ns, mode, afterwards)
        self.map(name).put(struct.pack("<I", endpoint or 0), value)

    def deny(self, network: str, *, endpoint: int = 0, until_ns: int = 0, rule: int = FIRST_RULE) -> None:
        """Give an order, as the command does."""
        order = Order(endpoint, ip_network(network), until_ns, rule)
        self.map(programs.ORDERS).put(order.key, order.value)
        turn = self.map(programs.ORDER_TURN)
        (now,) = TURN.unpack(turn.lookup(_FIRST) or _FIRST)
        turn.put(_FIRST, TURN.pack(now + 1))

    def allow(self, network: str, *, endpoint: int = 0) -> None:
        """Take an order back."""
        self.map(programs.ORDERS).delete(Order(endpoint, ip_network(network), 0, 0).key)

    def refused(self) -> list[Refused]:
        """Return what was noted of those that no rule allows."""
        return [Refused.of(key, value) for key, value in self.map(programs.REFUSED).entries()]

    def timeout(self, state: State, nanoseconds: int) -> None:
        """Set how long connections in a state are remembered."""
        self.map(programs.TIMEOUTS).put(struct.pack("<I", state), TIMEOUT.pack(nanoseconds))

    def counts(self) -> Mapping[CountKey, Count]:
        """Return what was counted so far."""
        found = {}
        for key, value in policy_counts.read(self.datapath.maps).items():
            slots = struct.iter_unpack("<QQQ", value)
            found[CountKey(*struct.unpack("<IIIBBBx", key))] = Count(*map(sum, zip(*slots, strict=True)))
        return found

    def connections(self) -> Mapping[tuple[object, ...], Connection]:
        """Return every entry of conntrack, alive or not."""
        found = self.map(programs.CONNECTIONS).entries()
        return {KEY.unpack(key): Connection.of(value) for key, value in found}

    def age(self, seconds: float) -> None:
        """Make every connection so much older."""
        table, timeouts = self.map(programs.CONNECTIONS), self.map(programs.TIMEOUTS).slots()
        for key, value in list(table.entries()):
            known = Connection.of(value)
            seen_ns = known.seen_ns - int(seconds * 1e9)
            if seen_ns < 0:
                # This machine is younger: with the timeout the programs come back above 0, or it is over.
                (timeout,) = TIMEOUT.unpack(timeouts[state_of(known, key[PROTOCOL_AT])])
                seen_ns = seen_ns % 2**64 if seen_ns + timeout >= 0 else 0
            table.put(key, known._replace(seen_ns=seen_ns).packed())

    def events(self) -> Counter[Event]:
        """Return what was counted beside policies."""
        values = {event: self.map(programs.EVENTS).lookup(struct.pack("<I", event)) or b"" for event in Event}
        return Counter(
            {event: sum(n for (n,) in EVENT.iter_unpack(value)) for event, value in values.items()}
        )

    def forget(self, *names: str) -> None:
        """Empty some maps."""
        for name in names:
            keys = [key for key, _ in self.map(name).entries()]
            if name == programs.ROWS:
                list(policy_counts.take(self.datapath.maps, keys))
                continue
            for key in keys:
                self.map(name).delete(key)


@contextmanager
def loaded(template: Template | None = None, capacities: Mapping[str, int] = CAPACITIES) -> Iterator[Rig]:
    """Load the programs with maps of their own, and free them again."""
    datapath = Datapath.load(template or open_policy(directory("bpf")), capacities)
    try:
        yield Rig(datapath)
    finally:
        datapath.close()


def now_ns() -> int:
    """Return the time that the ends of modes are measured in."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _address_key(number: int, network: Network) -> bytes:
    bits = 32 + network.prefixlen + (96 if network.version == 4 else 0)
    return struct.pack("<II16s", bits, number, source_key(str(network.network_address)))


def _entry_key(table: int, end: int, prefix: Prefix) -> bytes:
    said = (prefix.bits << (BITS - prefix.length)).to_bytes(3, "big")
    return struct.pack("<IIHH3sB", 64 + prefix.length, table, end & 0xFFFF, end >> 16, said, 0)
