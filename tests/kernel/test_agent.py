"""The agent as a process: what it serves, what it keeps, and what it leaves."""

import functools
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsre import conventions as c
from netsre.app.resources import directory
from netsre.datapath.probes import FLOWS
from netsre.metrics.registry import REGISTRY
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running, start
from tests.kernel.programs import freed, held_by
from tests.machine import wait_until

OF_TROUBLE = frozenset(
    {
        c.CONNTRACK_GROWTH,
        c.CONNTRACK_FULL_SECONDS,
        c.CONNTRACK_TOP_SOURCE,
        c.CONNTRACK_TOP_SOURCE_SHARE,
        c.BPF_LOADS_FAILING,
        c.BPF_MAP_EXHAUSTION,
    }
)
"""Of tables watched for minutes or half full, of failed loads, of maps of others that are not there always.

test_conntrack_tables.py, test_loads.py and test_maps.py have these.
"""

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


@pytest.fixture
def agent() -> Iterator[Running]:
    """Run an agent for one test."""
    running = start()
    yield running
    assert running.stop(signal.SIGTERM) == 0


def test_scripted_attempts_arrive_on_the_wire_by_outcome_in_both_families(agent: Running) -> None:
    """Accepted, refused and dropped, IPv4 and IPv6, from a namespace of this test: exactly as many."""
    with attempts.place() as place:
        for family in (socket.AF_INET, socket.AF_INET6):
            place.run(functools.partial(attempts.accepted, family))
            place.run(functools.partial(attempts.failing, family, attempts.REFUSED_PORT))
        with attempts.waiting(place, socket.AF_INET), attempts.waiting(place, socket.AF_INET6):
            # However late it is noticed, nothing but stalls may come of them.
            stalled = ("failed", "stalled")
            assert wait_until(lambda: agent.outcomes(place.name).get(stalled, 0) >= 2 * attempts.COUNT)
            counted = agent.outcomes(place.name)
        after = agent.outcomes(place.name)

    expected = {
        ("delivered", "none"): 2 * attempts.COUNT,
        ("failed", "refused"): 2 * attempts.COUNT,
        ("failed", "stalled"): 2 * attempts.COUNT,
    }
    assert counted == expected
    assert after == expected


def test_every_metric_of_the_agent_is_served_with_the_registrys_labels(tmp_path: Path) -> None:
    """Nothing promised is missing, and nothing is served that is not promised."""
    options = ("--control", str(tmp_path / "agent.sock"), "--effects", str(tmp_path / "effects"))
    # Of loads the agent's own are served nevertheless.
    more = ("--cpu-budget", "1000%", "--without", "loads")
    with attempts.place() as place, running(*options, *more) as agent:
        place.run(lambda: attempts.accepted(socket.AF_INET, 1))
        place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT, 1))
        with attempts.waiting(place, socket.AF_INET, 1):
            # A second later its SYN is sent again.
            assert wait_until(lambda: any(name == c.TCP_RETRANSMITS for name, _ in agent.samples()))
        # Its own CPU is told over ten seconds.
        assert wait_until(lambda: (c.AGENT_CPU, ()) in agent.samples(), seconds=60)
        served = {name: {label for label, _ in pairs} - {"le"} for name, pairs in agent.samples()}

    promised = {
        m.name: set(m.labels) for m in REGISTRY.values() if m.exporter == "agent" and m.name not in OF_TROUBLE
    }
    histograms = {m.name for m in REGISTRY.values() if m.kind == "histogram"}
    folded = {}
    for name, labels in served.items():
        stem = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
        folded[stem if stem in histograms else name] = labels
    assert {name: labels for name, labels in folded.items() if name not in OF_TROUBLE} == promised


def test_kernel_conntrack_is_read_in_each_namespace(agent: Running) -> None:
    """A namespace without any process has its own table, and entries made there are seen there."""
    with attempts.place() as place:
        place.run(lambda: attempts.accepted(socket.AF_INET))
        labels = (("netns", place.name), ("table", "kernel"))
        # The list of namespaces is refreshed every five seconds.
        assert wait_until(lambda: (c.CONNTRACK_ENTRIES, labels) in agent.samples())
        entries = agent.samples()[(c.CONNTRACK_ENTRIES, labels)]
        limit = agent.samples()[(c.CONNTRACK_LIMIT, labels)]

    assert entries >= attempts.COUNT
    assert limit == int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text(encoding="ascii"))


