"""How finely the past is kept: by the minute for a while, then by five minutes, then by the hour.

A window is summed over the finest tier that reaches back as far. At a time it is the slot of that time, as
far as it has come, and the whole slots before it: of a length `w` between `w` minus one slot and `w`.

A period of the calendar is summed over hours. Where it begins inside of one, the rest of that hour, and
nothing else, is kept by quarters of an hour too (`EDGES`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.clock import Timestamp


@dataclass(frozen=True, slots=True)
class Tier:
    """Slots of one length, and how far they reach back; both in milliseconds."""

    step: int
    span: int
    holds: Callable[[Timestamp], bool] = lambda _: True
    """Tells whether anything is kept of the slot of a time."""

    @property
    def slots(self) -> int:
        """How many slots there are in the whole span."""
        return self.span // self.step

    def slot(self, at: int) -> int:
        """Return the number of the slot that a time lies in."""
        return at // self.step

    def start(self, slot: int) -> Timestamp:
        """Return where a slot begins."""
        return Timestamp(slot * self.step)

    def width(self, length: int) -> int:
        """Return how many slots a window of a length has."""
        return -(-length // self.step)


MINUTES: Final = Tier(clock.MINUTE, 6 * clock.HOUR)
FIVES: Final = Tier(5 * clock.MINUTE, 3 * clock.DAY)

QUARTER: Final = 15 * clock.MINUTE

HOURS, EDGES = 2, 3
"""Places in a ladder."""

Edges = Callable[[Timestamp], bool]
"""Tells whether a time lies between the begin of a period and the next whole hour."""

Ladder = tuple[Tier, Tier, Tier, Tier]

KEPT_MINUTES: Final = 2 * MINUTES.span
"""For how long minutes stay on disk: coarser slots that a crash left unwritten are made of them again."""


def nowhere(at: Timestamp) -> bool:
    """Know no period that begins inside of an hour."""
    del at
    return False


def ladder(longest: int, edges: Edges = nowhere) -> Ladder:
    """Return the tiers that together hold windows up to a length, and periods with edges."""
    hours = Tier(clock.HOUR, max(longest + -longest % clock.HOUR, FIVES.span))
    return MINUTES, FIVES, hours, Tier(QUARTER, hours.span, edges)


def holding(tiers: Ladder, length: int) -> int:
    """Return the index of the finest tier that holds a window of a length, that of hours where none does."""
    return next((index for index, tier in enumerate(tiers) if length <= tier.span), HOURS)


def since(tiers: Ladder, begin: Timestamp, now: Timestamp) -> Iterator[tuple[int, int, int]]:
    """Yield index of the tier, first and last slot of what together is a period until now."""
    hour = Timestamp(begin + -begin % clock.HOUR)
    if begin < hour:
        edges = tiers[EDGES]
        yield EDGES, edges.slot(begin), edges.slot(hour - 1)
    yield HOURS, tiers[HOURS].slot(hour), tiers[HOURS].slot(now)


def kept(tiers: Ladder, now: Timestamp, handed_out: Sequence[int | None]) -> dict[int, Timestamp]:
    """Return from when on slots of each length are to stay on disk, where coarser ones before some are."""
    span = tiers[HOURS].span
    spans = KEPT_MINUTES, FIVES.span + clock.HOUR, span, span
    begins = {tier.step: tier.start(tier.slot(now - far)) for tier, far in zip(tiers, spans, strict=True)}
    # Of a slot that was not handed out yet there is nothing but its minutes, as long as a window reaches it.
    coarser = zip(tiers[1:], handed_out[1:], strict=True)
    owed = [tier.start(first) for tier, first in coarser if first is not None]
    return begins | {clock.MINUTE: max(begins[clock.HOUR], min([begins[clock.MINUTE], *owed]))}


def minutes_covered(tiers: Ladder, length: int, now: Timestamp) -> int:
    """Return how many minutes the window of a length has that ends at a time, the present one included."""
    tier = tiers[holding(tiers, length)]
    return (tier.width(length) - 1) * (tier.step // clock.MINUTE) + now % tier.step // clock.MINUTE + 1
