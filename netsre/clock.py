"""Time as a value: whole milliseconds since the Unix epoch, so that sums and comparisons are exact.

Decisions take `now` as an argument. Only the composition root makes a `SystemClock`.
"""

import datetime
import re
import time
from typing import Final, NewType, Protocol

Timestamp = NewType("Timestamp", int)
"""Milliseconds since the Unix epoch, UTC."""

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

END: Final = 253_402_300_800 * SECOND
"""The year 10000: from here on nothing is a time that could be written."""

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,100})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> Timestamp:
        """Return the present time."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> Timestamp:
        """Return the present time."""
        return Timestamp(time.time_ns() // 1_000_000)


def monotonic_epoch_ns() -> int:
    """Return the Unix time, in nanoseconds, at which CLOCK_MONOTONIC was 0, by the wall clock of now."""
    return time.time_ns() - time.monotonic_ns()


def boottime() -> int:
    """Return how long this boot lasts, in nanoseconds, sleep included (CLOCK_BOOTTIME).

    By this clock temporary things end: nobody sets it, it goes on in sleep, and the kernel has it too.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def rfc3339(at: Timestamp) -> str:
    """Write a time as people and other programs read it: `2026-01-02T03:04:05.678Z`."""
    whole = datetime.datetime.fromtimestamp(at // SECOND, tz=datetime.UTC)
    return f"{whole.replace(tzinfo=None).isoformat()}.{at % SECOND:03d}Z"


def unix_seconds(at: Timestamp) -> str:
    """Write a time as Prometheus does, in seconds since 1970: `1767225600.000`."""
    return f"{at // SECOND}.{at % SECOND:03d}"


def parse_rfc3339(text: str) -> Timestamp:
    """Read an RFC 3339 time of the years 1 to 9999 in UTC; raises `ValueError` for anything else."""
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError("it has another form")  # noqa: TRY301
        # In UTC, as it will be written again: an offset can lead beyond the last year.
        parsed = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError) as error:
        message = f"{text[:60]!r} is no time ({error}); write it as 2026-01-02T03:04:05Z"
        raise ValueError(message) from error
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return Timestamp((parsed - epoch) // datetime.timedelta(milliseconds=1))


def duration_text(milliseconds: int) -> str:
    """Write a length of time in its largest whole units: `5m`, `1h30m`, `30d`, `250ms`."""
    parts = []
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
