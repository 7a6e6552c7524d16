"""Nodes whose lives Prometheus recorded: what each showed, as an agent's client reads it, and as kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.model.samples import Scrape, Series, labels
from tests import prometheus
from tests.prometheus import Sample

END: Final = Timestamp(1_767_225_600_000)
"""Midnight of 2026-01-01, where the history ends."""
LENGTH: Final = 26 * clock.HOUR
"""More than a chunk, so that counters go on across one."""
SCRAPES: Final = LENGTH // clock.MINUTE
STARTED: Final = Timestamp(END - 40 * clock.DAY)


def flows(outcome: str, reason: str = "none") -> Series:
    """Return one counter of connection attempts."""
    return Series(
        conventions.FLOWS, labels({"outcome": outcome, "reason": reason, "src": "host", "dst": "public"})
    )


DELIVERED: Final = flows("delivered")
FAILED: Final = flows("failed", "refused")
RESET: Final = flows("failed", "reset")
USED: Final = Series(conventions.CONNTRACK_UTILIZATION, labels({"table": "kernel", "netns": "host"}))
SLOW: Final = Series(f"{conventions.FLOW_CONNECT_SECONDS}_count", labels({"src": "host"}))
QUICK: Final = Series(f"{conventions.FLOW_CONNECT_SECONDS}_bucket", labels({"src": "host", "le": "0.25"}))
EVERY: Final = Series(f"{conventions.FLOW_CONNECT_SECONDS}_bucket", labels({"src": "host", "le": "+Inf"}))
UP: Final = Series("up", ())
START: Final = Series(conventions.PROCESS_START_TIME, ())


@dataclass
class Node:
    """What one node showed: its scrapes as an agent's client makes them, and as Prometheus keeps them."""

    name: str
    more: Mapping[str, str] = field(default_factory=dict)
    """Labels of the target beside job and instance."""
    with_up: bool = True
    with_start: bool = True
    scrapes: list[Scrape] = field(default_factory=list)
    stored: list[Sample] = field(default_factory=list)

    def show(self, at: int, values: Mapping[Series, str | int], started: Timestamp = STARTED) -> None:
        """Show these values at a moment."""
        when = Timestamp(at)
        exact = {series: Decimal(value) for series, value in values.items()}
        # Prometheus is asked for what a scrape shows; NaN reaches neither the agent's client nor the engine.
        seen = {series: value for series, value in exact.items() if value.is_finite()}
        self.scrapes.append(Scrape(when, self.name, started if self.with_start else Timestamp(0), seen))
        kept: dict[Series, Decimal] = dict(exact)
        if self.with_up:
            kept[UP] = Decimal(1)
        if self.with_start:
            kept[START] = Decimal(started) / clock.SECOND
        self.stored += [
            (prometheus.labelled(series, self.target), when, value) for series, value in kept.items()
        ]

    def silent(self, at: int) -> None:
        """Do not answer a scrape."""
        self.stored.append((prometheus.labelled(UP, self.target), Timestamp(at), Decimal(0)))

    @property
    def target(self) -> dict[str, str]:
        """The labels of the target."""
        return {"job": "agents", "instance": self.name, **self.more}


