"""Evidence is the increase since an earlier reading of the same process: exact, sorted, and bounded."""

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import Evaluation
from netsre.model.samples import Scrape, Series, labels
from netsre.runbook.actions.contract import ActionFailed, NodeUnreachable, Subject
from netsre.runbook.actions.evidence import TOP_SOURCES, TOPICS, Collect
from tests.unit import burning
from tests.unit.runbook import given

SUBJECT = Subject("run", burning.fired().alert, "network/a")
FLOW = {"direction": "out", "src": "a", "dst": "b", "protocol": "tcp"}


class Seen:
    """Readings and evaluations, as given."""

    def __init__(
        self,
        scrapes: Sequence[Scrape],
        evaluations: Sequence[Evaluation] = (),
        node: given.MemoryNode | None = None,
        records: given.MemoryRecords | None = None,
    ) -> None:
        """Show these."""
        self.records = records or given.MemoryRecords()
        self._scrapes, self._evaluations = scrapes, evaluations
        self.node = node or given.MemoryNode()

    def scrapes(self) -> Sequence[Scrape]:
        """Return the readings."""
        return self._scrapes

    def evaluations(self) -> Sequence[Evaluation]:
        """Return the evaluations."""
        return self._evaluations


def scrape(at: int, values: Mapping[Series, int | str], started: int = 0) -> Scrape:
    """Return a reading made `at` milliseconds after the beginning."""
    return Scrape(
        Timestamp(burning.T0 + at),
        "a",
        Timestamp(burning.T0 + started),
        {series: Decimal(value) for series, value in values.items()},
    )


def flow(outcome: str, reason: str, dst: str = "b") -> Series:
    """Return a series of flows."""
    return Series("netsre_flows_total", labels({**FLOW, "outcome": outcome, "reason": reason, "dst": dst}))


def collect(topic: str, seen: Seen) -> Any:  # noqa: ANN401 - evidence is JSON
    """Return the evidence of one topic."""
    return Collect().observe(SUBJECT, {"what": (topic,)}, seen)[topic]


def test_flows_are_the_attempts_that_failed_since_the_earlier_reading() -> None:
    """What failed before does not explain what burns now; delivered ones are one sum."""
    refused, delivered = flow("failed", "refused"), flow("delivered", "none")
    seen = Seen([scrape(0, {refused: 1000, delivered: 5}), scrape(15_000, {refused: 1007, delivered: 9})])

    found = collect("flows", seen)

    assert found["not_delivered"] == ({**FLOW, "outcome": "failed", "reason": "refused", "count": 7},)
    assert found["delivered"] == 4
    assert found["since"] == clock.rfc3339(burning.T0)


def test_the_most_frequent_come_first_and_the_rest_is_counted() -> None:
    """A journal stays readable when a thousand destinations fail."""
    before = {flow("failed", "timeout", f"d{i:03}"): 0 for i in range(30)}
    after = {series: rank + 1 for rank, series in enumerate(before)}

    found = collect("flows", Seen([scrape(0, before), scrape(1, after)]))

    assert [row["count"] for row in found["not_delivered"]] == list(range(30, 10, -1))
    assert found["not_delivered_omitted"] == 10


def test_readings_of_another_process_or_too_long_ago_are_no_base() -> None:
    """Counters that began anew are all increase; ten minutes ago is another story."""
    refused = flow("failed", "refused")
    restarted = Seen([scrape(0, {refused: 100}), scrape(15_000, {refused: 3}, started=9_000)])
    old = Seen([scrape(0, {refused: 0}), scrape(400_000, {refused: 5}), scrape(600_000, {refused: 8})])

    assert collect("flows", restarted)["not_delivered"][0]["count"] == 3
    assert collect("flows", old)["not_delivered"][0]["count"] == 3


def test_conntrack_says_how_full_and_what_was_refused() -> None:
    """Levels are of now, counters are increases, all exact."""
    table = labels({"table": "kernel", "netns": "host"})
    level: dict[Series, int | str] = {
        Series("netsre_conntrack_entries", table): 900,
        Series("netsre_conntrack_limit", table): 1000,
        Series("netsre_conntrack_utilization_ratio", table): "0.9",
    }
    failed = Series("netsre_conntrack_insert_failed_total", table)
    seen = Seen([scrape(0, {failed: 2}), scrape(1, {**level, failed: 14})])

    assert collect("conntrack", seen)["tables"] == (
        {
            "table": "kernel",
            "netns": "host",
            "entries": 900,
            "limit": 1000,
            "utilization_ratio": "0.9",
            "insert_failed": 12,
            "drops": 0,
            "early_drops": 0,
        },
    )


