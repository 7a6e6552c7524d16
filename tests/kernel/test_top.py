"""`netsre top` beside an agent on this kernel: as many as the test has made, over the time that it took."""

import contextlib
import functools
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from tests.kernel import attempts, netstat
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, Place
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

_SECONDS: Final = 12
"""Longer than it takes all to begin, and what is made in between."""
_VIEWS: Final = ("flows", "tcp", "conntrack", "drops", "bpf")

Document = dict[str, Any]


@dataclass(frozen=True)
class Interval:
    """What all views told of one interval, in which something happened in a namespace."""

    agent: Running
    place: Place
    documents: Mapping[str, Document]
    grown: Counter[str]
    """What the kernel's own counters of the namespace counted meanwhile."""
    buckets: Mapping[Decimal, int]
    """What the agent's buckets of the time to connect grew by, each with those below it."""


@pytest.fixture(scope="module", name="interval")
def _interval() -> Iterator[Interval]:
    """Run an agent, and a program for each view, over the same attempts, of which there were some before.

    The agent not before the namespace is there: its number may have been that of another one until then.
    """
    with attempts.place() as place, running("--run-statistics") as agent:
        connect(place)
        assert wait_until(lambda: sum(agent.outcomes(place.name).values()) == 4 * COUNT)
        with contextlib.ExitStack() as stack:
            programs = {view: stack.enter_context(_top(agent, view)) for view in _VIEWS}
            for program in programs.values():
                assert program.stderr is not None
                # It says so after its first reading.
                assert program.stderr.readline() == f"measuring for {_SECONDS} s\n"
            before, below = netstat.counters(place.name), _buckets(agent, place)
            connect(place)
            grown = netstat.counters(place.name) - before
            over = [view for view, program in programs.items() if program.poll() is not None]
            assert not over, "the interval was over before the work was done"
            documents = {view: _told(program) for view, program in programs.items()}
        buckets = {bound: count - below[bound] for bound, count in _buckets(agent, place).items()}
        yield Interval(agent, place, documents, grown, buckets)


def _buckets(agent: Running, place: Place) -> dict[Decimal, int]:
    return {
        Decimal(dict(pairs)["le"]): int(value)
        for (name, pairs), value in agent.samples().items()
        if name == f"{c.FLOW_CONNECT_SECONDS}_bucket" and dict(pairs)["src"] == place.name
    }


def _top(agent: Running, view: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "netsre", "top", "--agent", f"http://{agent.address}", "--json"]
    command += ["--view", view, "--interval", str(_SECONDS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _told(program: "subprocess.Popen[str]") -> Document:
    said, complaints = program.communicate(timeout=60)
    assert (program.returncode, complaints) == (0, "")
    document: Document = json.loads(said)
    return document


def rows_of(document: Document, section: str, **labels: str) -> list[Document]:
    """Return the rows about something."""
    return [row for row in document[section] if row.items() >= labels.items()]


def connect(place: Place) -> None:
    """Make attempts that are accepted and refused, IPv4 and IPv6."""
    for family in (socket.AF_INET, socket.AF_INET6):
        place.run(functools.partial(attempts.accepted, family))
        place.run(functools.partial(attempts.failing, family, attempts.REFUSED_PORT))


def test_attempts_of_an_interval_are_counted_exactly(interval: Interval) -> None:
    """Those before it are not in it, as the kernel's own counters of the namespace say too."""
    document, grown = interval.documents["flows"], interval.grown
    (row,) = rows_of(document, "flows", src=interval.place.name)

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


def test_latency_is_that_of_the_buckets_the_agent_serves(interval: Interval) -> None:
    """Of what they grew by: earlier connections have no part in it."""
    (row,) = rows_of(interval.documents["flows"], "flows", src=interval.place.name)

    assert interval.buckets[Decimal("Infinity")] == 2 * COUNT
    for key, rank in (("connect_p50_seconds", COUNT), ("connect_p99_seconds", 2 * COUNT)):
        assert row[key] == float(min(bound for bound, count in interval.buckets.items() if count >= rank))


def test_resets_of_an_interval_are_counted_exactly(interval: Interval) -> None:
    """Those that the node sends for closed ports, and those that its own clients get."""
    rows = rows_of(interval.documents["tcp"], "tcp", src=interval.place.name)

    assert sum(row["reset_by_us"] for row in rows) == interval.grown["Tcp.OutRsts"] == 2 * COUNT
    (egress,) = [row for row in rows if row["direction"] == "egress"]
    assert (egress["reset_by_peer"], egress["dst"]) == (2 * COUNT, "loopback")
    assert egress["rtt_p99_seconds"] is not None


def test_connection_tables_are_as_full_as_the_kernel_says(interval: Interval) -> None:
    """Entries and limit of the namespace, read beside it."""
    (row,) = rows_of(interval.documents["conntrack"], "conntrack", netns=interval.place.name)
    limit = namespaces.run(interval.place.name, ["cat", "/proc/sys/net/netfilter/nf_conntrack_max"]).stdout

    assert row["limit"] == int(limit)
    assert row["entries"] >= 2 * COUNT
    assert row["drops"] == row["early_drops"] == 0


def test_drops_of_an_interval_are_counted_exactly(interval: Interval) -> None:
    """Each refused attempt is a packet for which there was no socket."""
    document = interval.documents["drops"]
    (row,) = rows_of(document, "drops", netns=interval.place.name, reason="no_socket")

    assert (row["hook"], row["packets"]) == ("kernel", 2 * COUNT)
    assert not rows_of(document, "benign", netns=interval.place.name, reason="no_socket")


def test_programs_show_what_they_cost_and_probes_are_up(interval: Interval) -> None:
    """With run-time statistics on, every attempt is a run of the program that counts it."""
    document = interval.documents["bpf"]
    (program,) = rows_of(document, "programs", program="netsre_flows")

    assert program["runs"] >= 4 * COUNT
    assert program["ns_per_run"] > 0
    assert {row["state"] for row in document["probes"]} == {"up"}
    assert document["probes_down"] == {}
    assert rows_of(document, "maps", map="flows", owner="netsre")
    assert document["process"]["rss_bytes"] > 0
