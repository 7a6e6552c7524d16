"""Where a period of the calendar begins, wherever that is; and how the `window` of a file names one."""

import datetime
import functools
from collections.abc import Callable, Iterable
from typing import Final, cast

from netsre import clock
from netsre.clock import Timestamp
from netsre.model import literals, values
from netsre.model.levels import Calendar, Unit
from netsre.slo import codes
from netsre.slo.tiers import QUARTER, Edges

Zones = Callable[[str], datetime.tzinfo | None]
"""Returns a time zone by its name; None for a name that nobody knows."""

UNITS: Final = ("day", "week", "month", "quarter")
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MONTHS: Final = tuple(
    datetime.datetime(year, month, 15, tzinfo=datetime.UTC)
    for year in range(2020, 2041)
    for month in range(1, 13)
)
_STEP: Final = datetime.timedelta(milliseconds=QUARTER)


def no_zones(name: str) -> None:
    """Know no time zone."""
    del name


def start(calendar: Calendar, now: Timestamp) -> Timestamp:
    """Return where the period begins that a time lies in."""
    day = (_EPOCH + datetime.timedelta(milliseconds=now)).astimezone(calendar.zone).date()
    match calendar.unit:
        case "day":
            first = day
        case "week":
            first = day - datetime.timedelta(days=day.weekday())
        case "month":
            first = day.replace(day=1)
        case "quarter":
            first = day.replace(month=day.month - (day.month - 1) % 3, day=1)
    # Where a clock is set at midnight: the first of two midnights, and the end of one that is left out.
    midnight = datetime.datetime.combine(first, datetime.time(), calendar.zone)
    return Timestamp((midnight - _EPOCH) // datetime.timedelta(milliseconds=1))


def edges(calendars: Iterable[Calendar]) -> Edges:
    """Return what knows the edges of some calendars."""
    known = tuple(calendars)

    # Asked for every minute that anything happened in: of an hour the answer is worked out once.
    @functools.lru_cache(maxsize=1 << 10)
    def begin(hour: int) -> int:
        """Return where a period begins inside of an hour, the end of the hour where none does."""
        first, end = hour * clock.HOUR, (hour + 1) * clock.HOUR
        begins = (start(calendar, Timestamp(end - 1)) for calendar in known)
        return min((begin for begin in begins if begin > first), default=end)

    return lambda at: begin(at // clock.HOUR) <= at


def read(window: values.Mapping, zones: Zones) -> Calendar | None:
    """Read `{calendar: month, timezone: Europe/Berlin}`; None when anything in it is wrong."""
    unit, name = window.choice("calendar", *UNITS), window.text("timezone")
    window.end()
    if unit is None or name is None:
        return None
    zone = zones(name)
    if zone is None:
        message = f"{literals.shown(name)} is no time zone; write one such as UTC or Europe/Berlin"
        window.wrong("timezone", codes.CALENDAR_WINDOW, message)
        return None
    if any(at.astimezone(zone).utcoffset() % _STEP for at in _MONTHS):  # type: ignore[operator]
        message = f"{name} is no whole quarters of an hour from UTC, and history is kept by these; write UTC"
        window.wrong("timezone", codes.CALENDAR_WINDOW, message)
        return None
    return Calendar(cast("Unit", unit), name, zone)


def minutes_since(begin: Timestamp, now: Timestamp) -> int:
    """Return how many minutes a period has until now, the present one included."""
    return (now - begin) // clock.MINUTE + 1
