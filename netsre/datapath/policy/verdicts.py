"""What the policy datapath decided, by the names of rules and of both ends: totals that only ever grow."""

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.policy.gains import Counts, Gains
from netsre.datapath.policy.layouts import COUNT, COUNT_KEY, DIRECTIONS, REASONS
from netsre.datapath.policy.reference import Reason
from netsre.model.policies.values import Direction, Kind, Scope

WORDS: Final = ("allowed", "denied", "audited")
"""Verdicts by their numbers in the kernel."""
_ALLOWED: Final = 0
_DENIED: Final = 1
DIRECTION: Final = MappingProxyType({number: one for one, number in DIRECTIONS.items()})
REASON: Final = MappingProxyType({number: one for one, number in REASONS.items()})
MOST: Final = 1_024
"""Verdicts kept apart at most, first come, first served; of others rule and ends are `~other`."""
NOBODY: Final = "unknown"
"""The end of a packet whose address no revision says anything about."""

_LABEL: Final = f"{Scope.LABEL}:"
_NAMESPACE: Final = f"{Scope.NAMESPACE}:="
_LEFT_OUT: Final = (f"{Scope.NAMESPACE_LABEL}:", f"{Scope.RESERVED}:", "port:")
_FORGET_SECONDS: Final = 300.0
_LONGEST: Final = 120
"""Characters of a name: labels of a workload can be many."""
HOOKS: Final = MappingProxyType({Direction.EGRESS: "tc_ingress", Direction.INGRESS: "tc_egress"})
"""What an endpoint sends comes in at the node's end of its link, and what it gets goes out there."""
DENIED: Final = "denied"
"""The reason of what is dropped by a policy; by which rule, or none that allows it, stands beside it."""


class Verdict(NamedTuple):
    """What is told apart, in the order of the labels."""

    verdict: str
    rule: str
    expected: str
    direction: str
    source: str
    destination: str


class Drop(NamedTuple):
    """What is told apart of packets that were dropped."""

    hook: str
    reason: str
    rule: str


@dataclass(frozen=True, slots=True)
class Names:
    """Names by their numbers in the kernel."""

    rules: Mapping[int, str] = field(default_factory=dict)
    identities: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Mapping[str, int], identities: Mapping[str, int]) -> "Names":
        """Return the names of numbers."""
        return cls(_turned(rules), _turned(identities, short))

    def including(self, later: "Names") -> "Names":
        """Return these and later ones, which go before."""
        return Names({**self.rules, **later.rules}, {**self.identities, **later.identities})

    def only(self, rules: AbstractSet[int], identities: AbstractSet[int]) -> "Names":
        """Return the names of these numbers alone."""
        return Names(
            {number: name for number, name in self.rules.items() if number in rules},
            {number: name for number, name in self.identities.items() if number in identities},
        )

    def rule(self, number: int, reason: int) -> str:
        """Return what decided: a rule, or the reason that there is none."""
        return told(self.rules.get(number, OTHER) if number else None, reason)

    def end(self, number: int) -> str:
        """Return who somebody is."""
        return self.identities.get(number, OTHER) if number else NOBODY


def told(rule: str | None, reason: int) -> str:
    """Return what decided: a rule, the reason that there is none, or which one allowed it before."""
    why = REASON[reason]
    if why is Reason.WITHDRAWN and rule is not None:
        return f"{why.value} by {rule}"
    return why.value if rule is None else rule


def short(key: str) -> str:
    """Return an identity as people write it: `shop/app=web`, `world cidr:10.0.0.0/8`.

    What goes without saying, or only tells ports by names apart, is left out.
    """
    kind, *parts = key.split(" ")
    space = next((part for part in parts if part.startswith(_NAMESPACE)), None)
    rest = [part for part in parts if not part.startswith((_NAMESPACE, *_LEFT_OUT))]
    if space is None:
        return " ".join((kind, *rest))
    labels = ",".join(part.removeprefix(_LABEL) for part in rest)
    name = f"{space.removeprefix(_NAMESPACE)}/{labels}"
    return name if kind == Kind.ENDPOINT else f"{kind} {name}"


def _turned(numbers: Mapping[str, int], shown: Callable[[str], str] = str) -> dict[int, str]:
    names = {number: shown(name) for name, number in numbers.items()}
    return {
        number: name if len(name) <= _LONGEST else f"{name[:_LONGEST]}~{number}"
        for number, name in names.items()
    }


