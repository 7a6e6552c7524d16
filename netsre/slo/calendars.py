"""Where a period of the calendar begins, wherever that is; and how the `window` of a file names one."""

import datetime
from collections.abc import Callable
from typing import Final, cast

from netsre import clock
from netsre.clock import Timestamp
from netsre.model import literals, specs
from netsre.model.levels import Calendar, Unit
from netsre.slo import codes

Zones = Callable[[str], datetime.tzinfo | None]
"""Returns a time zone by its name; None for a name that nobody knows."""

UNITS: Final = ("day", "week", "month", "quarter")
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_WINTER_AND_SUMMER: Final = (datetime.datetime(2026, 1, 15), datetime.datetime(2026, 7, 15))  # noqa: DTZ001


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


def read(window: specs.Mapping, zones: Zones) -> Calendar | None:
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
    if any(zone.utcoffset(at).total_seconds() % 3600 for at in _WINTER_AND_SUMMER):  # type: ignore[union-attr]
        message = f"{name} is no whole hours from UTC, and old history is kept by the hour; write one that is"
        window.wrong("timezone", codes.CALENDAR_WINDOW, message)
        return None
    return Calendar(cast("Unit", unit), name, zone)


def minutes_since(begin: Timestamp, now: Timestamp) -> int:
    """Return how many minutes a period has until now, the present one included."""
    return (now - begin) // clock.MINUTE + 1
