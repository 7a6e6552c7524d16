"""What was resolved, as the bytes of a whole revision: what the kernel's maps hold of it.

Tables and sets have their numbers by what is in them, so that a revision has those that it has in common with
an earlier one under the same numbers, and nothing of them is written again.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from netsre.datapath.policy import layouts
from netsre.datapath.policy.budget import BUDGET, within_budget
from netsre.datapath.policy.identities import ANY, Whose
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbering, Numbers, with_identities
from netsre.datapath.policy.prefixes import WHATEVER, Prefix
from netsre.datapath.policy.reference import Answer, Decision
from netsre.datapath.policy.resolve import Resolved
from netsre.datapath.policy.tables import Table
from netsre.datapath.policy.zones import Zones, network
from netsre.model.policies.values import Direction, Endpoint, Kind, Network, Policy

Entries = Mapping[bytes, bytes]
"""Keys and values of a map."""
Parts = Mapping[Map, Mapping[int, Entries]]
"""Of each map, by the number of the table or set: the entries that belong to it."""

_NO_TABLE: Final = 0
"""In the place of a table's number: all may pass. In that of its zones: it knows none."""
_NO_INTERFACE: Final = 0
_NOBODY: Final = 0
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Encoded:
    """A whole revision: what it consists of, but not where it lies."""

    addresses: int
    """The number of its set of addresses."""
    endpoints: int
    """The number of its set of endpoints."""
    parts: Parts
    numbers: Numbers
    """What the next one is given as its previous."""

    def size(self, where: Map) -> int:
        """Return how many entries it has in a map."""
        return sum(map(len, self.parts[where].values()))


def encode(
    resolved: Resolved,
    policies: Sequence[Policy],
    endpoints: Sequence[Endpoint],
    previous: Numbers,
    budget: Mapping[Map, int] = BUDGET,
) -> Encoded:
    """Return a revision; raises `BudgetExceeded`."""
    return Encoder().encode(resolved, policies, endpoints, previous, budget)


@dataclass(frozen=True, slots=True)
class _Content:
    """What is in a table or a set, whatever its number."""

    where: Map
    whole: bytes
    """Keys, in which the number is 0, each with its value, in order: a tenth of what a mapping takes."""
    digest: str

    @classmethod
    def of(cls, where: Map, entries: Iterable[tuple[bytes, bytes]]) -> "_Content":
        whole = b"".join(key + value for key, value in sorted(entries))
        return cls(where, whole, hashlib.blake2b(whole, digest_size=_DIGEST_BYTES).hexdigest())

    def __len__(self) -> int:
        return len(self.whole) // layouts.PAIRS[self.where].size

    def under(self, number: int) -> Entries:
        numbered = layouts.numbered(self.where, number)
        pairs = layouts.PAIRS[self.where].iter_unpack(self.whole)
        values: dict[bytes, bytes] = {}  # many entries have the same
        return MappingProxyType({numbered(key): values.setdefault(value, value) for key, value in pairs})


def digest(where: Map, entries: Entries) -> str:
    """Return what a table or set is known by, whatever its number."""
    plain = layouts.numbered(where, 0)
    return _Content.of(where, ((plain(key), value) for key, value in entries.items())).digest


@dataclass(frozen=True, slots=True)
class _TableBytes:
    """A table as bytes, which rest on the numbers of its rules."""

    table: Table
    rules: Mapping[str, int]
    content: _Content
    denies: bool
    zones: _Content | None