def gone(counts: Iterable[bytes], rules: AbstractSet[int], identities: AbstractSet[int]) -> set[bytes]:
    """Return the keys of counters that name a rule or an end that is none any more; 0 is none at any time."""
    found = set()
    for key in counts:
        rule, source, destination, *_ = COUNT_KEY.unpack(key)
        if not {rule} - {0} <= rules or not {source, destination} - {0} <= identities:
            found.add(key)
    return found


def sums(value: bytes) -> tuple[int, int, int]:
    """Return packets, bytes and connections of a counter, over all CPUs."""
    each = struct.unpack(f"<{len(value) // 8}Q", value)
    packets, size, connections = (sum(each[at :: COUNT.size // 8]) for at in range(COUNT.size // 8))
    return packets, size, connections


@dataclass(slots=True)
class VerdictTotals:
    """What was decided since somebody looks."""

    connections: Counter[Verdict] = field(default_factory=Counter)
    packets: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By verdict and direction; so are the bytes of them."""
    octets: Counter[tuple[str, str]] = field(default_factory=Counter)
    drops: Counter[Drop] = field(default_factory=Counter)
    _gains: Gains[bytes] = field(default_factory=Gains)
    _names: Names = field(default_factory=Names)
    _given: Names | None = None
    _gone: dict[Verdict, float] = field(default_factory=dict)
    """Since when nothing is counted as this."""
    _table: int = 0

    def take(self, table: int, counts: Mapping[bytes, Counts], names: Names) -> None:
        """Add what was counted since the last look, under the names that hold now.

        A name that is forgotten by whoever gives names stays known for as long as something is counted under
        its number: connections outlive the revision that allowed them.
        """
        self._know(table, counts, names)
        for key, gained in self._gains.take(table, counts):
            self._add(key, gained)

    def end(self, counts: Mapping[bytes, Counts], now: float) -> None:
        """Add what was counted last by counters that were taken out of the table that was looked at.

        What nothing is counted as any more is forgotten some minutes later: it was read many times by then.
        `now` is seconds of a clock that is never set.
        """
        ended = set[Verdict]()
        for key, gained in self._gains.end(counts):
            self._add(key, gained)
            ended.add(self._as_told(key))
        if gone := {one: now for one in ended if one.rule != OTHER} | self._gone:
            living = {self._as_told(key) for key in self._gains.followed}
            self._gone = {one: since for one, since in gone.items() if one not in living}
            self._forget({one for one, since in self._gone.items() if now - since > _FORGET_SECONDS})

    def _forget(self, gone: AbstractSet[Verdict]) -> None:
        for one in gone:
            del self._gone[one], self.connections[one]
        rules = {one.rule for one in self.connections}
        self.drops = Counter({drop: count for drop, count in self.drops.items() if drop.rule in rules})

    def _know(self, table: int, counts: Iterable[bytes], names: Names) -> None:
        """Take these names for those that hold now, and keep those that something is counted under."""
        if (table, names) == (self._table, self._given):
            return
        rules, identities = set[int](), set[int]()
        for rule, source, destination, *_ in map(COUNT_KEY.unpack, counts):
            rules.add(rule)
            identities |= {source, destination}
        kept = self._names.only(rules, identities) if table == self._table else Names()
        self._names, self._given, self._table = kept.including(names), names, table

    def _add(self, key: bytes, gained: Counts) -> None:
        packets, size, connections = map(int, gained)
        one = self._as_told(key)
        self.connections[one] += connections
        self.packets[one.verdict, one.direction] += packets
        self.octets[one.verdict, one.direction] += size
        if one.verdict == WORDS[_DENIED]:
            self.drops[Drop(HOOKS[Direction(one.direction)], DENIED, one.rule)] += packets

    def _as_told(self, key: bytes) -> Verdict:
        """Return what a counter is told as: of what there is no room for, neither the rule nor the ends."""
        rule, source, destination, number, way, why, _ = COUNT_KEY.unpack(key)
        expected = "yes" if number == _ALLOWED or REASON[why] is Reason.RULE else "no"
        what = WORDS[number], self._names.rule(rule, why), expected, DIRECTION[way].value
        one = Verdict(*what, self._names.end(source), self._names.end(destination))
        if one in self.connections or len(self.connections) < MOST:
            return one
        return one._replace(rule=OTHER, source=OTHER, destination=OTHER)
