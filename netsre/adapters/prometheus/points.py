"""What an expression came to, point by point, out of an answer; or a `ValueError` with what that is not."""

from typing import Any, Final

from netsre.adapters.prometheus import answers
from netsre.adapters.prometheus.answers import Shortfall
from netsre.clock import Timestamp
from netsre.model.samples import Points

_REMARK: Final = "PromQL info:"
"""How a server begins what it remarks on an expression, such as a counter whose name is no counter's."""


def read(
    document: dict[str, Any], first: Timestamp, last: Timestamp, step: int
) -> tuple[tuple[Points, ...], tuple[Shortfall, ...]]:
    """Return every series of an answer with its points, and why these may not be all.

    Points are `step` milliseconds apart, from the first to the last. Raises `ValueError` for another shape,
    and for points of other times.
    """
    plain, missing = _without_histograms(document)
    recorded, more = answers.recorded(plain, Timestamp(first - 1), last)
    found = tuple(Points(one.series.labels, one.samples) for one in recorded)
    if any((at - first) % step for one in found for at, _ in one.values):
        raise ValueError("has a sample between two steps")
    said = (one for one in answers.shortfalls(document) if not one.about.startswith(_REMARK))
    return found, tuple(dict.fromkeys((*said, *missing, *more)))


def _without_histograms(document: dict[str, Any]) -> tuple[dict[str, Any], tuple[Shortfall, ...]]:
    """Return an answer as one about series, without those whose points are no numbers, and a word for these.

    What an expression came to has no name where it is the sum of anything; series have one.
    """
    data = document.get("data")
    entries = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(entries, list):
        return document, ()
    numbers = [_named(entry) for entry in entries if not _is_histogram(entry)]
    missing: tuple[Shortfall, ...] = ()
    if len(numbers) < len(entries):
        about = "the expression comes to native histograms; write histogram_count(…) or histogram_fraction(…)"
        missing = (Shortfall(answers.NATIVE_HISTOGRAM, about),)
    return {**document, "data": {**data, "result": numbers}}, missing


def _is_histogram(entry: object) -> bool:
    return isinstance(entry, dict) and bool(entry.get("histograms"))


def _named(entry: object) -> object:
    if not isinstance(entry, dict) or not isinstance(entry.get("metric"), dict):
        return entry
    return {**entry, "metric": {"__name__": "", **entry["metric"]}}
