"""Whose each map is: the first process that is found to hold it, or to hold a program that uses it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf import holders
from netsre.adapters.bpf.holders import Held
from netsre.app.inventory.client import Inventory
from netsre.datapath.commands import owner_of, printable
from netsre.datapath.maps import KERNEL

_AGAIN_SECONDS: Final = 10.0
"""When to look again for the owner of a map that had none; doubled each time."""
_AGAIN_SECONDS_AT_MOST: Final = 640.0
_PLACE_CHARACTERS: Final = 64


@dataclass(slots=True)
class _Unfound:
    """When to look for the owner of a map again, and how long was waited before."""

    due: float
    wait: float


@dataclass(slots=True)
class MapOwners:
    """The owners of maps, each found once and kept for the map's life.

    A series that went with the descriptor of whoever holds the map just now would begin anew with each
    restart of its owner.
    """

    ourselves: int
    """Our process id."""
    inventory: Inventory
    _owners: dict[int, str] = field(default_factory=dict)
    _unfound: dict[int, _Unfound] = field(default_factory=dict)
    _holders: set[int] = field(default_factory=set)
    """Processes that held anything: whoever has one map is the likeliest to have the next."""

    def of(self, number: int) -> str | None:
        """Return the owner of a map; None while nobody looked for it yet."""
        return self._owners.get(number, KERNEL if number in self._unfound else None)

    def keep(self, numbers: Iterable[int]) -> None:
        """Forget all maps but these."""
        kept = frozenset(numbers)
        self._owners = {number: owner for number, owner in self._owners.items() if number in kept}
        self._unfound = {number: one for number, one in self._unfound.items() if number in kept}

    def due(self, numbers: Iterable[int], now: float) -> set[int]:
        """Return the maps whose owner is to be looked for."""
        unknown = (number for number in numbers if number not in self._owners)
        return {n for n in unknown if n not in self._unfound or self._unfound[n].due <= now}

    def search(self, wanted: set[int], now: float) -> Iterator[None]:
        """Look for the owners of some maps, in the likeliest places first; yield after each piece of work."""
        users: dict[int, str] = {}
        for places in (self._likely(), self.inventory.held(), holders.by_files()):
            for held in places:
                if held is not None:
                    self._take(held, wanted, users)
                yield
                if not wanted:
                    return
            for program in list(users):
                self._own(self.inventory.maps_of_program(program), users.pop(program), wanted)
                yield
        for number in wanted:
            before = self._unfound.get(number)
            wait = min(before.wait * 2, _AGAIN_SECONDS_AT_MOST) if before else _AGAIN_SECONDS
            self._unfound[number] = _Unfound(now + wait, wait)

    def _likely(self) -> Iterator[Held | None]:
        known, self._holders = self._holders - {self.ourselves}, set()
        for pid in (self.ourselves, *sorted(known)):
            yield from self.inventory.held(pid)

    def _take(self, held: Held, wanted: set[int], users: dict[int, str]) -> None:
        """Note whose a map is, or who has a program that may use it."""
        if isinstance(held.holder, int):
            self._holders.add(held.holder)
        if held.kind == "map" and held.number in wanted:
            self._own((held.number,), self._label(held.holder), wanted)
        elif held.kind == "prog" and held.number not in users:
            users[held.number] = self._label(held.holder)

    def _own(self, numbers: Iterable[int], owner: str, wanted: set[int]) -> None:
        found = wanted.intersection(numbers) if owner else set()
        wanted -= found
        self._owners |= dict.fromkeys(found, owner)

    def _label(self, holder: int | str) -> str:
        """Return the value of the label; empty for a process that is gone meanwhile."""
        if isinstance(holder, str):
            return f"pinned:{printable(holder.encode(errors='surrogateescape'))[:_PLACE_CHARACTERS]}"
        return c.OWNER if holder == self.ourselves else owner_of(holders.command(holder))
