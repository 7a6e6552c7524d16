"""What a process knows at one moment, as readings of registered metrics, before anybody writes it down."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from netsre.datapath.buckets import Native
from netsre.metrics.registry import REGISTRY

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative bucket counts in the order of the bounds, +Inf last, and the sum in seconds."""

    bounds: tuple[str, ...]
    cumulative: tuple[int, ...]
    sum_seconds: float
    native: Native | None = None
    """Its buckets as a native histogram; None where it is none."""


@dataclass(slots=True)
class Readings:
    """Readings by the name of a registered metric."""

    numbers: dict[str, list[tuple[Labels, float]]] = field(default_factory=lambda: defaultdict(list))
    histograms: dict[str, list[tuple[Labels, Histogram]]] = field(default_factory=lambda: defaultdict(list))

    def put(self, metric: str, labels: tuple[str, ...], value: float) -> None:
        """Add a number; label values in the order of the registry, which says how many there must be."""
        self.numbers[metric].append((_named(metric, labels), value))

    def put_grouped(self, metric: str, labels: tuple[str, ...], group: Labels, value: float) -> None:
        """Add a number that also carries the labels of an SLO's group; the metric's own labels win."""
        self.numbers[metric].append(({**group, **_named(metric, labels)}, value))

    def put_histogram(self, metric: str, labels: tuple[str, ...], histogram: Histogram) -> None:
        """Add a histogram."""
        self.histograms[metric].append((_named(metric, labels), histogram))


def _named(metric: str, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(REGISTRY[metric].labels, labels, strict=True))
