"""Readings on the wire: Prometheus text or OpenMetrics, whichever the client asks for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from netsre.datapath.exposition import Readings
from netsre.metrics.registry import REGISTRY

_TOTAL: Final = "_total"


@dataclass(frozen=True, eq=False)  # the client library keeps collectors by identity
class _Snapshot(Collector):
    """Presents readings to the client library, one family per metric."""

    readings: Readings

    def collect(self) -> Iterator[Metric]:
        for name, samples in self.readings.numbers.items():
            metric = REGISTRY[name]
            family: CounterMetricFamily | GaugeMetricFamily
            if metric.kind == "counter":
                family = CounterMetricFamily(name.removesuffix(_TOTAL), metric.help, labels=metric.labels)
            else:
                family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family
        for name, histograms in self.readings.histograms.items():
            metric = REGISTRY[name]
            histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
            for labels, shape in histograms:
                pairs = list(zip(shape.bounds, map(float, shape.cumulative), strict=True))
                histogram.add_metric(labels, pairs, shape.sum_seconds)
            yield histogram


def render(readings: Readings, accept: str) -> tuple[bytes, str]:
    """Return (body, content type) for a client that sent this `Accept` header.

    Raises `KeyError` for a metric that is not in the registry.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(readings))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the library's, about a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
