"""Metrics of tests in the protobuf of Prometheus; what was observed is put into buckets here."""

import math
from collections.abc import Iterable, Mapping

from netsre.adapters.exposition import protobuf
from netsre.datapath.buckets import Native
from netsre.metrics.readings import Histogram

Observed = Mapping[float, int]
"""How often each value was observed."""


def gauge(name: str, labels: Mapping[str, str], value: float) -> bytes:
    """Return one gauge."""
    return protobuf.family(name, "gauge", [(labels, protobuf.number(value))])


def counters(name: str, values: Iterable[tuple[Mapping[str, str], int]]) -> bytes:
    """Return counters of one name."""
    return protobuf.family(name, "counter", [(labels, protobuf.number(value)) for labels, value in values])


def classic(name: str, labels: Mapping[str, str], observed: Observed, bounds: Iterable[float]) -> bytes:
    """Return a classic histogram."""
    ends = [*bounds, math.inf]
    quick = [sum(count for value, count in observed.items() if value <= end) for end in ends]
    shape = Histogram(tuple(map(str, ends)), tuple(quick), 0.0)
    return protobuf.family(name, "histogram", [(labels, protobuf.histogram(shape))])


def native(
    name: str, labels: Mapping[str, str], observed: Observed, schema: int, zero: float = 0.001
) -> bytes:
    """Return a native histogram of values that are not negative; `zero` is the end of its zero bucket."""
    counts: dict[int, int] = {}
    for value, count in observed.items():
        if value > zero:
            bucket = math.ceil(math.log2(value) * 2.0**schema)
            counts[bucket] = counts.get(bucket, 0) + count
    quick = sum(count for value, count in observed.items() if value <= zero)
    buckets = Native(quick, dict(sorted(counts.items())), schema, zero)
    shape = Histogram(("+Inf",), (sum(observed.values()),), 0.0, buckets)
    return protobuf.family(name, "histogram", [(labels, protobuf.histogram(shape))])
