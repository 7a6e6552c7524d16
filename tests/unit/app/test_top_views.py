"""`netsre top`: what each view says about two readings."""

import json
from decimal import Decimal
from typing import Any

from netsre import conventions as c
from netsre.app.top import sections, views
from netsre.app.top.measuring import Interval
from netsre.app.top.sections import Section
from netsre.app.top.values import Within
from netsre.app.top.views import NAMES, VIEWS
from tests.unit.app.top_readings import flow, histogram, interval, line, probes

ENDS = {"direction": "egress", "src": "a", "dst": "b", "protocol": "tcp"}


def shown(view: str, found: Interval) -> tuple[Section, ...]:
    """Return the tables of a view."""
    return VIEWS[NAMES.index(view)].sections(found)


def told(view: str, found: Interval) -> dict[str, Any]:
    """Return what a program reads of a view."""
    document = views.as_document(VIEWS[NAMES.index(view)], found, "http://agent:1", shown(view, found))
    read: dict[str, Any] = json.loads(json.dumps(document))
    return read


def test_flows_are_told_by_source_and_destination() -> None:
    """Counts and rates of the interval, the share of failures among answers, the commonest reason."""
    before = flow("delivered", 100) + flow("failed", 5, "refused") + flow("failed", 90, "stalled")
    after = flow("delivered", 130) + flow("failed", 13, "refused") + flow("failed", 92, "stalled")
    after += flow("denied", 4, "blocked") + flow("delivered", 3, src="host")

    rows = told("flows", interval(before, after))["flows"]

    assert rows[0] == {
        "src": "a",
        "dst": "b",
        "protocol": "tcp",
        "attempts": 44,
        "attempts_per_second": 22,
        "failed": 10,
        "failed_per_second": 5,
        "denied": 4,
        "denied_per_second": 2,
        "failed_share": 0.25,
        "connect_p50_seconds": None,
        "connect_p50_beyond": None,
        "connect_p99_seconds": None,
        "connect_p99_beyond": None,
        "reason": "refused",
    }
    assert [row["src"] for row in rows] == ["a", "host"]


def test_a_pair_without_an_attempt_has_no_share_and_no_latency() -> None:
    """Nothing out of nothing is not 0 %."""
    text = flow("delivered", 7) + histogram(c.FLOW_CONNECT_SECONDS, {"0.00025": 7, "+Inf": 7}, **ENDS)
    (section,) = shown("flows", interval(text, text))
    (row,) = section.rows

    assert row.cells["failed_share"] is None
    assert (row.cells["connect_p50"], row.cells["reason"]) == (None, None)
    assert told("flows", interval(text, text))["flows"][0]["attempts"] == 0


def test_latency_is_that_of_the_interval_alone() -> None:
    """What was slow before the first reading does not count any more."""
    before = histogram(c.FLOW_CONNECT_SECONDS, {"0.00025": 0, "0.0005": 0, "+Inf": 500}, **ENDS)
    after = histogram(c.FLOW_CONNECT_SECONDS, {"0.00025": 98, "0.0005": 100, "+Inf": 600}, **ENDS)
    (section,) = shown("flows", interval(before, after))

    assert section.rows[0].cells["connect_p50"] == Within(Decimal("0.00025"))
    assert section.rows[0].cells["connect_p99"] == Within(Decimal("0.0005"))


def test_tcp_is_told_by_ends_and_by_who_opened() -> None:
    """Both sides of a connection on this node are two rows."""
    ingress = {**ENDS, "direction": "ingress"}
    after = line(c.TCP_RETRANSMITS, 3, kind="data", **ENDS) + line(
        c.TCP_RETRANSMITS, 2, kind="syn_ack", **ingress
    )
    after += line(c.TCP_RESETS, 4, by="us", reason="no_socket", **ingress)
    after += line(c.TCP_RESETS, 4, by="peer", reason="refused", **ENDS)
    after += line(c.TCP_RESETS, 1, by="peer", reason="broken", **ENDS)
    after += histogram(c.FLOW_RTT_SECONDS, {"0.0001": 0, "2.5": 0, "+Inf": 9}, **ENDS)

    rows = told("tcp", interval("up 1\n", after))["tcp"]
    by_direction = {row["direction"]: row for row in rows}

    assert by_direction["egress"] | {"data": 3, "reset_by_peer": 5, "syn_ack": 0} == by_direction["egress"]
    assert by_direction["ingress"] | {"syn_ack": 2, "reset_by_us": 4, "data": 0} == by_direction["ingress"]
    assert (by_direction["egress"]["rtt_p50_seconds"], by_direction["egress"]["rtt_p50_beyond"]) == (
        2.5,
        True,
    )