def test_who_no_rule_allows_is_named_by_address_and_what_is_most_comes_first() -> None:
    """A destination that is new in the last reading counts from its beginning."""

    def refused(dst: str) -> Series:
        ends = {"verdict": "audited", "direction": "egress", "src": "shop/web", "dst": dst}
        return Series("netsre_policy_refused_packets_total", labels(ends))

    known, new, still = (refused(f"203.0.113.{last}:443/TCP") for last in (1, 2, 3))
    seen = Seen([scrape(0, {known: 5, still: 9}), scrape(1, {known: 7, new: 3, still: 9})])
    rows = collect("refused", seen)["refused"]

    assert [(row["dst"], row["packets"]) for row in rows] == [
        ("203.0.113.2:443/TCP", 3),
        ("203.0.113.1:443/TCP", 2),
    ]
    assert (rows[0]["src"], rows[0]["verdict"], rows[0]["direction"]) == ("shop/web", "audited", "egress")


def test_the_agent_says_which_probe_is_down_and_what_overflowed() -> None:
    """Whoever reads the numbers must know whether to trust them."""
    probe = Series("netsre_agent_probe_up", labels({"probe": "flows", "reason": "no_btf"}))
    overflow = Series("netsre_bpf_map_overflows_total", labels({"map": "flows"}))
    seen = Seen([scrape(0, {overflow: 1}), scrape(1, {probe: 0, overflow: 4})])

    found = collect("agent", seen)

    assert found["probes"] == ({"probe": "flows", "reason": "no_btf", "up": 0},)
    assert found["overflows"] == [{"map": "flows", "count": 3}]


def test_the_evaluation_is_that_of_the_alerts_own_group() -> None:
    """Another node's service level is no evidence for this one."""
    other = burning.evaluation({"5m": 1, "1h": 1}, group=(("node", "b"),))
    seen = Seen([scrape(0, {})], [other, burning.BURNING])

    found = collect("slo", seen)

    assert (found["group"], found["burn"]["5m"], found["bad"]) == ({"node": "a"}, "100", 100)
    assert found["burn"]["2h"] == "1"


def test_an_alert_about_no_level_has_no_evaluation_and_stops_nothing() -> None:
    """A condition has none: a word stands in its place, and the rest is seen."""
    about = Subject("run", given.ALERT, "conntrack/a")

    found: Any = Collect().observe(about, {"what": ("slo", "conntrack")}, Seen([scrape(0, {})]))

    assert "no_data" in found["slo"]
    assert found["conntrack"]["tables"] == ()


def test_without_any_reading_there_is_no_evidence_yet() -> None:
    """Empty evidence would look like nothing being wrong; who has just started looks again."""
    with pytest.raises(NodeUnreachable, match="no reading of the source"):
        collect("flows", Seen([]))


def sources(node: given.MemoryNode) -> Any:  # noqa: ANN401 - evidence is JSON
    """Return the evidence of the top sources of a node."""
    seen = Seen([scrape(0, {})], node=node)
    return Collect().observe(given.SUBJECT, {"what": (TOP_SOURCES,)}, seen)


def test_the_top_sources_are_those_of_the_alerts_namespace() -> None:
    """By the node's own count, with their share of the limit."""
    found = sources(given.MemoryNode())

    assert found["top-sources"] == {
        "netns": given.NETNS,
        "entries": 920,
        "limit": 1000,
        "states": {"tcp_syn_sent": 920},
        "sources": (
            {"source": given.NOISY, "entries": 900, "share": "0.9"},
            {"source": "10.0.0.2", "entries": 20, "share": "0.02"},
        ),
        "sources_omitted": 0,
    }
    assert found["top_source"] == given.NOISY


@pytest.mark.parametrize(("entries", "dominates"), [(100, True), (99, False), (0, False)])
def test_a_source_dominates_from_a_tenth_of_the_limit_on(entries: int, *, dominates: bool) -> None:
    """Whoever has less is not worth a block, even with more than anybody else."""
    found = sources(given.MemoryNode(sources={given.NOISY: entries}))

    assert ("top_source" in found) is dominates


def test_of_two_that_dominate_the_larger_one_is_named() -> None:
    """One at a time: the next alert finds the other."""
    found = sources(given.MemoryNode(sources={"10.0.0.3": 400, given.NOISY: 500}))

    assert found["top_source"] == given.NOISY


def test_top_sources_need_a_namespace() -> None:
    """An alert about the whole node says nothing about a table."""
    with pytest.raises(ActionFailed, match="names no network namespace"):
        collect(TOP_SOURCES, Seen([scrape(0, {})]))


def test_only_top_sources_provide_something_to_refer_to() -> None:
    """Lint asks this."""
    assert Collect().provides({"what": ("conntrack", TOP_SOURCES)}) == {"top_source"}
    assert Collect().provides({"what": ("conntrack",)}) == frozenset()


def test_every_topic_can_be_collected_at_once() -> None:
    """What shipped runbooks ask for comes in one piece."""
    alert = dataclasses.replace(SUBJECT.alert, labels=labels({**dict(SUBJECT.alert.labels), "netns": "lab"}))
    subject = dataclasses.replace(SUBJECT, alert=alert)

    found = Collect().observe(
        subject, {"what": tuple(sorted(TOPICS))}, Seen([scrape(0, {})], [burning.BURNING])
    )

    assert set(found) == {"read_at", "top_source", *TOPICS}
