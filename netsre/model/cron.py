"""Schedules as crontab writes them: five fields, and what each may hold."""

import datetime
import re
from typing import Final, NamedTuple

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PART: Final = re.compile(r"(?P<first>\*|[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?(?:/(?P<step>[1-9][0-9]?))?")


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()
    """Words in place of numbers, the first of them for `least`."""


_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY: Final = _Field("day", 1, 31)
_MONTH: Final = _Field("month", 1, 12, _MONTHS)
_WEEKDAY: Final = _Field("day of week", 0, 7, _DAYS)


class Times(NamedTuple):
    """When something happens: what each field lists, days of the week by name so that nobody counts them."""

    minute: str
    hour: str
    day: str
    month: str
    day_of_week: str


def parse(text: str) -> Times:
    """Read `30 2 * * mon-fri`; raises `ValueError` with what is wrong and what to write instead."""
    fields = text.lower().split()
    if len(fields) != len(Times._fields):
        raise ValueError(
            f"{text!r} has {len(fields)} fields; write five: minute hour day month day-of-week, "
            "such as 30 2 * * mon"
        )
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError(f"{text!r} names days of the month and days of the week; write * for one of the two")
    minute, hour, day, month = (
        ",".join(_checked(part, field) for part in written.split(","))
        for written, field in zip(fields, (_MINUTE, _HOUR, _DAY, _MONTH), strict=False)
    )
    return Times(minute, hour, day, month, ",".join(map(_weekdays, fields[4].split(","))))


def _checked(part: str, field: _Field) -> str:
    _bounds(part, field)
    return part


def _weekdays(part: str) -> str:
    bounds = _bounds(part, _WEEKDAY)
    if bounds is None:
        if part != "*":
            raise ValueError(f"{part!r} of day of week has a step; name the days, such as mon,wed,fri")
        return part
    # By name and one by one: whether a week begins with Sunday or with Monday is read both ways.
    return ",".join(dict.fromkeys(_DAYS[number] for number in bounds))


def _bounds(part: str, field: _Field) -> range | None:
    """Return the numbers that a part stands for, None for those of the whole field."""
    match = _PART.fullmatch(part)
    if match is None or (match["first"] == "*" and match["last"]):
        raise ValueError(f"{part!r} of {field.name} is none; write *, 5, 1-5, */15 or a list of these")
    if match["first"] == "*":
        return None
    first = _number(match["first"], field)
    last = _number(match["last"], field) if match["last"] else first
    if match["step"] and not match["last"]:
        raise ValueError(f"{part!r} of {field.name} has a step without a range; write {field.least}-{part}")
    if last < first:
        raise ValueError(f"{part!r} of {field.name} runs backwards; write two parts with a comma")
    return range(first, last + 1, int(match["step"] or 1))


def _number(text: str, field: _Field) -> int:
    if text in field.words:
        return field.words.index(text) + field.least
    if not text.isdigit() or not field.least <= int(text) <= field.most:
        raise ValueError(f"{text!r} of {field.name} is outside {field.least} to {field.most}")
    return int(text)


class Starts(NamedTuple):
    """What each field of a schedule lists, as numbers; days of the week from Sunday, 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def on(self, day: datetime.date) -> bool:
        """Tell whether anything begins on a day."""
        weekday = day.isoweekday() % 7
        return day.day in self.days and day.month in self.months and weekday in self.weekdays


def starts(times: Times) -> Starts:
    """Return what a schedule lists."""
    fields = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
    minutes, hours, days, months, weekdays = (
        frozenset(number for part in text.split(",") for number in _numbers(part, field))
        for text, field in zip(times, fields, strict=True)
    )
    return Starts(minutes, hours, days, months, frozenset(number % 7 for number in weekdays))


def _numbers(part: str, field: _Field) -> range:
    step = int(part.partition("/")[2] or 1)
    return _bounds(part, field) or range(field.least, field.most + 1, step)