def test_connection_tables_say_what_is_not_known() -> None:
    """A table that does not grow will not be full; Cilium's has no counters of the kernel."""
    kernel, cilium = {"table": "kernel", "netns": "host"}, {"table": "cilium:ct4", "netns": "host"}
    text = line(c.CONNTRACK_ENTRIES, 900, **kernel) + line(c.CONNTRACK_LIMIT, 1_000, **kernel)
    text += line(c.CONNTRACK_UTILIZATION, 0.9, **kernel) + line(c.CONNTRACK_GROWTH, 12.5, **kernel)
    text += line(c.CONNTRACK_FULL_SECONDS, 8, **kernel) + line(c.CONNTRACK_EARLY_DROPS, 50, **kernel)
    text += line(c.CONNTRACK_ENTRIES, 5, **cilium) + line(c.CONNTRACK_LIMIT, 0, **cilium)
    after = text.replace(" 50\n", " 56\n")

    first, second = told("conntrack", interval(text, after))["conntrack"]

    assert first["entries"] == 900
    assert (first["utilization"], first["growth_per_second"], first["full_seconds"]) == (0.9, 12.5, 8)
    assert (first["early_drops"], first["early_drops_per_second"], first["insert_failed"]) == (6, 3, None)
    assert (second["table"], second["limit"], second["utilization"]) == ("cilium:ct4", None, None)
    assert second["drops_per_second"] is None


def test_benign_drops_are_apart() -> None:
    """No sum and no order mixes what nobody misses with what was lost."""
    after = line(c.DROPS, 3, hook="kernel", reason="no_socket", rule="", netns="a")
    after += line(c.BENIGN_DROPS, 500, reason="queue_purge", netns="a")
    found = told("drops", interval("up 1\n", after))

    lost = {"hook": "kernel", "reason": "no_socket", "netns": "a", "rule": "", "packets": 3}
    assert found["drops"] == [{**lost, "packets_per_second": 1.5}]
    assert found["benign"] == [
        {"reason": "queue_purge", "netns": "a", "packets": 500, "packets_per_second": 250}
    ]


def test_programs_are_told_while_the_kernel_counts_their_runs() -> None:
    """Time of a run, and the share of a core that they take."""
    before = line(c.BPF_RUNS, 1_000, program="p") + line(c.BPF_RUN_SECONDS, 1, program="p")
    after = line(c.BPF_RUNS, 3_000, program="p") + line(c.BPF_RUN_SECONDS, 1.0005, program="p")
    (row,) = told("bpf", interval(before, after))["programs"]

    assert (row["runs"], row["runs_per_second"], row["ns_per_run"]) == (2_000, 1_000, 250)
    assert row["core_share"] == 0.00025


def test_without_statistics_no_program_is_said_to_rest() -> None:
    """Zero runs would be a lie; there is a word instead, and what to do about it."""
    text = line(c.BPF_RUNS, 0, program="p")
    found = interval(text, text)
    programs = next(section for section in shown("bpf", found) if section.name == "programs")

    assert programs.rows == ()
    assert "--run-statistics" in programs.note


def test_maps_are_sorted_by_pressure_and_memory() -> None:
    """A map whose pressure is not known is not an empty one."""
    text = ""
    for name, memory, pressure in (("a", 10, None), ("b", 20, 0.5), ("c", 30, None), ("d", 5, 0.9)):
        pairs = {"map": name, "owner": "netsre"}
        text += line(c.BPF_MAP_MEMORY, memory, **pairs)
        text += line(c.BPF_MAP_PRESSURE, pressure, **pairs) if pressure is not None else ""
    text += line(c.BPF_MAP_OVERFLOWS, 3, map="d")
    rows = told("bpf", interval("up 1\n", text))["maps"]

    assert [row["map"] for row in rows] == ["d", "b", "c", "a"]
    assert [row["overflows"] for row in rows] == [3, None, None, None]


