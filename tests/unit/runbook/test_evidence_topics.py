"""Evidence about programs, maps, policies, changes and clients; what is not measured is a word."""

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.events import Event
from netsre.model.runbooks import Run, RunState
from netsre.model.samples import Scrape, Series, labels
from netsre.runbook.actions.evidence import Collect
from tests.unit.runbook import given

Values = Mapping[Series, int | str]
MINUTE = clock.MINUTE


def series(name: str, **pairs: str) -> Series:
    """Return a series of ours."""
    return Series(f"netsre_{name}", labels(pairs))


def seen(*readings: Values, records: given.MemoryRecords | None = None) -> given.MemoryViews:
    """Return views with readings a minute apart."""
    scrapes = [
        Scrape(
            Timestamp(given.T0 + number * MINUTE),
            "a",
            Timestamp(given.T0 - clock.HOUR),
            {one: Decimal(value) for one, value in values.items()},
        )
        for number, values in enumerate(readings)
    ]
    return given.MemoryViews(seen=scrapes, records=records or given.MemoryRecords())


def collect(views: given.MemoryViews, topic: str) -> Any:  # noqa: ANN401 - evidence is JSON
    """Return all that collecting one topic gives."""
    return Collect().observe(given.SUBJECT, {"what": (topic,)}, views)


def dropped(hook: str, rule: str, reason: str = "rule") -> Series:
    """Return a series of drops."""
    return series("drops_total", hook=hook, rule=rule, reason=reason, netns="host")


def probe(name: str) -> Series:
    """Return the series of a probe."""
    return series("agent_probe_up", probe=name, reason="")


@pytest.mark.parametrize(
    ("topic", "word"),
    [("loads", "not_measured"), ("maps", "not_measured"), ("policies", "no_policies")],
)
def test_what_nobody_measured_is_a_word(topic: str, word: str) -> None:
    """An empty list would say that all is well."""
    assert collect(seen({probe("flows"): 1}), topic)[topic] == {"no_data": word}


def test_drops_are_listed_by_where_and_say_where_nobody_counts() -> None:
    """Of three places one has drops, one has a probe and none, one has nothing that would count."""
    rule = dropped("xdp", "deny-scan")
    found = collect(seen({rule: 5}, {rule: 25, probe("drops"): 1}), "drops")["drops"]

    row = {"hook": "xdp", "reason": "rule", "rule": "deny-scan", "netns": "host", "packets": 20}
    assert found["xdp"] == (row,)
    assert (found["kernel"], found["kernel_omitted"]) == ((), 0)
    assert found["tc"] == {"no_data": "no_policies"}


def test_a_rule_stands_out_by_half_of_what_is_dropped_at_xdp() -> None:
    """Drops elsewhere do not count, and what no rule dropped is nobody's."""
    one, other, none = dropped("xdp", "one"), dropped("xdp", "other"), dropped("xdp", "", "bad_header")
    elsewhere = dropped("tc_ingress", "two")

    assert collect(seen({one: 50, other: 50, elsewhere: 900}), "drops")["top_rule"] == "one"
    assert "top_rule" not in collect(seen({one: 40, other: 30, none: 30}), "drops")
    assert "top_rule" not in collect(seen({none: 30}), "drops")
    assert "top_rule" not in collect(seen({one: 50}, {one: 50}), "drops")


def test_failed_loads_come_with_the_last_words_of_the_verifier() -> None:
    """By whom and why, as counted; what was said, from the agent, its end alone."""
    bad = series("bpf_program_loads_total", owner="tc", type="sched_cls", result="error", reason="EACCES")
    good = series("bpf_program_loads_total", owner="tc", type="sched_cls", result="ok", reason="none")
    word: Document = {"command": "tc", "error": "EACCES", "log": "x" * 9_000 + "R1 !read_ok"}
    records = given.MemoryRecords(loads=[word] * 9)
    found = collect(seen({bad: 1, good: 7}, {bad: 3, good: 8}, records=records), "loads")["loads"]

    assert found["failed"] == ({"owner": "tc", "type": "sched_cls", "reason": "EACCES", "count": 2},)
    assert (found["good"], len(found["refused"])) == (1, 5)
    assert found["refused"][0]["error"] == "EACCES"
    assert found["refused"][0]["log"].endswith("xR1 !read_ok")
    assert len(found["refused"][0]["log"]) == 2_000


