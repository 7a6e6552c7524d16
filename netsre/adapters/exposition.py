"""Readings on the wire: Prometheus text or OpenMetrics, whichever the client asks for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from netsre.metrics.readings import Readings
from netsre.metrics.registry import REGISTRY

_TOTAL: Final = "_total"


@dataclass(frozen=True, eq=False)  # the client library keeps collectors by identity
class _Snapshot(Collector):
    """Presents readings to the client library, one family per metric."""

    readings: Readings

    def collect(self) -> Iterator[Metric]:
        for name, samples in self.readings.numbers.items():
            family = _family(name)
            for labels, value in samples:
                family.add_sample(name, dict(labels), value)
            yield family
        for name, histograms in self.readings.histograms.items():
            family = _family(name)
            for labels, shape in histograms:
                for bound, count in zip(shape.bounds, shape.cumulative, strict=True):
                    family.add_sample(f"{name}_bucket", {**labels, "le": bound}, float(count))
                family.add_sample(f"{name}_count", dict(labels), float(shape.cumulative[-1]))
                family.add_sample(f"{name}_sum", dict(labels), shape.sum_seconds)
            yield family


def _family(name: str) -> Metric:
    about = REGISTRY[name]
    # The library adds the ending of a counter itself.
    return Metric(name.removesuffix(_TOTAL) if about.kind == "counter" else name, about.help, about.kind)


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