def test_a_probe_that_is_down_stands_first_and_says_why() -> None:
    """Its view does not say that nothing happened."""
    text = probes(tcp="not_wanted\x1b[2J")
    found = interval(text, text)
    tcp = VIEWS[NAMES.index("tcp")]
    (section,) = tcp.sections(found)

    assert shown("bpf", found)[0].name == "probes"
    assert told("bpf", found)["probes"][0] == {"probe": "tcp", "state": "DOWN", "reason": "not_wanted\x1b[2J"}
    assert told("bpf", found)["probes_down"] == {"tcp": "not_wanted\x1b[2J"}
    assert views.remark(section, found) == r"not measured: the probe tcp does not run (not_wanted\x1b[2J)"
    assert views.status(found)[0] == "2 of 3 probes up, DOWN: tcp"


def test_a_probe_that_was_left_out_is_listed_and_is_not_down() -> None:
    """It counts neither as up nor as down: somebody wanted it so."""
    text = probes(("flows",)) + line(c.AGENT_PROBE_LEFT_OUT, 1, probe="loads")
    found = interval(text, text)

    assert told("bpf", found)["probes"][0] == {"probe": "loads", "state": "left out", "reason": "not_wanted"}
    assert told("bpf", found)["probes_down"] == {}
    assert views.status(found)[0] == "1 of 1 probes up"


def test_a_view_whose_probe_is_missing_does_not_say_that_nothing_happened() -> None:
    """An agent may run without a probe; with other rows in the section that is said all the same."""
    text = probes(("flows", "maps"))
    blocked = line(c.DROPS, 3, hook="tc_ingress", reason="blocked_source", rule="a", netns="a")
    found = interval(text, text + blocked)
    remarks = {s.name: views.remark(s, found) for view in VIEWS for s in view.sections(found)}

    assert remarks["tcp"] == "not measured: the agent runs without the probe tcp"
    assert remarks["drops"] == remarks["benign"] == "not measured: the agent runs without the probe drops"
    assert remarks["flows"] == "no connection attempt was seen yet"
    assert told("drops", found)["probes_up"] == ["flows", "maps"]


def test_the_cost_of_the_agent_is_told_with_every_view() -> None:
    """What an instrument takes is part of what it shows."""
    before = line(c.PROCESS_CPU, 1) + line(c.PROCESS_RSS, 40 << 20) + line(c.BUILD_INFO, 1, version="1.2")
    found = interval(before, before.replace(f"{c.PROCESS_CPU} 1\n", f"{c.PROCESS_CPU} 1.02\n"))

    assert told("flows", found)["process"] == {"version": "1.2", "cpu_ratio": 0.01, "rss_bytes": 40 << 20}
    assert views.status(found)[1:] == ("cpu 1 %", "rss 40 MiB")


def test_rows_are_sorted_and_what_is_not_known_is_last_either_way() -> None:
    """Turning the order round does not bring what has no value to the top."""
    after = (
        flow("delivered", 5, src="one") + flow("failed", 3, "reset", src="Two") + flow("denied", 9, src="x")
    )
    (section,) = shown("flows", interval("up 1\n", after))

    def sources(key: str | None, *, backwards: bool = False) -> list[str]:
        return [row.labels["src"] for row in sections.arranged(section, key, backwards=backwards)]

    assert sources(None) == ["x", "one", "Two"]
    assert sources("failed_share") == ["Two", "one", "x"]
    assert sources("failed_share", backwards=True) == ["one", "Two", "x"]
    assert sources("name") == ["one", "Two", "x"]
    assert sources("name", backwards=True) == ["x", "Two", "one"]
    assert sources("of another view") == sources(None)


def test_a_filter_finds_a_text_in_names_in_whatever_case() -> None:
    """What is typed is a text, and no pattern."""
    after = flow("delivered", 5, src="Web.1") + flow("failed", 3, "reset", src="webX1")
    (section,) = shown("flows", interval("up 1\n", after))

    def kept(text: str) -> set[str]:
        return {row.labels["src"] for row in sections.wanted(section.rows, text)}

    assert kept("WEB") == {"Web.1", "webX1"}
    assert kept("web.1") == {"Web.1"}
    assert kept("reset") == {"webX1"}
    assert kept("[") == set()


def test_a_program_reads_seconds_and_what_kind_of_interval_it_was() -> None:
    """Rates can be checked against counts."""
    found = told("flows", interval(flow("delivered", 1), flow("delivered", 4), 1_500))

    assert (found["agent"], found["view"], found["seconds"], found["restarted"]) == (
        "http://agent:1",
        "flows",
        1.5,
        False,
    )
    assert found["flows"][0]["attempts_per_second"] == 2
