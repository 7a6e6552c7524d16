"""How finely the past is kept: by the minute for a while, then by five minutes, then by the hour.

A window is summed over the finest tier that reaches back as far. At a time it is the slot of that time, as
far as it has come, and the whole slots before it: of a length `w` between `w` minus one slot and `w`.
"""

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


def minutes_covered(tier: Tier, length: int, now: Timestamp) -> int:
    """Return how many minutes a window has at a time, the present one included."""
    return (tier.width(length) - 1) * (tier.step // clock.MINUTE) + now % tier.step // clock.MINUTE + 1
