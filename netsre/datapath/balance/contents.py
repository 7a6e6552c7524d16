"""What a revision of the balancer consists of, as entries of the kernel's maps, and the numbers in them.

Services and backends have numbers that are theirs as long as any revision that is kept has them, and tables
by what is in them. No number is ever used again while a socket could remember it.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from netsre.datapath.balance import layouts, maglev
from netsre.datapath.balance.frontends import Frontend

_NOBODY: Final = layouts.NUMBER.pack(0)
_WORD: Final = layouts.NUMBER.size


@dataclass(frozen=True, slots=True)
class Content:
    """One revision, without the number of its set: keys begin behind it."""

    services: Mapping[bytes, bytes]
    members: frozenset[bytes]
    """Pairs of a service and a backend, as counters have them."""

    @property
    def tables(self) -> frozenset[bytes]:
        """Return the keys of its tables."""
        return frozenset(value[_WORD:] for value in self.services.values()) - {_NOBODY}

    @property
    def backends(self) -> frozenset[bytes]:
        """Return the keys of its backends."""
        return frozenset(member[_WORD:] for member in self.members)

    @property
    def counts(self) -> frozenset[bytes]:
        """Return the keys of its counters: of each member, and of what is refused."""
        return self.members | {value[:_WORD] + _NOBODY for value in self.services.values()}


NOTHING: Final = Content({}, frozenset())


class Numbering(dict[Any, int]):
    """Numbers things from 1 on, the same thing the same as long as it is known."""

    last: int = 0
    """The greatest that was ever given."""

    def __missing__(self, thing: object) -> int:
        """Give it the next number."""
        self.last += 1
        self[thing] = self.last
        return self.last

    def know(self, thing: object, number: int) -> None:
        """Take over a number that a thing has."""
        self[thing] = number
        self.last = max(self.last, number)

    def keep(self, numbers: AbstractSet[int]) -> None:
        """Forget all others; their numbers are not given again."""
        for thing in [thing for thing, number in self.items() if number not in numbers]:
            del self[thing]


Weights = frozenset[tuple[int, int]]
"""Of a table: numbers of backends, each with its weight."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whose numbers are which."""

    services: Numbering = field(default_factory=Numbering)
    """By place, without the number of a set: as keys of the map have it."""
    backends: Numbering = field(default_factory=Numbering)
    """By place."""
    tables: Numbering = field(default_factory=Numbering)
    """By `Weights`."""
    names: dict[int, str] = field(default_factory=dict)
    """Of services, by number: in no map."""

    def document(self) -> dict[str, Any]:
        """Return what no map of the kernel has, as JSON can carry it."""
        return {
            "last": [self.services.last, self.backends.last, self.tables.last],
            "names": {str(number): name for number, name in sorted(self.names.items())},
            "tables": {str(number): sorted(weights) for weights, number in self.tables.items()},
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the numbers of a document; raises what reading one of other types ends in."""
        numbers = cls(names={int(number): str(name) for number, name in document["names"].items()})
        for number, weights in document["tables"].items():
            each = frozenset((int(backend), int(weight)) for backend, weight in weights)
            numbers.tables.know(each, int(number))
        every = (numbers.services, numbers.backends, numbers.tables)
        for one, last in zip(every, document["last"], strict=True):
            if (given := int(last)) < 0:
                raise ValueError(f"{given} is no number")
            one.last = max(one.last, given)
        return numbers


@dataclass(frozen=True, slots=True)
class Encoded:
    """A revision that is to be written."""

    content: Content
    ends: Mapping[bytes, bytes]
    """The place of each backend, by key."""
    tables: Mapping[bytes, "Table"]
    """By key."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a table is made of."""

    weights: Mapping[str, int]
    """By name of a backend."""
    numbers: Mapping[str, int]
    """Of the backends."""

    def packed(self) -> bytes:
        """Return it slot by slot."""
        order = [self.numbers[name] for name in sorted(self.weights)]
        return layouts.table(map(order.__getitem__, maglev.owners(self.weights)))


def encode(frontends: Iterable[Frontend], numbers: Numbers) -> Encoded:
    """Return a revision, with numbers for what has none yet."""
    services: dict[bytes, bytes] = {}
    members: set[bytes] = set()
    ends: dict[bytes, bytes] = {}
    tables: dict[bytes, Table] = {}
    for frontend in frontends:
        place = layouts.PLACE.pack(frontend.end, frontend.protocol)
        service = numbers.services[place]
        numbers.names[service] = frontend.service
        backends = {name: numbers.backends[end] for name, end in frontend.members.items()}
        for name, backend in backends.items():
            ends[layouts.NUMBER.pack(backend)] = frontend.members[name]
            members.add(layouts.COUNT_KEY.pack(service, backend))
        table = 0
        if frontend.weights:
            table = numbers.tables[frozenset((backends[name], one) for name, one in frontend.weights.items())]
            tables.setdefault(layouts.NUMBER.pack(table), Table(frontend.weights, backends))
        services[place] = layouts.SERVICE.pack(service, table)
    return Encoded(Content(services, frozenset(members)), ends, tables)


def named(content: Content, numbers: Numbers) -> Mapping[bytes, tuple[str, str, str]]:
    """Return service, place and backend of each counter of a revision; no backend is who was refused.

    A service whose name nobody remembers is called by its place.
    """
    ends = {number: end for end, number in numbers.backends.items()}
    services = {
        int.from_bytes(value[:_WORD], "little"): layouts.PLACE.unpack(place)
        for place, value in content.services.items()
    }
    found = {}
    for key in content.counts:
        service, backend = layouts.COUNT_KEY.unpack(key)
        if service in services:
            end, protocol = services[service]
            where = f"{layouts.shown(end)}/{layouts.PROTOCOLS.get(protocol, protocol)}"
            who = layouts.shown(ends[backend]) if backend in ends else ""
            found[key] = numbers.names.get(service, where), where, who
    return found


class Member(NamedTuple):
    """A backend of a service."""

    service: str
    place: str
    backend: str
    is_serving: bool
    """Whether it takes new connections; of a table that nobody remembers it may not be told, and is so."""


def members(content: Content, numbers: Numbers) -> list[Member]:
    """Return every backend of a revision."""
    weights = {number: dict(each) for each, number in numbers.tables.items()}
    tables = dict(layouts.SERVICE.unpack(value) for value in content.services.values())
    called = named(content, numbers)
    found = []
    for key in content.members:
        service, backend = layouts.COUNT_KEY.unpack(key)
        taking = weights.get(tables.get(service, 0), {backend: 1} if tables.get(service) else {})
        if key in called:
            found.append(Member(*called[key], backend in taking))
    return sorted(found)


def by_set(services: Iterable[tuple[bytes, bytes]], members: Iterable[bytes]) -> Mapping[int, Content]:
    """Return the contents of the maps `services` and `members`, by the number of the set."""
    found: dict[int, tuple[dict[bytes, bytes], set[bytes]]] = {}
    for key, value in services:
        found.setdefault(_set(key), ({}, set()))[0][key[_WORD:]] = value
    for key in members:
        found.setdefault(_set(key), ({}, set()))[1].add(key[_WORD:])
    return {number: Content(each, frozenset(pairs)) for number, (each, pairs) in found.items()}


def _set(key: bytes) -> int:
    (number,) = layouts.NUMBER.unpack_from(key)
    return int(number)
