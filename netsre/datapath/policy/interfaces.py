"""Which interface of a revision the kernel means by its number, as the programs look it up.

The layout repeats `bpf/include/policy.h`; a test compiles that file and compares.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from netsre.errors import EnvironmentUnfit

PLACES: Final = 2048
AT_ONE: Final = 4
"""Interfaces that there can be at one place."""
PLACE: Final = struct.Struct(f"<{2 * AT_ONE}I")
_NONE: Final = (0, 0)


class Crowded(EnvironmentUnfit):
    """More interfaces than there is room for have numbers of the kernel that end alike."""


def fitting(numbers: Mapping[int, int]) -> dict[int, int]:
    """Return those that have room, the smallest numbers of the kernel first."""
    room: Counter[int] = Counter()
    found = {}
    for ifindex in sorted(numbers):
        room[ifindex % PLACES] += 1
        if room[ifindex % PLACES] <= AT_ONE:
            found[ifindex] = numbers[ifindex]
    return found


def places(before: Sequence[bytes], numbers: Mapping[int, int]) -> dict[int, bytes]:
    """Return the places that must be written for these interfaces to be known, and no others.

    What stays is not moved: a packet may ask in any moment. Numbers are those of revisions by the kernel's,
    and all must have room.
    """
    wanted: dict[int, dict[int, int]] = {}
    for ifindex, number in numbers.items():
        wanted.setdefault(ifindex % PLACES, {})[ifindex] = number
    found = {at: _place(place, wanted.get(at, {})) for at, place in enumerate(before)}
    return {at: place for at, place in found.items() if place != before[at]}


def known(places: Iterable[bytes]) -> dict[int, int]:
    """Return the numbers of revisions by the kernel's."""
    pairs = chain.from_iterable(map(_pairs, places))
    return {ifindex: number for ifindex, number in pairs if ifindex}


def _pairs(place: bytes) -> list[tuple[int, int]]:
    words = PLACE.unpack(place)
    return [*zip(words[::2], words[1::2], strict=True)]


def _place(before: bytes, wanted: Mapping[int, int]) -> bytes:
    if not wanted and not any(before):
        return before
    there = [(ifindex, wanted[ifindex]) if ifindex in wanted else _NONE for ifindex, _ in _pairs(before)]
    for new in sorted(wanted.items()):
        if new not in there:
            there[there.index(_NONE)] = new
    return PLACE.pack(*chain.from_iterable(there))