def test_the_serving_process_keeps_few_capabilities_and_no_compiler(agent: Running) -> None:
    """Exactly the three that it needs, no way to more, and no libbcc in memory."""
    status = Path(f"/proc/{agent.process.pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    # BPF, PERFMON, NET_ADMIN
    expected = sum(1 << number for number in (39, 38, 12))

    assert int(fields["CapEff"], 16) == expected
    assert int(fields["CapPrm"], 16) == expected
    assert int(fields["CapBnd"], 16) == expected
    assert fields["NoNewPrivs"].strip() == "1"
    maps = Path(f"/proc/{agent.process.pid}/maps").read_text(encoding="utf-8")
    assert "libbcc" not in maps


def test_a_path_that_is_not_there_says_what_is(agent: Running) -> None:
    """404 with the list; health and readiness answer."""
    assert agent.get("/nothing") == (
        404,
        "no /nothing here; there is /metrics, /healthz, /readyz, /bpf/failures\n",
    )
    assert agent.get("/healthz") == (200, "ok\n")
    assert agent.get("/readyz") == (200, "ready\n")


def test_kill_9_leaves_no_program_in_the_kernel() -> None:
    """The kernel frees what the dead agent held."""
    running = start()
    ours = held_by(running.process.pid)
    running.stop(signal.SIGKILL)

    assert ours
    assert freed(ours)


def test_a_taken_port_is_one_line_and_exit_3() -> None:
    """The line names the address and the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "netsre", "agent", "--listen", address],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 3
    assert done.stderr == f"error: agent address {address} is taken; choose another with --listen HOST:PORT\n"


@pytest.mark.requires("setpriv")
def test_without_root_the_agent_says_what_it_lacks() -> None:
    """One line that names the capabilities and the command; exit 3."""
    done = subprocess.run(
        ["setpriv", "--bounding-set=-bpf", "--inh-caps=-all", sys.executable, "-m", "netsre", "agent"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr == "error: the agent lacks CAP_BPF; run it as root: sudo netsre agent\n"


def test_without_what_blocks_the_flow_probe_is_served(tmp_path: Path) -> None:
    """Programs that do not compile: blocking is down with the reason, and flows are counted as ever."""
    broken = tmp_path / "bpf"
    broken.mkdir()
    for name in ("include", "shim", *FLOWS.shared, FLOWS.source):
        (broken / name).symlink_to(directory("bpf") / name)
    (broken / "block.c").write_text("this is not C\n", encoding="ascii")
    options = ("--control", str(tmp_path / "agent.sock"), "--effects", str(tmp_path / "effects"))
    with attempts.place() as place, running(*options, "--programs", str(broken)) as agent:
        place.run(lambda: attempts.accepted(socket.AF_INET))
        samples, outcomes, ready = agent.samples(), agent.outcomes(place.name), agent.get("/readyz")

    failed = (("owner", "netsre"), ("reason", "compile_failed"), ("result", "error"), ("type", "sched_cls"))
    assert samples[(c.AGENT_PROBE_UP, (("probe", "block"), ("reason", "compile_failed")))] == 0
    assert samples[(c.AGENT_PROBE_UP, (("probe", "flows"), ("reason", "")))] == 1
    assert samples[(c.BPF_PROGRAM_LOADS, failed)] == 1
    assert ready[0] == 200
    assert ready[1].startswith("ready\n")
    assert "\nblock: compile_failed: bcc could not compile block.c: " in ready[1]
    assert ready[1].endswith("; no source can be blocked\n")
    assert outcomes == {("delivered", "none"): attempts.COUNT}


def test_one_probe_that_is_broken_is_named_and_the_others_are_served(tmp_path: Path) -> None:
    """Down in /metrics with the reason, a line of /readyz, which is ready, and everything else as ever."""
    broken = tmp_path / "bpf"
    shutil.copytree(directory("bpf"), broken)
    (broken / "tcp.c").write_text("this is not C\n", encoding="ascii")
    # Blocking is loaded where somebody may ask for it, or where another agent left a change on this host.
    asked = ("--control", str(tmp_path / "agent.sock"), "--effects", str(tmp_path / "effects"))
    with attempts.place() as place, running("--programs", str(broken), *asked) as agent:
        place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT))
        samples, outcomes = agent.samples(), agent.outcomes(place.name)
        status, ready = agent.get("/readyz")

    up = {labels: value for (name, labels), value in samples.items() if name == c.AGENT_PROBE_UP}
    dropped = {"hook": "kernel", "netns": place.name, "reason": "no_socket", "rule": ""}
    assert up.pop((("probe", "tcp"), ("reason", "compile_failed"))) == 0
    assert up.pop((("probe", "services"), ("reason", "not_needed"))) == 1
    assert up == {
        (("probe", name), ("reason", "")): 1
        for name in ("block", "drops", "flows", "inventory", "loads", "maps", "udp")
    }
    assert outcomes == {("failed", "refused"): attempts.COUNT}
    assert samples[(c.DROPS, tuple(sorted(dropped.items())))] == attempts.COUNT
    assert not any(name.startswith("netsre_tcp_") for name, _ in samples)
    assert (status, ready.count("\n")) == (200, 2)
    assert ready.startswith("ready\ntcp: compile_failed: bcc could not compile tcp.c: ")
    assert "tcp.c:1" in ready
    assert ready.endswith("; segments sent again, resets and round-trip times are not counted\n")


def test_tcp_and_drops_arrive_on_the_wire_by_the_name_of_the_namespace(agent: Running) -> None:
    """Refused, broken and timed connections, a SYN that is repeated, and what the kernel drops of them."""
    with attempts.place() as place:
        place.run(functools.partial(attempts.accepted, socket.AF_INET))
        place.run(functools.partial(attempts.failing, socket.AF_INET6, attempts.REFUSED_PORT))
        end = {"dst": "loopback", "protocol": "tcp", "src": place.name}

        def value(metric: str, **labels: str) -> float:
            return agent.samples().get((metric, tuple(sorted(labels.items()))), 0)

        with attempts.waiting(place, socket.AF_INET):
            repeated = {**end, "direction": "egress", "kind": "syn"}
            # Who looks late finds some that were sent a second time.
            assert wait_until(lambda: value(c.TCP_RETRANSMITS, **repeated) >= attempts.COUNT)
        sent = value(c.TCP_RESETS, by="us", reason="no_socket", direction="ingress", **end)
        seen = value(c.TCP_RESETS, by="peer", reason="refused", direction="egress", **end)
        timed = [
            value(f"{c.FLOW_RTT_SECONDS}_count", direction=direction, **end)
            for direction in ("egress", "ingress")
        ]
        dropped = value(c.DROPS, hook="kernel", reason="no_socket", rule="", netns=place.name)

    assert (sent, seen) == (attempts.COUNT, attempts.COUNT)
    assert timed == [attempts.COUNT, attempts.COUNT]
    assert dropped == attempts.COUNT


def test_what_was_left_out_on_request_keeps_nobody_waiting() -> None:
    """Not even connections: who starts an agent without them knows what it is for."""
    with running("--without", "flows", "--without", "drops") as agent:
        status, ready = agent.get("/readyz")
        samples = agent.samples()

    assert status == 200
    assert [line.split(";")[0] for line in ready.splitlines()] == [
        "ready",
        "drops: not_wanted: left out with --without",
        "flows: not_wanted: left out with --without",
    ]
    assert [labels for name, labels in samples if name == c.AGENT_PROBE_LEFT_OUT] == [
        (("probe", "drops"),),
        (("probe", "flows"),),
    ]


def test_without_a_working_probe_the_rest_is_served(tmp_path: Path) -> None:
    """A source that does not compile: one line, probe down with the reason, conntrack goes on, not ready."""
    broken = tmp_path / "bpf"
    for name in ("include", "shim"):
        (broken / name).parent.mkdir(exist_ok=True)
        (broken / name).symlink_to(directory("bpf") / name)
    (broken / "flows.c").write_text("this is not C\n", encoding="ascii")
    running = start("--programs", str(broken))
    try:
        samples = running.samples()
        status, ready = running.get("/readyz")
    finally:
        running.stop(signal.SIGTERM)

    assert samples[(c.AGENT_PROBE_UP, (("probe", "flows"), ("reason", "compile_failed")))] == 0
    assert any(name == c.CONNTRACK_ENTRIES for name, _ in samples)
    assert (status, ready.split(":")[:2]) == (503, ["flows", " compile_failed"])
