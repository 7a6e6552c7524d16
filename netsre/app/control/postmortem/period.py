"""Which slots of the past an incident is counted by."""

from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.slo.tiers import FIVES, KEPT_MINUTES

BEFORE: Final = 30 * clock.MINUTE
AFTER: Final = 10 * clock.MINUTE
"""What is shown around an incident."""
_MOST_SLOTS: Final = 600


@dataclass(frozen=True, slots=True)
class Period:
    """Slots of one length; all in milliseconds."""

    step: int
    shown_from: Timestamp
    begin: Timestamp
    """Of the first slot that counts."""
    end: Timestamp
    """Of the last slot that counts."""
    shown_to: Timestamp

    def counts(self, at: Timestamp) -> bool:
        """Tell whether the slot that begins at a time counts."""
        return self.begin <= at < self.end

    def slots(self, now: Timestamp) -> list[Timestamp]:
        """Return the begin of each slot that is shown and has begun."""
        return [Timestamp(at) for at in range(self.shown_from, min(self.shown_to, now + 1), self.step)]


def of(first: Timestamp, last: Timestamp, now: Timestamp) -> Period:
    """Return the slots that touch the time from `first` to `last`, as fine as they are kept."""
    length, age = last - first + BEFORE + AFTER, now - (first - BEFORE)
    if age < KEPT_MINUTES and length <= _MOST_SLOTS * clock.MINUTE:
        step = clock.MINUTE
    elif age < FIVES.span and length <= _MOST_SLOTS * FIVES.step:
        step = FIVES.step
    else:
        step = clock.HOUR
    return Period(
        step,
        _down(first - BEFORE, step),
        _down(first, step),
        Timestamp(_down(last, step) + step),
        Timestamp(_down(last + AFTER, step) + step),
    )


def _down(at: int, step: int) -> Timestamp:
    return Timestamp(at - at % step)
