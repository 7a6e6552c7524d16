"""Measurements as they arrive from a source."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from netsre.clock import Timestamp

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name: hashable, comparable, printable in one order only."""


def labels(pairs: Mapping[str, str]) -> Labels:
    """Return the pairs of a mapping as `Labels`."""
    return tuple(sorted(pairs.items()))


class Series(NamedTuple):
    """One time series: a sample name and its labels (a histogram bucket is a series with `le`).

    A tuple, because every value of every reading is found by one: its hash takes no Python.
    """

    name: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class Scrape:
    """One complete reading of one source.

    A series absent from a scrape did not exist at `at`: sources expose everything they have each time.
    """

    at: Timestamp
    node: str
    started_at: Timestamp
    """When the source's counters were born; a later value than before means that all were reset."""
    values: Mapping[Series, Decimal]


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """One series with the samples that a store of measurements kept of it; nothing is judged yet.

    A sample that is not a number is NaN; times should rise, and what reads them checks that they do.
    """

    series: Series
    samples: tuple[tuple[Timestamp, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One sample of a series, as somebody kept it."""

    series: Series
    at: Timestamp
    value: Decimal
    place: str
    """Where it stands: `file:line`."""


@dataclass(frozen=True, slots=True)
class Points:
    """One series of what an expression came to: labels, and values by time, oldest first."""

    labels: Labels
    values: tuple[tuple[Timestamp, Decimal], ...]
    """`NaN` where it came to no finite number."""