@dataclass(slots=True)
class Encoder:
    """Encodes one revision after the other. What it keeps makes it faster, and never changes an answer."""

    _rules: dict[int, tuple[Table, frozenset[str]]] = field(default_factory=dict)
    _tables: dict[int, _TableBytes] = field(default_factory=dict)
    _under: dict[Map, dict[tuple[int, str], Entries]] = field(default_factory=dict)
    _keys: dict[int, tuple[Endpoint, list[bytes]]] = field(default_factory=dict)
    _addresses: tuple[Mapping[Network, Whose], _Content] | None = None

    def encode(
        self,
        resolved: Resolved,
        policies: Sequence[Policy],
        endpoints: Sequence[Endpoint],
        previous: Numbers,
        budget: Mapping[Map, int] = BUDGET,
        called: Callable[[str], str] = str,
    ) -> Encoded:
        """Return a revision; `called` says which of its names an interface is known by.

        Raises `BudgetExceeded`.
        """
        known = {id(one): one for ways in resolved.tables.values() for one in ways.values()}
        policed = [one for one in endpoints if one.kind is Kind.ENDPOINT]
        rules = previous.rules.including(self._names(known))
        names = previous.endpoints.including(one.full_name for one in policed)
        self._pack(known, rules)
        tables, table_numbers = self._sets(
            previous.tables, (one.content for one in self._tables.values() if not _is_free(one.table))
        )
        zones, zone_numbers = self._sets(
            previous.zone_sets,
            (one.zones for one in self._tables.values() if one.zones is not None and not _is_free(one.table)),
        )
        addresses, address_sets = self._sets(
            previous.address_sets, [self._packed_addresses(resolved.addresses)]
        )
        at, interfaces = _numbered_places(policed, previous.interfaces, called)
        listed = self._listed(resolved, policed, names, (table_numbers, zone_numbers), at)
        ends, endpoint_sets = self._sets(previous.endpoint_sets, [_Content.of(Map.ENDPOINTS, listed)])
        sets = {Map.ENTRIES: tables, Map.ZONES: zones, Map.ENDPOINTS: ends, Map.ADDRESSES: addresses}
        sizes = {where: sum(map(len, contents.values())) for where, contents in sets.items()}
        within_budget(sizes, budget, policies, known.values())
        parts = MappingProxyType({where: self._numbered(where, contents) for where, contents in sets.items()})
        identities = with_identities(previous.identities, resolved.numbers)
        found = table_numbers, address_sets, endpoint_sets, zone_numbers, interfaces
        return Encoded(min(addresses), min(ends), parts, Numbers(identities, rules, names, *found))

    def _names(self, tables: Mapping[int, Table]) -> set[str]:
        """Return the names of the rules that tables answer with."""
        before = self._rules
        self._rules = {
            key: before[key] if key in before else (one, frozenset(_rule_names(one)))
            for key, one in tables.items()
        }
        return set().union(*(names for _, names in self._rules.values()))

    def _pack(self, tables: Mapping[int, Table], rules: Numbering) -> None:
        before, self._tables = self._tables, {}
        for key, one in tables.items():
            mine = {name: rules.known[name] for name in self._rules[key][1]}
            packed = before.get(key)
            if packed is None or packed.rules != mine:
                content = _Content.of(Map.ENTRIES, _packed_table(one, mine))
                packed = _TableBytes(one, mine, content, one.denies, _packed_zones(one.zones))
            self._tables[key] = packed

    @staticmethod
    def _sets(known: Numbering, contents: Iterable[_Content]) -> tuple[dict[int, _Content], Numbering]:
        """Return tables or sets by their numbers, in order, and the numbers to go on with."""
        found = {one.digest: one for one in contents}
        numbers = known.including(found)
        return dict(sorted((numbers.known[digest], one) for digest, one in found.items())), numbers

    def _numbered(self, where: Map, contents: Mapping[int, _Content]) -> Mapping[int, Entries]:
        before = self._under.get(where, {})
        self._under[where] = now = {
            (number, one.digest): before.get((number, one.digest)) or one.under(number)
            for number, one in contents.items()
        }
        return MappingProxyType({number: entries for (number, _), entries in now.items()})

    def _packed_addresses(self, addresses: Mapping[Network, Whose]) -> _Content:
        if self._addresses is None or self._addresses[0] != addresses:
            packed = (
                (layouts.address_key(0, network), layouts.whose(one)) for network, one in addresses.items()
            )
            self._addresses = addresses, _Content.of(Map.ADDRESSES, packed)
        return self._addresses[1]

    def _listed(
        self,
        resolved: Resolved,
        endpoints: Iterable[Endpoint],
        names: Numbering,
        sets: tuple[Numbering, Numbering],
        interfaces: Mapping[str, int],
    ) -> Iterable[tuple[bytes, bytes]]:
        """Yield every address of every endpoint with its tables, and every interface where one is.

        `sets` are the numbers of tables, and of their zones.
        """
        before, self._keys = self._keys, {}
        for endpoint in endpoints:
            if not endpoint.ips:
                continue
            self._keys[id(endpoint)] = _, keys = before.get(id(endpoint)) or (
                endpoint,
                [layouts.endpoint_key(0, ip) for ip in endpoint.ips],
            )
            mine = resolved.tables.get(endpoint.full_name, {})
            tables, zones = zip(*(self._about(mine.get(way), *sets) for way in Direction), strict=True)
            who = names.known[endpoint.full_name], *tables, resolved.identities[endpoint.full_name], *zones
            at = interfaces.get(endpoint.full_name, _NO_INTERFACE)
            value = layouts.ENDPOINT.pack(*who, self._lenient(mine), at)
            for key in keys:
                yield key, value
        yield from _interfaces({names.known[name]: number for name, number in interfaces.items()})

    def _about(self, table: Table | None, tables: Numbering, zones: Numbering) -> tuple[int, int]:
        """Return the numbers of a table and of its zones."""
        if table is None or _is_free(table):
            return _NO_TABLE, _NO_TABLE
        known = self._tables[id(table)]
        about = _NO_TABLE if known.zones is None else zones.known[known.zones.digest]
        return tables.known[known.content.digest], about

    def _lenient(self, tables: Mapping[Direction, Table]) -> int:
        """Return a bit for each direction whose table denies nothing."""
        return sum(
            1 << layouts.DIRECTIONS[way] for way, one in tables.items() if not self._tables[id(one)].denies
        )


