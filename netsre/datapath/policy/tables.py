"""One endpoint's table for one direction: entries whose longest match is the answer.

Under an identity in a zone lie prefixes of protocol and port. The longest prefix that matches has the answer
of all rules together, those that deny before those that allow: nothing has to be compared at the time of the
packet. Who has entries of his own in a zone has all that are under `ANY` there in them, and these have all
that are under `ANY` in no zone; where nothing matches, the table's own answer counts.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from netsre.datapath.policy import reference, views
from netsre.datapath.policy.identities import ANY, Identity, Whom
from netsre.datapath.policy.matches import Matches
from netsre.datapath.policy.prefixes import WHATEVER, Prefix, of_range
from netsre.datapath.policy.reference import Answer, Decision, Reason
from netsre.datapath.policy.views import Share
from netsre.datapath.policy.zones import Pair, Residents, Zones, drawn
from netsre.model.policies.values import Direction, EntityPeer, NamedPort, NetworkPeer, Policy, Ports, Rule

_NODE: Final = Answer(Decision.ALLOW, Reason.NODE)
_LAST: Final = 1 << 62
_EVERYBODY: Final = EntityPeer("all")
_IDENTITY_BITS: Final = 16

_Rank = tuple[bool, int]
"""What comes first has the say: whatever denies, then in the order of the rules."""


@dataclass(frozen=True, slots=True)
class Table:
    """What one endpoint decides in one direction."""

    otherwise: Answer
    """Where no entry matches."""
    entries: Mapping[int, Mapping[Prefix, Answer]]
    """By identity and zone of the other end (`end`); those who are told the same share what is under them."""
    zones: Zones = ()
    whom: frozenset[int] | None = field(default=frozenset(), compare=False)
    """The identities for which it matters in which of the zones they have addresses; None for all."""

    @property
    def denies(self) -> bool:
        """Return whether it denies anything to anybody."""
        shared = {id(known): known for known in self.entries.values()}
        answers = (answer for known in shared.values() for answer in known.values())
        return any(answer.decision is Decision.DENY for answer in (self.otherwise, *answers))


@dataclass(frozen=True, slots=True)
class _Saying:
    """What a rule says about the same services of several ends."""

    prefixes: tuple[Prefix, ...]
    rank: _Rank
    answer: Answer
    views: int
    """A bit for each view that it counts in."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The other ends, by number: the world by its classes."""

    identities: Mapping[int, Identity]
    meant: Matches[Whom, Identity]
    hosts: frozenset[int]
    """Those that are the node."""
    residents: Residents


def end(identity: int, zone: int) -> int:
    """Return the number of somebody in a zone, as the kernel reads both."""
    return zone << _IDENTITY_BITS | identity


def _identity(number: int) -> int:
    return number & (1 << _IDENTITY_BITS) - 1


def asks_everyone(policy: Policy, way: Direction) -> bool:
    """Return whether some rule is about all ends, by a name that each may have another port under."""
    return any(_is_for_everybody(rule) and _is_named(rule, way) for rule in policy.rules[way])


def whom(policies: Iterable[Policy], way: Direction) -> frozenset[Whom]:
    """Return the peers whose meaning a table of these policies rests on."""
    rules = (rule for policy in policies for rule in policy.rules[way])
    return frozenset(peer for rule in rules for peer in _people(rule))


def _people(rule: Rule) -> Iterator[Whom]:
    return (peer for peer in rule.peers or () if not isinstance(peer, NetworkPeer))


def _is_for_everybody(rule: Rule) -> bool:
    return rule.peers is None or _EVERYBODY in rule.peers


def _is_named(rule: Rule, way: Direction) -> bool:
    return way is Direction.EGRESS and any(one.name is not None for one in rule.ports or ())


def table(share: Share, way: Direction, named_ports: tuple[NamedPort, ...], others: Ends) -> Table:
    """Return what policies together say about an endpoint; `named_ports` are the endpoint's own."""
    said, isolating = [*share.rules(way)], share.isolating(way)
    zones, of_rules = drawn([_networks(rule) for rule, _ in said])
    otherwise = tuple(map(views.without_rule, isolating))
    building = _Building(way, named_ports, others, zones, otherwise)
    for place, ((rule, counts), numbers) in enumerate(zip(said, of_rules, strict=True)):
        building.add(rule, (not rule.deny, place), numbers, counts)
    free = sum(1 << at for at, some in enumerate(isolating) if some and reference.node_is_free(some, way))
    if free:
        building.say(others.hosts, _Saying((WHATEVER,), (True, _LAST), _NODE, free))
    return Table(views.together(otherwise), building.entries(), zones, building.whom())


def _networks(rule: Rule) -> Sequence[NetworkPeer]:
    """Return the peers by which a rule means somebody for his address."""
    if _is_for_everybody(rule):
        return ()
    return [peer for peer in rule.peers or () if isinstance(peer, NetworkPeer)]


