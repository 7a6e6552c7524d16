"""Rules of the prefilter, by the source of a packet; the maps of its program, and the bytes that they hold.

The layouts repeat `bpf/include/prefilter.h`; a test compiles that file and compares. Times are nanoseconds of
CLOCK_BOOTTIME, which goes on while the machine is suspended.
"""

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Self

from netsre.datapath.block import SOURCE_BYTES, source_key
from netsre.datapath.policy.modes import Mode, Setting

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FOR_EVER: Final = 0
"""An end that never comes."""
MOST_RATE: Final = 2**32 - 1
MOST_BURST: Final = 1 << 24
MOST_NESTED: Final = 8
"""Rules that one address can be in the networks of."""
MOST_RULES: Final = 16_384
MOST_BUCKETS: Final = 65_536
"""Sources that are limited at a time; the one that was silent for longest makes room for another."""
TOKEN: Final = 10**9
"""One packet, in the units of a bucket."""
ADDRESS_BITS: Final = 128
_IPV4_BITS: Final = 96
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")

MARKS: Final = 1_024
_MARK_MIX: Final = 0x9E3779B1
_MARK_SHIFT: Final = 22

KEY: Final = struct.Struct("<I16s")
STATE: Final = struct.Struct("<16sII128s")
RULE: Final = struct.Struct("<Q16sQIIIIII")
BUCKET_KEY: Final = struct.Struct("<16sI")
BUCKET: Final = struct.Struct("<qQ")
EVENT: Final = struct.Struct("<Q")
TIME: Final = struct.Struct("<QQQQ")
FOUND: Final = struct.Struct("<16sI4x56s")
MOST_LATEST: Final = 1_024
"""Sources whose limit a CPU remembers."""


class BadRule(ValueError):
    """A rule that the program could not follow; the message is one line, with the value and the next step."""


class Action(IntEnum):
    """What happens to packets of a network."""

    PASS = 0
    """An exception to a shorter prefix."""
    DROP = 1
    LIMIT = 2
    """Each source may send at a rate; what goes beyond is dropped."""


class Verdict(IntEnum):
    """What became of a packet, as a rule counts it."""

    PASSED = 0
    DROPPED = 1
    AUDITED = 2
    """Would be dropped, and is not: the mode is monitor."""
    MISSED = 3
    """Dropped, too, by a rule that drops, and a socket of this node waits for it."""


FATES: Final = (Verdict.PASSED, Verdict.DROPPED, Verdict.AUDITED)
"""What becomes of packets, one of it for each: a missed one is a dropped one."""


class Event(IntEnum):
    """What is counted beside rules; each time, the packet passed."""

    UNREADABLE = 0
    NESTED = 1
    NO_BUCKET = 2
    UNCOUNTED = 3


ENFORCED: Final = Setting(Mode.ENFORCE)


