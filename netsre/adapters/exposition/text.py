"""Readings as text, as Prometheus and OpenMetrics have it, to the byte what the client library writes.

The library works every label of every sample out anew, five times as long as it takes here: a node with
thousands of series is scraped every few seconds.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client.utils import floatToGoString

from netsre.metrics.readings import Histogram, Labels, Readings
from netsre.metrics.registry import REGISTRY, Metric

_TOTAL: Final = "_total"
_BOUND: Final = "le"


def _number(value: float) -> str:
    written: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library's
    return written


class _Pairs(dict[tuple[str, str], str]):
    """Labels as they are written; a value stands in many series, and is escaped once."""

    def __missing__(self, pair: tuple[str, str]) -> str:
        name, value = pair
        escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        self[pair] = written = f'{name}="{escaped}"'
        return written


def text(readings: Readings, *, openmetrics: bool) -> bytes:
    """Return the whole answer; raises `KeyError` for a metric that is not in the registry."""
    pairs = _Pairs()
    lines: list[str] = []
    for name, samples in readings.numbers.items():
        lines += _about(REGISTRY[name], openmetrics=openmetrics)
        lines += [f"{name}{_braced(labels, pairs)} {_number(value)}" for labels, value in samples]
    for name, histograms in readings.histograms.items():
        lines += _about(REGISTRY[name], openmetrics=openmetrics)
        for labels, shape in histograms:
            lines += _buckets(name, labels, shape, pairs)
    if openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines).encode()


def _about(metric: Metric, *, openmetrics: bool) -> tuple[str, str]:
    name, explained = metric.name, metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        # There, a family of counters is called without the ending of its samples.
        name = name.removesuffix(_TOTAL) if metric.kind == "counter" else name
        explained = explained.replace('"', r"\"")
    return f"# HELP {name} {explained}", f"# TYPE {name} {metric.kind}"


def _braced(labels: Labels, pairs: _Pairs) -> str:
    return f"{{{','.join([pairs[pair] for pair in sorted(labels.items())])}}}" if labels else ""


def _buckets(name: str, labels: Labels, shape: Histogram, pairs: _Pairs) -> Iterator[str]:
    ordered = sorted(labels.items())
    before = "".join([f"{pairs[pair]}," for pair in ordered if pair[0] < _BOUND])
    after = "".join([f",{pairs[pair]}" for pair in ordered if pair[0] > _BOUND])
    for bound, count in zip(shape.bounds, shape.cumulative, strict=True):
        yield f'{name}_bucket{{{before}{_BOUND}="{bound}"{after}}} {_number(count)}'
    whole = _braced(labels, pairs)
    yield f"{name}_count{whole} {_number(shape.cumulative[-1])}"
    yield f"{name}_sum{whole} {_number(shape.sum_seconds)}"
