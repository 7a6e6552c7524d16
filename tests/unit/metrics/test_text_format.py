"""The text of the agent against the client library's own, byte for byte."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from netsre import conventions as c
from netsre.adapters.exposition import render
from netsre.metrics.readings import Histogram, Readings
from netsre.metrics.registry import REGISTRY, Metric

ACCEPTED = (
    "",
    "text/plain; version=0.0.4",
    "text/plain; version=1.0.0; escaping=allow-utf-8",
    "application/openmetrics-text; version=1.0.0",
    "application/openmetrics-text; version=1.0.0; escaping=underscores, text/plain; q=0.3",
    "application/openmetrics-text",
)
# Half a surrogate pair is no text: it becomes an escape where names are read.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
metrics = st.sampled_from(list(REGISTRY.values()))


@dataclass(frozen=True, eq=False)
class Snapshot(Collector):
    """Shows readings to the library."""

    readings: Readings

    def collect(self) -> Iterator[Family]:
        """Yield a family for each metric."""
        for name, samples in self.readings.numbers.items():
            family = _family(REGISTRY[name])
            for labels, value in samples:
                family.add_sample(name, dict(labels), value)
            yield family
        for name, histograms in self.readings.histograms.items():
            family = _family(REGISTRY[name])
            for labels, shape in histograms:
                for bound, count in zip(shape.bounds, shape.cumulative, strict=True):
                    family.add_sample(f"{name}_bucket", {**labels, "le": bound}, float(count))
                family.add_sample(f"{name}_count", dict(labels), float(shape.cumulative[-1]))
                family.add_sample(f"{name}_sum", dict(labels), shape.sum_seconds)
            yield family


def _family(metric: Metric) -> Family:
    name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
    return Family(name, metric.help, metric.kind)


@st.composite
def readings(draw: st.DrawFn) -> Readings:
    """Return numbers and histograms of any metrics, with any labels."""
    made = Readings()
    for metric in draw(st.lists(metrics, max_size=6)):
        labels = tuple(draw(words) for _ in metric.labels)
        if metric.kind == "histogram":
            counts = draw(st.lists(st.integers(0, 10**18), min_size=3, max_size=3))
            shape = Histogram(("0.5", "1.0", "+Inf"), tuple(sorted(counts)), draw(st.floats(0, 1e9)))
            made.put_histogram(metric.name, labels, shape)
        else:
            number = st.one_of(st.integers(0, 10**18), st.floats())
            made.put_grouped(metric.name, labels, draw(st.dictionaries(st.just("node"), words)), draw(number))
    return made


@pytest.mark.parametrize("accept", ACCEPTED)
@given(made=readings())
def test_every_format_is_to_the_byte_what_the_library_writes(accept: str, made: Readings) -> None:
    """Any name, any number, any order of labels; the kind of content too."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Snapshot(made))
    encode, content_type = choose_encoder(accept)

    assert render(made, accept) == (encode(registry), content_type)


@pytest.mark.parametrize("escaping", ["dots", "values"])
def test_who_wants_names_escaped_gets_them_as_they_are(escaping: str) -> None:
    """They need no escapes; the answer says what it is."""
    made = Readings()
    made.put(c.BUILD_INFO, ("1",), 1)

    asked = f"application/openmetrics-text; version=1.0.0; escaping={escaping}"
    assert render(made, asked) == render(made, "")
