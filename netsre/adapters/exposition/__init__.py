"""Readings on the wire: Prometheus text, OpenMetrics or protobuf, whichever the client asks for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from netsre.adapters.exposition import protobuf
from netsre.metrics.readings import Readings
from netsre.metrics.registry import REGISTRY

_TOTAL: Final = "_total"
_PROTOBUF, *_WORDS = protobuf.CONTENT_TYPE.split("; ")
_DELIMITED: Final = dict(word.split("=") for word in _WORDS)
_TEXTS: Final = ("text/plain", "application/openmetrics-text")


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


def render(readings: Readings, accept: str, *, may_be_protobuf: bool = False) -> tuple[bytes, str]:
    """Return (body, content type) for a client that sent this `Accept` header.

    Protobuf is for native histograms, and is there where they are. Raises `KeyError` for a metric that is not
    in the registry.
    """
    if may_be_protobuf and _prefers_protobuf(accept):
        return protobuf.render(readings), protobuf.CONTENT_TYPE
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(readings))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the library's, about a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


def _prefers_protobuf(accept: str) -> bool:
    """Tell whether no text is asked for more urgently; what is not understood is not asked for."""
    asked = {"protobuf": 0.0, "text": 0.0}
    for part in accept.split(","):
        media, *rest = (word.strip() for word in part.split(";"))
        options = {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in rest)}
        try:
            quality = float(options.pop("q", "1"))
        except ValueError:
            continue
        if media == _PROTOBUF and options == _DELIMITED:
            asked["protobuf"] = max(asked["protobuf"], quality)
        elif media in _TEXTS:
            asked["text"] = max(asked["text"], quality)
    return asked["protobuf"] > 0 and asked["protobuf"] >= asked["text"]
