"""Numbers that stay: of identities, rules and endpoints by name, of tables and sets by their content."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

MOST: Final = (1 << 32) - 1
_NONE: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Numbering:
    """A number for each name, from 1 on; 0 is none. A name keeps its number for as long as it is known."""

    known: Mapping[str, int] = field(default_factory=lambda: _NONE)
    last: int = 0
    """What was given last: a number that is free again is given again as late as possible."""

    def including(self, names: Iterable[str]) -> "Numbering":
        """Return one that knows these names, too; new ones get the next numbers, in the order of names."""
        new = sorted({*names} - self.known.keys())
        if not new:
            return self
        numbers = dict(zip(new, self._free(), strict=False))
        return Numbering(MappingProxyType({**self.known, **numbers}), numbers[new[-1]])

    def within(self, used: AbstractSet[int]) -> "Numbering":
        """Return one that has forgotten every number but these."""
        kept = {name: number for name, number in self.known.items() if number in used}
        return Numbering(MappingProxyType(kept), self.last)

    def _free(self) -> Iterator[int]:
        taken = {*self.known.values()}
        for numbers in (range(self.last + 1, MOST + 1), range(1, self.last + 1)):
            yield from (number for number in numbers if number not in taken)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What earlier revisions gave, and the next one goes on with."""

    identities: Mapping[str, int] = field(default_factory=lambda: _NONE)
    rules: Numbering = Numbering()
    endpoints: Numbering = Numbering()
    tables: Numbering = Numbering()
    """By a digest of what is in it; so are the sets."""
    address_sets: Numbering = Numbering()
    endpoint_sets: Numbering = Numbering()
    zone_sets: Numbering = Numbering()
    interfaces: Numbering = Numbering()
    """By name."""


def with_identities(known: Mapping[str, int], now: Mapping[str, int]) -> Mapping[str, int]:
    """Return what is remembered of identities: those of now, and of others what is nobody's now."""
    taken = {*now.values()}
    return MappingProxyType({key: number for key, number in known.items() if number not in taken} | {**now})
