"""Maintenance calendars: when people work on things, so that automation stays away."""

import datetime
import fnmatch
from dataclasses import dataclass
from typing import Final

from netsre.clock import Timestamp
from netsre.model.cron import Starts
from netsre.model.levels import Origin

KIND: Final = "Maintenance"
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND: Final = datetime.timedelta(milliseconds=1)
_DAY: Final = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A window that is once."""

    begin: Timestamp
    end: Timestamp

    def until(self, now: Timestamp) -> Timestamp | None:
        """Return when it ends, None while it is not open."""
        return self.end if self.begin <= now < self.end else None


@dataclass(frozen=True, slots=True)
class Recurring:
    """A window that comes again and again, by the clock of a place.

    A beginning that the clock shows twice is the first of the two; one that a change of the clock leaves out
    is as long after the change.
    """

    starts: Starts
    duration: int
    """Milliseconds."""
    zone: datetime.tzinfo

    def until(self, now: Timestamp) -> Timestamp | None:
        """Return when it ends, None while it is not open."""
        begin = self._latest(now)
        return None if begin is None else Timestamp(begin + self.duration)

    def _latest(self, now: Timestamp) -> Timestamp | None:
        """Return the latest beginning that is not longer ago than the window is open."""
        there = (_EPOCH + now * _MILLISECOND).astimezone(self.zone)
        # A day more on either side: what is of another day there may be of the same here.
        first = (there - self.duration * _MILLISECOND - _DAY).date()
        day = there.date()
        while day >= first:
            for begin in self._of(day) if self.starts.on(day) else ():
                if begin <= now:
                    return begin if now < begin + self.duration else None
            day -= _DAY
        return None

    def _of(self, day: datetime.date) -> list[Timestamp]:
        """Return what begins on a day, the last first."""
        times = (datetime.time(hour, minute) for hour in self.starts.hours for minute in self.starts.minutes)
        return sorted(
            (moment(datetime.datetime.combine(day, time), self.zone) for time in times), reverse=True
        )


Window = Span | Recurring


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One calendar, as read from its file."""

    name: str
    reason: str
    windows: tuple[Window, ...]
    runbooks: frozenset[str]
    """Empty for all."""
    targets: tuple[str, ...]
    """Patterns as a shell has them; none for all."""
    origin: Origin

    def until(self, now: Timestamp) -> Timestamp | None:
        """Return until when a window is open, None while none is."""
        return max((end for window in self.windows if (end := window.until(now)) is not None), default=None)

    def covers(self, runbook: str, target: str) -> bool:
        """Tell whether it is for a runbook on a target."""
        named = not self.runbooks or runbook in self.runbooks
        return named and (not self.targets or any(fnmatch.fnmatchcase(target, one) for one in self.targets))


def moment(local: datetime.datetime, zone: datetime.tzinfo) -> Timestamp:
    """Return when a clock in a zone shows a time, the first time that it does."""
    return Timestamp((local.replace(tzinfo=zone) - _EPOCH) // _MILLISECOND)
