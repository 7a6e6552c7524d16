"""What readings say: levels of the newest one, and what was counted since an earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from netsre import clock
from netsre.model.documents import Json
from netsre.model.samples import Scrape

LOOKBACK: Final = 5 * clock.MINUTE
LARGEST: Final = 20
"""Rows kept of a list; a journal is read by people, and `omitted` says how many more there were."""
_NONE: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Span:
    """Two readings: what happened between them is the evidence of counters."""

    first: Scrape | None
    """None when there was one reading, or the counters began anew: then all of `last` is the increase."""
    last: Scrape

    @classmethod
    def of(cls, scrapes: Sequence[Scrape]) -> "Span":
        """Return the span up to the newest of some readings, oldest first; there is at least one.

        It begins with the oldest of the same process that is at most `LOOKBACK` older.
        """
        last = scrapes[-1]
        usable = (s for s in scrapes[:-1] if s.started_at == last.started_at and last.at - s.at <= LOOKBACK)
        return cls(next(usable, None), last)

    def measures(self, metric: str) -> bool:
        """Tell whether the newest reading has any series of a metric: without one, nobody looked."""
        return any(series.name == metric for series in self.last.values)

    def levels(self, metric: str) -> list[tuple[Mapping[str, str], Decimal]]:
        """Return what every series of a metric is now, in the order of their labels."""
        return levels(self.last, metric)

    def increases(self, metric: str) -> list[tuple[Mapping[str, str], Decimal]]:
        """Return the increase of every counter series that moved, largest first."""
        before = self.first.values if self.first else {}
        moved = [
            (dict(series.labels), value - before.get(series, _NONE))
            for series, value in self.last.values.items()
            if series.name == metric
        ]
        return sorted((row for row in moved if row[1] > 0), key=lambda row: (-row[1], sorted(row[0].items())))

    def since(self) -> Json:
        """Return when the counting began."""
        return clock.rfc3339(self.first.at if self.first else self.last.started_at)


def levels(scrape: Scrape, metric: str) -> list[tuple[Mapping[str, str], Decimal]]:
    """Return what every series of a metric was in a reading, in the order of their labels."""
    found = [(series.labels, value) for series, value in scrape.values.items() if series.name == metric]
    return [(dict(pairs), value) for pairs, value in sorted(found)]


def cut(key: str, rows: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return the first rows of a list, and how many there were beside them."""
    return {key: tuple(rows[:LARGEST]), f"{key}_omitted": max(0, len(rows) - LARGEST)}


def whole(value: Decimal) -> Json:
    """Return a whole number as a number, and any other exactly, as its digits."""
    return int(value) if value == value.to_integral_value() else f"{value:f}"