def _numbered_places(
    endpoints: Iterable[Endpoint], previous: Numbering, called: Callable[[str], str]
) -> tuple[Mapping[str, int], Numbering]:
    """Return where each endpoint is, and the numbers that interfaces have then."""
    # Who has no address cannot be told from anybody else there.
    places = {one.full_name: called(one.interface) for one in endpoints if one.interface and one.ips}
    numbers = previous.including(places.values())
    return {name: numbers.known[place] for name, place in places.items()}, numbers


def _interfaces(places: Mapping[int, int]) -> Iterable[tuple[bytes, bytes]]:
    """Yield every interface of endpoints, of which the number and that of the interface are given."""
    sharing: dict[int, list[int]] = {}
    for endpoint, interface in places.items():
        sharing.setdefault(interface, []).append(endpoint)
    for interface, several in sharing.items():
        only = several[0] if len(several) == 1 else _NOBODY
        yield layouts.interface_key(0, interface), layouts.ENDPOINT.pack(only, *[0] * 6, interface)


def _is_free(table: Table) -> bool:
    """Return whether a table lets everybody do everything, by no rule: then none has to be looked up."""
    return not table.entries and table.otherwise.decision is Decision.ALLOW


def _rule_names(table: Table) -> Iterable[str]:
    shared = {id(entries): entries for entries in table.entries.values()}
    answers = (answer for entries in shared.values() for answer in entries.values())
    return (answer.rule.name for answer in answers if answer.rule is not None)


def _packed_table(table: Table, rules: Mapping[str, int]) -> Iterable[tuple[bytes, bytes]]:
    """Yield the entries of a table under keys in which its number is 0."""
    shared: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
    for end, entries in table.entries.items():
        if id(entries) not in shared:
            shared[id(entries)] = [_packed(*entry, rules) for entry in entries.items()]
        middle = layouts.END.pack(end)
        for before, behind, value in shared[id(entries)]:
            yield before + middle + behind, value
    if WHATEVER not in table.entries.get(ANY, {}):
        before, behind, value = _packed(WHATEVER, table.otherwise, rules)
        yield before + layouts.END.pack(ANY) + behind, value


def _packed_zones(zones: Zones) -> _Content | None:
    packed = [(layouts.address_key(0, network(one)), layouts.ZONE.pack(*zone)) for one, zone in zones]
    return _Content.of(Map.ZONES, packed) if packed else None


def _packed(prefix: Prefix, answer: Answer, rules: Mapping[str, int]) -> tuple[bytes, bytes, bytes]:
    """Return what of a key is before the end, what is after it, and the value."""
    key = layouts.entry_key(0, ANY, prefix)
    at = layouts.END_AT
    rule = rules[answer.rule.name] if answer.rule is not None else 0
    return key[:at], key[at + layouts.END.size :], layouts.entry(answer, rule)
