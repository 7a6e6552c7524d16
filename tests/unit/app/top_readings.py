"""Readings of an agent for tests of `netsre top`, written as the agent writes them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from netsre import conventions as c
from netsre.app.top.measuring import Interval, Meter
from netsre.clock import Timestamp
from netsre.model.samples import Scrape, Series, labels

BORN: Final = Timestamp(1_767_225_600_000)
SECOND_NS: Final = 1_000_000_000


def scrape(text: str, at: int = 10_000, born: int = 0) -> Scrape:
    """Return a reading; times are milliseconds after `BORN`."""
    values = {
        Series(sample.name, labels(sample.labels)): Decimal(repr(float(sample.value)))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scrape(Timestamp(BORN + at), "agent", Timestamp(BORN + born), values)


def interval(before: str, after: str, milliseconds: int = 2_000) -> Interval:
    """Return what happened between two readings."""
    meter = Meter()
    assert meter.add(scrape(before), 0) is None
    found = meter.add(scrape(after, 10_000 + milliseconds), milliseconds * 1_000_000)
    assert found is not None
    return found


def line(metric: str, value: float, **pairs: str) -> str:
    """Return one line of an exposition."""
    escaped = {
        key: text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, text in pairs.items()
    }
    inner = ",".join(f'{key}="{text}"' for key, text in escaped.items())
    return f"{metric}{{{inner}}} {value}\n" if inner else f"{metric} {value}\n"


def flow(outcome: str, count: int, reason: str = "none", src: str = "a", dst: str = "b") -> str:
    """Return a counter of attempts."""
    pairs = {"direction": "egress", "dst": dst, "protocol": "tcp", "src": src}
    return line(c.FLOWS, count, outcome=outcome, reason=reason, **pairs)


def histogram(metric: str, buckets: Mapping[str, int], **pairs: str) -> str:
    """Return a histogram by its cumulative buckets."""
    return "".join(line(f"{metric}_bucket", count, le=bound, **pairs) for bound, count in buckets.items())


def probes(names: Iterable[str] = ("flows", "tcp", "drops"), **down: str) -> str:
    """Return the states of probes; what is down comes with its reason."""
    up = "".join(line(c.AGENT_PROBE_UP, 1, probe=name, reason="") for name in names if name not in down)
    return up + "".join(line(c.AGENT_PROBE_UP, 0, probe=name, reason=why) for name, why in down.items())
