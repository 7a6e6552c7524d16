"""What a Prometheus answered becomes series with samples, exactly, or a `ValueError` with what it is not."""

import functools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import RecordedSeries, Series, labels

_NAME: Final = "__name__"
_VALUE: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|Inf|NaN)", re.ASCII)
_LATEST: Final = clock.END // clock.SECOND

PARTIAL: Final = "partial_answer"
NATIVE_HISTOGRAM: Final = "native_histogram"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why an answer is not all there is: a word, and what the server said of it."""

    reason: str
    about: str


Native = Callable[[Series, list[tuple[Timestamp, object]]], tuple[RecordedSeries, ...]]
"""Makes counters of the samples of a native histogram; raises `ValueError` for what are none."""


def shortfalls(document: dict[str, Any]) -> tuple[Shortfall, ...]:
    """Return everything that says an answer is not whole; nothing that we ask deserves a warning."""
    said: list[str] = []
    for key in ("warnings", "infos"):
        value = document.get(key)
        said += [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []
    if document.get("isPartial"):
        said.append("isPartial")
    return tuple(Shortfall(PARTIAL, one) for one in dict.fromkeys(said))


def recorded(
    document: dict[str, Any], since: Timestamp, until: Timestamp, native: Native | None = None
) -> tuple[tuple[RecordedSeries, ...], tuple[Shortfall, ...]]:
    """Return every series of an answer to a range selector with its samples in `(since, until]`.

    Prometheus before 3 includes the beginning of a range, later ones do not; here it never is. Native
    histograms become what `native` makes of them; without it nobody asked for any. Raises `ValueError` for
    another shape, and for samples of a time that was not asked for.
    """
    data = document.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix":
        raise ValueError("has no matrix")
    result = data.get("result")
    if not isinstance(result, list):
        raise ValueError("has no result")
    found: list[RecordedSeries] = []
    missing: list[Shortfall] = []
    for entry in result:
        if not isinstance(entry, dict):
            raise ValueError("has an entry that is no object")
        series = series_of(entry.get("metric"))
        histograms = entry.get("histograms")
        if histograms and native is None:
            missing.append(Shortfall(NATIVE_HISTOGRAM, f"{series.name} is a native histogram"))
            continue
        if histograms and native is not None:
            found += native(series, list(_timed(histograms, since, until)))
        # A series that is a number at one time and a histogram at another has both.
        if not histograms or "values" in entry:
            samples = tuple((at, _text(value)) for at, value in _timed(entry.get("values"), since, until))
            found += [RecordedSeries(series, samples)] if samples else []
    if len({one.series for one in found}) < len(found):
        raise ValueError("has one series twice")
    return tuple(found), tuple(dict.fromkeys(missing))


def series_of(pairs: object) -> Series:
    """Return a series from its labels and name; raises `ValueError` where they are not texts."""
    if not isinstance(pairs, dict) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in pairs.items()
    ):
        raise ValueError("has a series whose labels are no texts")
    if _NAME not in pairs:
        raise ValueError("has a series without a name")
    return Series(pairs[_NAME], labels({name: value for name, value in pairs.items() if name != _NAME}))


def _timed(values: object, since: Timestamp, until: Timestamp) -> Iterator[tuple[Timestamp, object]]:
    if not isinstance(values, list):
        raise ValueError("has a series without values")
    for pair in values:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("has a sample that is no pair")
        seconds, value = pair
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _LATEST:
            raise ValueError("has a sample without a time")
        at = Timestamp(round(seconds * clock.SECOND))
        if not since <= at <= until:
            raise ValueError(f"has a sample not asked for, of {clock.rfc3339(at)}")
        if at > since:
            yield at, value


def _text(value: object) -> Decimal:
    if not isinstance(value, str):
        raise ValueError("has a sample without a value")
    return number(value)


@functools.lru_cache(maxsize=65_536)
def number(text: str) -> Decimal:
    """Return the number that a text says, NaN where it is not finite; raises `ValueError` for no number."""
    if not _VALUE.fullmatch(text):
        raise ValueError("has a sample whose value is no number")
    value = float(text)
    # The shortest text that reads back as the same float is what was scraped.
    return Decimal(repr(value)) if math.isfinite(value) else Decimal("NaN")
