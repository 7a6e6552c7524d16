"""Readings in the protobuf of Prometheus (`io.prometheus.client`): no text format has native histograms.

Written by hand: a handful of small messages is less than a library and its descriptors of them would be. The
numbers of fields are those of `metrics.proto`.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final

from netsre.datapath.buckets import Native
from netsre.metrics.readings import Histogram, Labels, Readings
from netsre.metrics.registry import REGISTRY, Kind

CONTENT_TYPE: Final = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

_KINDS: Final[Mapping[Kind, tuple[int, int]]] = {"counter": (0, 3), "gauge": (1, 2), "histogram": (4, 7)}
"""The number of a kind, and of the field that has the value of a metric of that kind."""


def render(readings: Readings) -> bytes:
    """Return all readings, one message after the other, each behind its length.

    Raises `KeyError` for a metric that is not in the registry.
    """
    families = [
        *(_registered(name, [(one, number(value)) for one, value in found])
          for name, found in readings.numbers.items()),
        *(_registered(name, [(one, histogram(shape)) for one, shape in found])
          for name, found in readings.histograms.items()),
    ]  # fmt: skip
    return b"".join(families)


def _registered(name: str, values: Iterable[tuple[Labels, bytes]]) -> bytes:
    return family(name, REGISTRY[name].kind, values, REGISTRY[name].help)


def family(name: str, kind: Kind, values: Iterable[tuple[Labels, bytes]], about: str = "") -> bytes:
    """Return all metrics of one name, by their labels."""
    number_of_kind, place = _KINDS[kind]
    body = [_field(1, name.encode()), _field(2, about.encode()), _field(3, number_of_kind)]
    for labels, value in values:
        pairs = [
            _field(1, _field(1, key.encode()) + _field(2, text.encode())) for key, text in labels.items()
        ]
        body.append(_field(4, b"".join(pairs) + _field(place, value)))
    return _with_length(b"".join(body))


def number(value: float) -> bytes:
    """Return the value of a counter or a gauge."""
    return _field(1, float(value))


def histogram(shape: Histogram) -> bytes:
    """Return a histogram, with its buckets as a native one if it has any."""
    parts = [_field(1, shape.cumulative[-1]), _field(2, shape.sum_seconds)]
    for bound, count in zip(shape.bounds, shape.cumulative, strict=True):
        parts.append(_field(3, _field(1, count) + _field(2, float(bound))))
    if shape.native is not None:
        parts.extend(_native(shape.native))
    return b"".join(parts)


def _native(native: Native) -> Iterator[bytes]:
    """Yield the fields of a native one: buckets side by side are a span, each is told by its difference."""
    yield _field(5, _signed(native.schema))
    yield _field(6, native.zero_threshold)
    yield _field(7, native.zero)
    spans: list[list[int]] = []
    end = 0
    for bucket in native.buckets:
        if spans and bucket == end:
            spans[-1][1] += 1
        else:
            spans.append([bucket - end, 1])
        end = bucket + 1
    # Without any it would look like a classic one: then there is one of no length.
    for offset, length in spans or [[0, 0]]:
        yield _field(12, _field(1, _signed(offset)) + _field(2, length))
    for before, count in pairwise((0, *native.buckets.values())):
        yield _field(13, _signed(count - before))


def _field(place: int, value: float | bytes) -> bytes:
    """Return a field of a message: a whole number, a float or something with a length."""
    match value:
        case int():
            return _varint(place << 3) + _varint(value)
        case float():
            return _varint(place << 3 | 1) + struct.pack("<d", value)
        case _:
            return _varint(place << 3 | 2) + _with_length(value)


def _with_length(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Return a whole number that is not negative, seven bits to a byte."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _signed(value: int) -> int:
    """Return a whole number as `sint` has it: small ones of both signs stay small."""
    return value << 1 if value >= 0 else (-value << 1) - 1