def test_what_the_kernel_lacks_stands_out_for_the_owner_that_is_meant() -> None:
    """Others try out on purpose what a kernel has; without an owner in the alert all are meant."""
    bad = series("bpf_program_loads_total", owner="cni", type="xdp", result="error", reason="EINVAL")
    loads: list[Document] = [
        {"command": "cni", "error": "EACCES", "log": "", "missing": ""},
        {"command": "cni", "error": "EINVAL", "log": "", "missing": "bpf_loop (kernel 5.17)"},
        {"command": "cni", "error": "EINVAL", "log": "", "missing": "bpf_loop (kernel 5.17)"},
        {"command": "bpftool", "error": "EINVAL", "log": "", "missing": "helper 300"},
        {"command": "of an agent of before", "error": "EINVAL", "log": ""},
    ]
    views = seen({bad: 1}, {bad: 3}, records=given.MemoryRecords(loads=loads))
    alert = dataclasses.replace(given.ALERT, labels=labels({"owner": "cni"}))
    about = dataclasses.replace(given.SUBJECT, alert=alert)

    assert Collect().observe(about, {"what": ("loads",)}, views)["missing"] == "bpf_loop (kernel 5.17)"
    assert collect(views, "loads")["loads"]["missing"] == "bpf_loop (kernel 5.17), helper 300"
    assert "missing" not in collect(seen({bad: 1}), "loads")


def test_an_agent_that_does_not_say_what_the_verifier_said_is_no_failure() -> None:
    """The counters are evidence all the same."""
    bad = series("bpf_program_loads_total", owner="tc", type="xdp", result="error", reason="EINVAL")
    found = collect(seen({bad: 1}, records=given.MemoryRecords(silent=True)), "loads")["loads"]

    assert found["refused"] == {"no_data": "unreachable", "error": "the agent does not answer"}
    assert found["failed"][0]["count"] == 1


def full(name: str, owner: str, pressure: str) -> dict[Series, int | str]:
    """Return the series of a map."""
    who = {"map": name, "owner": owner}
    return {series("bpf_map_pressure_ratio", **who): pressure, series("bpf_map_capacity", **who): 1000}


def test_maps_come_by_how_full_they_are_and_the_fullest_stands_out_from_four_fifths_on() -> None:
    """Whoever has it; an array, which has no pressure, comes after all others, by its memory."""
    array = {"map": "array", "owner": "cilium"}
    fixed: dict[Series, int | str] = {
        series("bpf_map_capacity", **array): 9,
        series("bpf_map_memory_bytes", **array): 4096,
    }
    views = seen({**fixed, **full("ct", "netsre", "0.3"), **full("lpm", "cilium", "0.8")})
    found = collect(views, "maps")

    assert [row["map"] for row in found["maps"]["maps"]] == ["lpm", "ct", "array"]
    assert found["maps"]["maps"][0] == {
        "map": "lpm",
        "owner": "cilium",
        "pressure_ratio": "0.8",
        "capacity": 1000,
    }
    assert found["maps"]["maps"][2] == {**array, "capacity": 9, "memory_bytes": 4096}
    assert found["maps"]["owners"] == ({"owner": "cilium", "memory_bytes": 4096},)
    assert found["top_map"] == "lpm"
    assert "top_map" not in collect(seen(full("lpm", "cilium", "0.79")), "maps")


def revision(number: int, mode: str) -> dict[Series, int | str]:
    """Return the series of a revision in force."""
    modes = {series("policy_mode", mode=one): int(one == mode) for one in ("off", "monitor", "enforce")}
    return {series("policy_revision"): number, series("policy_rules"): 10, **modes}


_EXCHANGED = {"programs": "8c1f0a7be94d55", "kept_programs": "71d6828f5a1399"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "revision"),
        ({**_EXCHANGED, "programs_age": 10 * MINUTE, "revision_age": clock.DAY}, "programs"),
        ({**_EXCHANGED, "programs_age": 10 * MINUTE, "revision_age": 9 * MINUTE}, "programs"),
        ({**_EXCHANGED, "programs_age": 10 * MINUTE, "revision_age": 9 * MINUTE - 1}, "revision"),
        ({**_EXCHANGED, "programs_age": 10 * MINUTE}, "programs"),
        ({**_EXCHANGED, "programs_age": clock.HOUR, "revision_age": clock.DAY}, "programs"),
        ({**_EXCHANGED, "programs_age": clock.HOUR + 1, "revision_age": clock.DAY}, "revision"),
        ({**_EXCHANGED, "kept_programs": "", "programs_age": MINUTE}, "revision"),
        ({**_EXCHANGED, "revision_age": clock.DAY}, "revision"),
    ],
)
def test_what_of_the_policies_changed_last(facts: dict[str, Any], expected: str) -> None:
    """Programs of the last hour that no revision came after, those of the same `apply` included."""
    views = seen(revision(7, "enforce"))
    views.node.policies = dataclasses.replace(given.POLICIES, **facts)
    found = collect(views, "policies")

    assert found["changed_last"] == expected
    age = facts.get("programs_age")
    assert found["policies"]["programs"] == {
        "now": facts.get("programs", "")[:12],
        "before": facts.get("kept_programs", "")[:12],
        "seconds": None if age is None else age // 1000,
    }


def test_a_node_that_does_not_say_its_programs_has_none_that_changed() -> None:
    """What the readings say of policies is evidence all the same."""
    views = seen(revision(7, "enforce"))
    views.node.silent = True
    found = collect(views, "policies")

    assert found["policies"]["programs"] == {"no_data": "unreachable", "error": "the node does not answer"}
    assert (found["policies"]["now"]["revision"], "changed_last" in found) == (7, False)