class State(NamedTuple):
    """What holds for all rules."""

    mode: Setting = ENFORCED
    last_number: int = 0
    """The highest that a rule was ever given."""
    generation: int = 0
    """Of all rules, never given again; even while they are being changed, when no CPU goes by its memory."""
    marks: int = 0
    """Bits of the addresses that rules are about alone: without its own, no packet is asked for one."""

    def unsettled(self) -> Self:
        """Return it while rules are being changed: packets are decided by the tables alone."""
        return self._replace(generation=(self.generation + 1 & ~1) % 2**32)

    def settled(self) -> Self:
        """Return it once they are changed: nothing holds that was found before."""
        return self._replace(generation=self.unsettled().generation + 1)

    def packed(self) -> bytes:
        """Return the value in the map."""
        marks = self.marks.to_bytes(MARKS // 8, "little")
        return STATE.pack(self.mode.pack(), self.last_number, self.generation, marks)

    @classmethod
    def of(cls, value: bytes) -> "State":
        """Return the state of a value."""
        mode, last_number, generation, marks = STATE.unpack(value)
        return cls(Setting.of(mode), last_number, generation, int.from_bytes(marks, "little"))


class Limit(NamedTuple):
    """A token bucket: it begins full, and a packet takes a token."""

    rate: int
    """Packets per second."""
    burst: int
    """Packets that may come at once after a pause."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to packets from a network. Among rules that are in force, the longest prefix decides."""

    network: Network
    action: Action
    limit: Limit | None = None
    """Of `LIMIT` alone."""
    until_ns: int = FOR_EVER
    """From then on it is as if the rule were not there."""
    mode: Setting = ENFORCED
    """One that monitors counts what it would do, and the next longest prefix is asked."""

    def __post_init__(self) -> None:
        """Raise `BadRule` for what cannot be written down."""
        if (self.action is Action.LIMIT) != (self.limit is not None):
            word = self.action.name.lower()
            raise BadRule(f"{self.network}: {word}: write a rate for a limit, and for nothing else")
        if self.limit and not (1 <= self.limit.rate <= MOST_RATE and 1 <= self.limit.burst <= MOST_BURST):
            raise BadRule(
                f"{self.network}: {self.limit.rate} packets/s, {self.limit.burst} at once: "
                f"write a rate of 1 to {MOST_RATE} and a burst of 1 to {MOST_BURST}"
            )
        if self.network.version == 6 and self.network.subnet_of(_MAPPED):
            raise BadRule(f"{self.network} stands for IPv4; write the network as IPv4")
        if not 0 <= self.until_ns < 2**64 or not 0 <= self.mode.until_ns < 2**64:
            raise BadRule(f"{self.network}: its end is no time of 64 bits; write 0 for ever")
        if Mode.INHERIT in {self.mode.mode, self.mode.afterwards}:
            raise BadRule(f"{self.network}: a rule has a mode of its own; write enforce, monitor or off")

    @property
    def is_host(self) -> bool:
        """Say whether it is about one address alone: the kernel has a table of its own for these."""
        return self.network.prefixlen == self.network.max_prefixlen

    def is_over(self, now_ns: int) -> bool:
        """Say whether it is as if the rule were not there."""
        return self.until_ns != FOR_EVER and now_ns >= self.until_ns

    def packed(self, number: int, counter: int) -> bytes:
        """Return the value in the map; `number` tells its buckets, `counter` its counts from all others."""
        rate, burst = self.limit or (0, 0)
        fill_ns = -(-burst * TOKEN // rate) if rate else 0
        return RULE.pack(
            self.until_ns,
            self.mode.pack(),
            fill_ns,
            rate,
            burst,
            number,
            counter,
            bits_of(self.network),
            self.action,
        )


class Written(NamedTuple):
    """A rule as it stands in the map."""

    rule: Rule
    number: int
    counter: int

    @classmethod
    def of(cls, key: bytes, value: bytes) -> Self:
        """Return the rule of an entry, of either table."""
        until_ns, mode, _, rate, burst, number, counter, bits, action = RULE.unpack(value)
        limit = Limit(rate, burst) if action == Action.LIMIT else None
        network = _network(bits, key[-SOURCE_BYTES:])
        rule = Rule(network, Action(action), limit, until_ns, Setting.of(mode))
        return cls(rule, number, counter)


def bits_of(network: Network) -> int:
    """Return how many bits of an address of 128 a network asks for."""
    return network.prefixlen + (_IPV4_BITS if network.version == 4 else 0)


def bits_in(value: bytes) -> int:
    """Return how many bits the rule of a value asks for."""
    return int(RULE.unpack(value)[-2])


def key_of(network: Network) -> bytes:
    """Return the key of the rule for a network in the table of networks."""
    return KEY.pack(bits_of(network), host_key_of(network))


def host_key_of(network: Network) -> bytes:
    """Return the key of the rule for an address alone in the table of these."""
    return source_key(str(network.network_address))


def marks_of(rules: Iterable[Rule]) -> int:
    """Return the marks of the rules that are about one address alone."""
    found = 0
    for rule in rules:
        if rule.is_host:
            word = int.from_bytes(host_key_of(rule.network)[-4:], "little")
            found |= 1 << (word * _MARK_MIX % 2**32 >> _MARK_SHIFT)
    return found


def _network(bits: int, address: bytes) -> Network:
    whole = ipaddress.IPv6Address(address)
    if whole.ipv4_mapped is not None and bits >= _IPV4_BITS:
        return ipaddress.IPv4Network((whole.ipv4_mapped, bits - _IPV4_BITS))
    return ipaddress.IPv6Network((whole, bits))
