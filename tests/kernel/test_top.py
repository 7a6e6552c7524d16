"""`netsre top` beside an agent on this kernel: as many as the test has made, over the time that it took."""

import functools
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from tests.kernel import attempts, netstat
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, Place
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

_SECONDS = 8
"""Longer than what the tests make in between takes."""


@pytest.fixture
def agent(place: Place) -> Iterator[Running]:
    """Run an agent for one test.

    Not before the namespace is there: its number may have been that of another one until then.
    """
    del place
    with running("--run-statistics") as agent:
        yield agent


def told(agent: Running, view: str, work: Callable[[], object]) -> dict[str, Any]:
    """Return what a program reads of an interval in which something was done, all of it."""
    command = [sys.executable, "-P", "-m", "netsre", "top", "--agent", f"http://{agent.address}", "--json"]
    command += ["--view", view, "--interval", str(_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # It says so after its first reading.
        assert process.stderr.readline() == f"measuring for {_SECONDS} s\n"
        work()
        assert process.poll() is None, "the interval was over before the work was done"
        said, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert complaints == ""
    document: dict[str, Any] = json.loads(said)
    return document


def rows_of(document: dict[str, Any], section: str, **labels: str) -> list[dict[str, Any]]:
    """Return the rows about something."""
    return [row for row in document[section] if row.items() >= labels.items()]


def connect(place: Place) -> None:
    """Make attempts that are accepted and refused, IPv4 and IPv6."""
    for family in (socket.AF_INET, socket.AF_INET6):
        place.run(functools.partial(attempts.accepted, family))
        place.run(functools.partial(attempts.failing, family, attempts.REFUSED_PORT))


def test_attempts_of_an_interval_are_counted_exactly(agent: Running, place: Place) -> None:
    """Those before it are not in it, as the kernel's own counters of the namespace say too."""
    connect(place)
    assert wait_until(lambda: sum(agent.outcomes(place.name).values()) == 4 * COUNT)
    before = netstat.counters(place.name)
    document = told(agent, "flows", lambda: connect(place))
    grown = netstat.counters(place.name) - before
    (row,) = rows_of(document, "flows", src=place.name)

    assert (row["dst"], row["attempts"], row["failed"], row["denied"]) == (
        "loopback",
        4 * COUNT,
        2 * COUNT,
        0,
    )
    assert (row["failed_share"], row["reason"]) == (0.5, "refused")
    assert (grown["Tcp.ActiveOpens"], grown["Tcp.AttemptFails"]) == (4 * COUNT, 2 * COUNT)
    assert document["seconds"] >= _SECONDS
    assert row["attempts_per_second"] == pytest.approx(4 * COUNT / document["seconds"])
    assert row["connect_p50_seconds"] <= row["connect_p99_seconds"]


def test_latency_is_that_of_the_buckets_the_agent_serves(agent: Running, place: Place) -> None:
    """All connections of this namespace are in the interval, so its buckets are those of the agent."""
    document = told(agent, "flows", lambda: connect(place))
    (row,) = rows_of(document, "flows", src=place.name)
    buckets = {
        Decimal(dict(pairs)["le"]): int(value)
        for (name, pairs), value in agent.samples().items()
        if name == f"{c.FLOW_CONNECT_SECONDS}_bucket" and dict(pairs)["src"] == place.name
    }

    assert buckets[Decimal("Infinity")] == 2 * COUNT
    for key, rank in (("connect_p50_seconds", COUNT), ("connect_p99_seconds", 2 * COUNT)):
        assert row[key] == float(min(bound for bound, count in buckets.items() if count >= rank))


def test_resets_of_an_interval_are_counted_exactly(agent: Running, place: Place) -> None:
    """Those that the node sends for closed ports, and those that its own clients get."""
    before = netstat.counters(place.name)
    document = told(agent, "tcp", lambda: connect(place))
    grown = netstat.counters(place.name) - before
    rows = rows_of(document, "tcp", src=place.name)

    assert sum(row["reset_by_us"] for row in rows) == grown["Tcp.OutRsts"] == 2 * COUNT
    (egress,) = [row for row in rows if row["direction"] == "egress"]
    assert (egress["reset_by_peer"], egress["dst"]) == (2 * COUNT, "loopback")
    assert egress["rtt_p99_seconds"] is not None


def test_connection_tables_are_as_full_as_the_kernel_says(agent: Running, place: Place) -> None:
    """Entries and limit of the namespace, read beside it."""
    document = told(agent, "conntrack", lambda: connect(place))
    (row,) = rows_of(document, "conntrack", netns=place.name)
    limit = namespaces.run(place.name, ["cat", "/proc/sys/net/netfilter/nf_conntrack_max"]).stdout

    assert row["limit"] == int(limit)
    assert row["entries"] >= 2 * COUNT
    assert row["drops"] == row["early_drops"] == 0


def test_drops_of_an_interval_are_counted_exactly(agent: Running, place: Place) -> None:
    """Each refused attempt is a packet for which there was no socket."""
    document = told(agent, "drops", lambda: connect(place))
    (row,) = rows_of(document, "drops", netns=place.name, reason="no_socket")

    assert (row["hook"], row["packets"]) == ("kernel", 2 * COUNT)
    assert not rows_of(document, "benign", netns=place.name, reason="no_socket")


def test_programs_show_what_they_cost_and_probes_are_up(agent: Running, place: Place) -> None:
    """With run-time statistics on, every attempt is a run of the program that counts it."""
    document = told(agent, "bpf", lambda: connect(place))
    (program,) = rows_of(document, "programs", program="netsre_flows")

    assert program["runs"] >= 4 * COUNT
    assert program["ns_per_run"] > 0
    assert {row["state"] for row in document["probes"]} == {"up"}
    assert document["probes_down"] == {}
    assert rows_of(document, "maps", map="flows", owner="netsre")
    assert document["process"]["rss_bytes"] > 0