def moments(offset: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the number and the time of every scrape, the last one 5 s before the end."""
    for index in range(SCRAPES):
        yield index, END - 5_000 + offset - (SCRAPES - 1 - index) * clock.MINUTE


def steady(index: int) -> dict[Series, str | int]:
    """Return what a node shows that has traffic, some of it bad, and more by day than by night."""
    by_day = sum(min(max(index - day * 1_440 - 360, 0), 840) for day in (0, 1))
    return {
        DELIVERED: 1_000_000 + index + by_day * 97,
        FAILED: 500 + index // 40,
        SLOW: index * 50 + by_day,
        QUICK: index * 49 + by_day,
        EVERY: index * 50 + by_day,
        USED: f"0.{index % 60:02d}",
    }


def plain() -> Node:
    """Traffic, and nothing else."""
    node = Node("plain")
    for index, at in moments():
        node.show(at, steady(index))
    return node


def restarted() -> Node:
    """Restart the agent three times: all counters begin at zero, one of them above what it was."""
    node = Node("restarted")
    started = STARTED
    base = 0
    for index, at in moments(1_234):
        if index in (300, 900, 1440):
            base, started = index, Timestamp(at - 20_000)
        node.show(at, {**steady(index - base), DELIVERED: (index - base) * 97 + 3}, started)
    return node


def fallen() -> Node:
    """Nothing says when it started; a counter falls."""
    node = Node("fallen", with_start=False)
    for index, at in moments(777):
        values: dict[Series, str | int] = {
            DELIVERED: index % 700 * 11 + 4,
            FAILED: index % 700 // 100,
            USED: "0.4",
        }
        node.show(at, values)
    return node


def born() -> Node:
    """Series appear that were not there before, at more than zero."""
    node = Node("born")
    for index, at in moments(50):
        values: dict[Series, str | int] = {DELIVERED: 5_000 + index, USED: "0.1"}
        if index >= 1_000:
            values[FAILED] = 500 + (index - 1_000) // 10
        if index >= 1_500:
            values[RESET] = 7
        node.show(at, values)
    return node


def irregular() -> Node:
    """Scrapes come late, fail, and are left out; one counter is not a number for a while."""
    node = Node("irregular")
    for index, at in moments():
        if 200 <= index < 230 or index % 17 == 3:
            node.silent(at)
        elif index % 11 != 5:
            late = index * 7_919 % 45_000
            values = steady(index)
            if 600 <= index < 610:
                values[FAILED] = "NaN"
            node.show(at + late - 45_000, values)
    return node


def idle() -> Node:
    """Traffic stops for six hours, and for another four nobody reads the node."""
    node = Node("idle", with_up=False)
    for index, at in moments(4_999):
        counted = index if index < 600 else max(600, index - 360)
        if not 1_100 <= index < 1_340:
            node.show(at, steady(counted))
    return node


def quiet() -> Node:
    """No connection was ever made."""
    node = Node("quiet")
    for index, at in moments():
        node.show(at, {USED: f"0.{index % 10}"})
    return node


def relabelled() -> Node:
    """Give the target another label in the middle: 500 scrapes before, the others after."""
    node = Node("relabelled")
    for index, at in moments():
        node.more = {"team": "network"} if index >= 500 else {}
        node.show(at, {DELIVERED: 1_000_000 + index * 10, FAILED: 4_000 + index, USED: "0.1"})
    return node


def renamed() -> Node:
    """Change the same label where nothing says when the process began."""
    node = Node("renamed", with_start=False)
    for index, at in moments():
        node.more = {"team": "network"} if index >= 500 else {}
        node.show(at, {DELIVERED: 1_000_000 + index * 10, FAILED: 4_000 + index, USED: "0.1"})
    return node


SCENARIOS: Final = (plain, restarted, fallen, born, irregular, idle, quiet, relabelled)
"""What a live agent and a Prometheus must agree on."""

SPECS: Final = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {{name: success-{window}}}
spec:
  service: node-datapath
  objective: 99.9
  window: {window}
  groupBy: [node]
  indicator:
    ratio:
      bad: {{metric: netsre_flows_total, match: 'outcome="failed"'}}
      total: {{metric: netsre_flows_total, match: 'outcome=~"delivered|failed"'}}
  alerting: {{policy: {policy}}}
---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {{name: latency-{window}}}
spec:
  service: node-datapath
  objective: 99
  window: {window}
  groupBy: [node]
  indicator:
    latency: {{metric: netsre_flow_connect_seconds, below: 250ms}}
  alerting: {{policy: {policy}}}
---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {{name: headroom-{window}}}
spec:
  service: node-conntrack
  objective: 99
  window: {window}
  groupBy: [node, netns]
  indicator:
    threshold: {{metric: netsre_conntrack_utilization_ratio, match: 'table="kernel"', op: '<', value: 0.5}}
  alerting: {{policy: {policy}}}
"""