@dataclass(slots=True)
class _Building:
    """What was said so far."""

    way: Direction
    named_ports: tuple[NamedPort, ...]
    others: Ends
    zones: Zones
    otherwise: tuple[Answer, ...]
    """By view: where no rule says anything."""
    _sayings: list[_Saying] = field(default_factory=list)
    _about: dict[int, int] = field(default_factory=dict)
    """By identity, zone, or both: what was said about it, a bit for each saying."""
    _by_names: bool = False
    """Whether something was said about whoever is in a zone and has a port of a name."""

    def add(self, rule: Rule, rank: _Rank, zones: Collection[int], counts: int) -> None:
        answer = Answer(Decision.DENY if rule.deny else Decision.ALLOW, Reason.RULE, rule)
        numbers = self._whom(rule)
        if not _is_named(rule, self.way):
            about = (*numbers, *(end(ANY, zone) for zone in zones))
            self.say(about, _Saying(tuple(_prefixes(rule.ports, self.named_ports)), rank, answer, counts))
            return
        self._by_names |= bool(zones)
        named = [*numbers, *(end(who, zone) for who, zone in self._residents() if zone in zones)]
        by_names: dict[tuple[NamedPort, ...], list[int]] = {}
        for number in named:
            names = self.others.identities[_identity(number)].named_ports
            by_names.setdefault(names, []).append(number)
        for names, alike in by_names.items():
            self.say(alike, _Saying(tuple(_prefixes(rule.ports, names)), rank, answer, counts))

    def say(self, numbers: Iterable[int], saying: _Saying) -> None:
        if saying.prefixes:
            bit = 1 << len(self._sayings)
            self._sayings.append(saying)
            about = self._about
            for number in numbers:
                about[number] = about.get(number, 0) | bit

    def entries(self) -> Mapping[int, Mapping[Prefix, Answer]]:
        told = self._told()
        pairs = {*told.values()}
        flat = {
            said: _flat([one for bit, one in enumerate(self._sayings) if said >> bit & 1], self.otherwise)
            for said in {said for pair in pairs for said in pair}
        }
        # Where somebody is told what he would be told anyway, one entry is enough for all.
        adding = {(own, others) for own, others in pairs if flat[own] != flat[others]}
        return MappingProxyType(
            {number: flat[told[number][0]] for number in sorted(told) if told[number] in adding}
        )

    def whom(self) -> frozenset[int] | None:
        return None if self._by_names else frozenset(map(_identity, self._about)) - {ANY}

    def _told(self) -> Mapping[int, tuple[int, int]]:
        """Return what each end is told, and what it would be told without entries of its own."""
        about = self._about
        everybody = about.get(ANY, 0)
        told = {number: (said | everybody, everybody) for number, said in about.items()}
        told |= {ANY: (everybody, 0)} if everybody else {}
        for who, zone in self._residents() if about.keys() - {ANY} else ():
            own = about.get(who, 0) | about.get(end(who, zone), 0)
            if own:
                there = about.get(end(ANY, zone), 0) | everybody
                told[end(who, zone)] = own | there, there
        return told

    def _residents(self) -> AbstractSet[Pair]:
        return self.others.residents.of(self.zones) if self.zones else frozenset()

    def _whom(self, rule: Rule) -> Iterable[int]:
        if not _is_for_everybody(rule):
            return frozenset().union(*(self.others.meant.of(peer) for peer in _people(rule)))
        return self.others.identities if _is_named(rule, self.way) else (ANY,)


def _prefixes(ports: tuple[Ports, ...] | None, names: tuple[NamedPort, ...]) -> Iterator[Prefix]:
    if ports is None:
        yield WHATEVER
        return
    for one in ports:
        if one.name is None:
            yield from of_range(one.protocol, one.first, one.last)
        for named in names:
            if (named.name, named.protocol) == (one.name, one.protocol):
                yield from of_range(one.protocol, named.port, named.port)


_Said = Mapping[Prefix, tuple[_Rank, Answer]]


def _flat(said: Sequence[_Saying], otherwise: Sequence[Answer]) -> Mapping[Prefix, Answer]:
    """Return one answer for each prefix: the first of all around it; without prefixes that add nothing.

    `otherwise` is, by view, where none of it says anything.
    """
    every = (1 << len(otherwise)) - 1
    alike = all(one.views == every for one in said)
    seen = (
        [_first(said)]
        if alike
        else [_first(one for one in said if one.views >> at & 1) for at in range(len(otherwise))]
    )
    prefixes = set().union(*seen)
    lengths = sorted({prefix.length for prefix in prefixes}, reverse=True)
    found: dict[Prefix, Answer] = {}
    for prefix in sorted(prefixes):
        around = [prefix.shortened(length) for length in lengths if length <= prefix.length]
        answers = [
            _best(first, around, last) for first, last in zip(seen, otherwise[: len(seen)], strict=True)
        ]
        best = answers[0] if alike else views.together(answers)
        smallest = next((found[one] for one in around[1:] if one in found), None)
        if best != smallest:
            found[prefix] = best
    return MappingProxyType(found)


def _first(said: Iterable[_Saying]) -> _Said:
    """Return what is said about each prefix by whoever has the say."""
    first: dict[Prefix, tuple[_Rank, Answer]] = {}
    for saying in said:
        for prefix in saying.prefixes:
            if prefix not in first or saying.rank < first[prefix][0]:
                first[prefix] = saying.rank, saying.answer
    return first


def _best(said: _Said, around: Iterable[Prefix], otherwise: Answer) -> Answer:
    """Return what has the say of all around a prefix."""
    outside = [said[one] for one in around if one in said]
    return min(outside, key=lambda pair: pair[0])[1] if outside else otherwise