def test_policies_say_what_was_otherwise_before() -> None:
    """Only that; and how long compiles took meanwhile."""
    total = {"stage": "total", "result": "ok"}
    took: dict[Series, int | str] = {
        series("policy_compile_seconds_count", **total): 3,
        series("policy_compile_seconds_sum", **total): "1.5",
    }
    before, after = revision(4, "monitor"), {**revision(5, "enforce"), **took}
    found = collect(seen(before, after), "policies")["policies"]

    assert (found["now"]["revision"], found["now"]["mode"], found["now"]["rules"]) == (5, "enforce", 10)
    assert found["before"] == {"revision": 4, "mode": "monitor"}
    assert found["compiles"] == ({"stage": "total/ok", "count": 3, "seconds": "1.5"},)
    assert collect(seen(after), "policies")["policies"]["before"] == {"no_data": "not_measured"}


def test_changes_are_those_of_the_last_hour_newest_first_and_not_the_run_itself() -> None:
    """What people said, what automation did, and from which revision to which."""

    def event(name: str, at: int) -> Event:
        when = Timestamp(given.T0 + at)
        return Event(name, "deploy", "", f"{name} went out", when, when, "ann")

    def run(name: str, at: int) -> Run:
        when = Timestamp(given.T0 + at)
        return Run(name, "book", "f", when, "t/a", RunState.SUCCEEDED, "verified", when, when, when)

    records = given.MemoryRecords(
        events=[event("old", -2 * clock.HOUR), event("web", -MINUTE), event("api", 0)],
        runs=[run(given.SUBJECT.run, 0), run("before", -5 * MINUTE), run("earlier", -9 * MINUTE)],
    )
    found = collect(seen(revision(4, "off"), revision(6, "off"), records=records), "changes")["changes"]

    assert [row["text"] for row in found["events"]] == ["api went out", "web went out"]
    assert [(row["run"], row["changed"]) for row in found["runs"]] == [("before", True), ("earlier", True)]
    assert (found["policy_revision"]["before"], found["policy_revision"]["now"]) == (4, 6)
    unknown = collect(seen({probe("flows"): 1}), "changes")["changes"]
    assert unknown["policy_revision"] == {"no_data": "no_policies"}


def refused(src: str) -> Series:
    """Return a series of packets from outside that no rule allows."""
    return series(
        "policy_refused_packets_total", verdict="denied", direction="ingress", src=src, dst="shop/web:80/TCP"
    )


def held(source: str) -> Series:
    """Return the series of a source in the table of the alert's namespace."""
    return series("conntrack_top_source_entries", table="kernel", netns=given.NETNS, source=source)


LIMIT = series("conntrack_limit", table="kernel", netns=given.NETNS)


def test_a_client_stands_out_by_half_of_what_is_denied_or_by_a_tenth_of_a_table() -> None:
    """By its address, because that is what can be limited; a few packets are nobody's noise."""
    one, other = refused("203.0.113.9"), refused("203.0.113.8")

    assert collect(seen({one: 100, other: 90}), "noisy")["top_client"] == "203.0.113.9"
    assert "top_client" not in collect(seen({one: 99}), "noisy")
    assert "top_client" not in collect(seen({one: 300, other: 300, refused("~other"): 900}), "noisy")
    views = seen({one: 9, held("10.0.0.9"): 100, held("10.0.0.8"): 20, LIMIT: 1000})
    assert collect(views, "noisy")["top_client"] == "10.0.0.9"
    assert "top_client" not in collect(seen({held("10.0.0.9"): 99, LIMIT: 1000}), "noisy")


def test_noisy_clients_are_listed_by_each_measure() -> None:
    """Attempts by the client's name, the others by its address; what is not measured by a word."""
    flow = {"reason": "refused", "direction": "egress", "protocol": "tcp"}
    failed = [series("flows_total", outcome="failed", src="shop/a", dst=dst, **flow) for dst in ("x", "y")]
    denied = series("flows_total", outcome="denied", src="shop/b", dst="x", **flow)
    found = collect(seen({failed[0]: 3, failed[1]: 4, denied: 99}), "noisy")["noisy"]

    assert found["failed"] == ({"client": "shop/a", "count": 7},)
    assert found["denied"] == {"no_data": "no_policies"}
    assert found["connections"] == {"no_data": "not_measured"}


@pytest.mark.parametrize(
    ("topic", "given_by"),
    [
        ("drops", "top_rule"),
        ("loads", "missing"),
        ("maps", "top_map"),
        ("noisy", "top_client"),
        ("policies", "changed_last"),
    ],
)
def test_lint_knows_what_a_topic_gives(topic: str, given_by: str) -> None:
    """A later step may refer to it."""
    assert Collect().provides({"what": (topic, "slo")}) == {given_by}
