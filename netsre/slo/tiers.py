"""How finely the past is kept: by the minute for a while, then by five minutes, then by the hour.

A window is summed over the finest tier that reaches back as far. At a time it is the slot of that time, as
far as it has come, and the whole slots before it: of a length `w` between `w` minus one slot and `w`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.clock import Timestamp


@dataclass(frozen=True, slots=True)
class Tier:
    """Slots of one length, and how far they reach back; both in milliseconds."""

    step: int
    span: int

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

KEPT_MINUTES: Final = 2 * MINUTES.span
"""For how long minutes stay on disk: coarser slots that a crash left unwritten are made of them again."""


def ladder(longest: int) -> tuple[Tier, Tier, Tier]:
    """Return the tiers, finest first, that together hold windows up to a length."""
    hours = Tier(clock.HOUR, clock.HOUR)
    return MINUTES, FIVES, Tier(clock.HOUR, clock.HOUR * max(hours.width(longest), FIVES.span // clock.HOUR))


def holding(tiers: tuple[Tier, ...], length: int) -> int:
    """Return the index of the finest tier that holds a window of a length, the coarsest where none does."""
    return next((index for index, tier in enumerate(tiers) if length <= tier.span), len(tiers) - 1)


def kept(tiers: tuple[Tier, ...], now: Timestamp, handed_out: Sequence[int | None]) -> dict[int, Timestamp]:
    """Return from when on slots of each length are to stay on disk, where coarser ones before some are."""
    spans = KEPT_MINUTES, FIVES.span + clock.HOUR, tiers[-1].span
    begins = {tier.step: tier.start(tier.slot(now - far)) for tier, far in zip(tiers, spans, strict=True)}
    # Of a slot that was not handed out yet there is nothing but its minutes, as long as a window reaches it.
    coarser = zip(tiers[1:], handed_out[1:], strict=True)
    owed = [tier.start(first) for tier, first in coarser if first is not None]
    return begins | {clock.MINUTE: max(begins[clock.HOUR], min([begins[clock.MINUTE], *owed]))}


def minutes_covered(tier: Tier, length: int, now: Timestamp) -> int:
    """Return how many minutes a window has at a time, the present one included."""
    return (tier.width(length) - 1) * (tier.step // clock.MINUTE) + now % tier.step // clock.MINUTE + 1
