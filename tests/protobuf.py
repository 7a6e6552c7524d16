"""Metrics in the protobuf of `io.prometheus.client`, written by hand, for what text cannot say.

Only the fields that tests need; the numbers are those of `metrics.proto`.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

CONTENT_TYPE: Final = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

_COUNTER, _GAUGE, _HISTOGRAM = 0, 1, 4
_VALUES: Final = {_COUNTER: 3, _GAUGE: 2, _HISTOGRAM: 7}

Observed = Mapping[float, int]
"""How often each value was observed."""


def varint(number: int) -> bytes:
    """Return a whole number, seven bits to a byte."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def _field(number: int, value: float | bytes) -> bytes:
    match value:
        case int():
            return varint(number << 3) + varint(value)
        case float():
            return varint(number << 3 | 1) + struct.pack("<d", value)
        case _:
            return varint(number << 3 | 2) + varint(len(value)) + value


def _signed(number: int) -> int:
    """Return a whole number as `sint` has it: small ones of both signs stay small."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def _family(name: str, kind: int, metrics: Iterable[tuple[Mapping[str, str], bytes]]) -> bytes:
    body = _field(1, name.encode()) + _field(3, kind)
    for pairs, value in metrics:
        labels = [
            _field(1, _field(1, key.encode()) + _field(2, text.encode())) for key, text in pairs.items()
        ]
        body += _field(4, b"".join(labels) + _field(_VALUES[kind], value))
    return varint(len(body)) + body


def gauge(name: str, labels: Mapping[str, str], value: float) -> bytes:
    """Return one gauge."""
    return _family(name, _GAUGE, [(labels, _field(1, float(value)))])


def counters(name: str, values: Iterable[tuple[Mapping[str, str], int]]) -> bytes:
    """Return counters of one name."""
    return _family(name, _COUNTER, [(labels, _field(1, float(value))) for labels, value in values])


def classic(name: str, labels: Mapping[str, str], observed: Observed, bounds: Iterable[float]) -> bytes:
    """Return a classic histogram."""
    body = _field(1, sum(observed.values())) + _field(2, 0.0)
    for bound in bounds:
        quick = sum(count for value, count in observed.items() if value <= bound)
        body += _field(3, _field(1, quick) + _field(2, float(bound)))
    return _family(name, _HISTOGRAM, [(labels, body)])


def native(
    name: str, labels: Mapping[str, str], observed: Observed, schema: int, zero: float = 0.001
) -> bytes:
    """Return a native histogram of values that are not negative; `zero` is the end of its zero bucket."""
    counts: dict[int, int] = {}
    for value, count in observed.items():
        if value > zero:
            index = math.ceil(math.log2(value) * 2.0**schema)
            counts[index] = counts.get(index, 0) + count
    body = _field(1, sum(observed.values())) + _field(2, 0.0) + _field(5, _signed(schema)) + _field(6, zero)
    body += _field(7, sum(count for value, count in observed.items() if value <= zero))
    # A span for each bucket; its offset is the number of those left out since the one before.
    indexes = sorted(counts)
    gaps = [indexes[0], *(later - earlier - 1 for earlier, later in pairwise(indexes))] if indexes else [0]
    for gap in gaps:
        body += _field(12, _field(1, _signed(gap)) + _field(2, 1 if indexes else 0))
    for earlier, later in pairwise([0, *(counts[index] for index in indexes)]):
        body += _field(13, _signed(later - earlier))
    return _family(name, _HISTOGRAM, [(labels, body)])
