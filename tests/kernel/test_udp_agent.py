"""Attempts over UDP from the kernel to the wire, to the flow log, and to whoever reads them."""

import contextlib
import functools
import pathlib
import signal
import socket
import subprocess
import sys
from collections import Counter

import jsonschema
import pytest

from netsre import conventions as c
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.session import Session, open_sessions
from netsre.app import resources
from netsre.app.schemas import published
from netsre.datapath.probes import FLOWS, UDP
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, REFUSED_PORT
from tests.kernel.cgroups import cgroup
from tests.kernel.datagrams import SILENT_PORT, connected, serving, told, witnessed
from tests.kernel.test_flow_log_agent import lines
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

DNS = 53
RULES = """
apiVersion: netsre.dev/v1
kind: Workloads
metadata: {name: test}
spec:
  workloads:
    - {name: dns, cidrs: [0.0.0.0/0, '::/0'], ports: [53]}
    - {name: batch, cgroups: ['*/batch/*']}
"""


def rules(directory: pathlib.Path) -> str:
    """Write the rules of these tests and return where."""
    path = directory / "site.yaml"
    path.write_text(RULES, encoding="ascii")
    return str(path)


def flows(agent: Running, src: str) -> dict[tuple[str, str, str], int]:
    """Return attempts of a client by protocol, destination and reason, as the wire says."""
    found: Counter[tuple[str, str, str]] = Counter()
    for (name, pairs), value in agent.samples().items():
        labels = dict(pairs)
        if name == c.FLOWS and labels["src"] == src:
            assert labels["direction"] == "egress"
            found[labels["protocol"], labels["dst"], labels["reason"]] += int(value)
    return dict(found)


def test_both_protocols_come_together_under_the_names_of_both_ends(tmp_path: pathlib.Path) -> None:
    """A resolver by its port, silence and refusals by the class of their address; beside them TCP; logged."""
    path = tmp_path / "flows.jsonl"
    options = ("--workloads", rules(tmp_path), "--flow-log", str(path), "--flow-log-sampling", "1")
    with attempts.place() as place, running(*options) as agent, contextlib.ExitStack() as held:
        witnessed(place)
        for family in (socket.AF_INET, socket.AF_INET6):
            with serving(place, family, DNS):
                for _ in range(COUNT):
                    with connected(place, family, DNS) as client:
                        client.send(b"x")
                        assert told(client) == 0
            with connected(place, family, DNS) as client:
                client.send(b"x")
                assert told(client) != 0
            held.enter_context(connected(place, family, SILENT_PORT)).send(b"x")
            place.run(functools.partial(attempts.failing, family, REFUSED_PORT))
        expected = {
            ("udp", "dns", "none"): 2 * COUNT,
            ("udp", "dns", "refused"): 2,
            ("udp", "loopback", "unanswered"): 2,
            ("tcp", "loopback", "refused"): 2 * COUNT,
        }
        assert wait_until(lambda: flows(agent, place.name) == expected)
        timed = {
            dict(pairs)["dst"]: value
            for (name, pairs), value in agent.samples().items()
            if name == f"{c.FLOW_CONNECT_SECONDS}_count"
            and (dict(pairs)["src"], dict(pairs)["protocol"]) == (place.name, "udp")
        }
        assert agent.stop(signal.SIGTERM) == 0
    ours = [line for line in lines(path) if line["src"]["name"] == place.name]

    assert timed == {"dns": 2 * COUNT}
    assert Counter((one["protocol"], one["dst"]["name"], one["reason"]) for one in ours) == expected
    for line in ours:
        jsonschema.validate(line, published.record_schemas()["flow.json"])
    assert {one["dst"]["port"] for one in ours if one["protocol"] == "udp"} == {DNS, SILENT_PORT}
    for protocol, count in (("udp", 2 * COUNT + 4), ("tcp", 2 * COUNT)):
        words = ["flows", "--file", str(path), "--all", "--json", "--src", place.name, "--protocol", protocol]
        shown = subprocess.run(
            [sys.executable, "-m", "netsre", *words], capture_output=True, text=True, check=True, timeout=60
        )
        assert len(shown.stdout.splitlines()) == count


def test_a_client_has_the_name_of_the_cgroup_that_its_socket_was_made_in(tmp_path: pathlib.Path) -> None:
    """By a tracepoint and by a hook: with and without a connected socket."""
    ask = (
        "import socket\n"
        "for way in range(2):\n"
        "    for _ in range(5):\n"
        "        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:\n"
        "            if way: client.connect(('127.0.0.1', 53)); client.send(b'x')\n"
        "            else: client.sendto(b'x', ('127.0.0.1', 53))\n"
    )
    with (
        running("--workloads", rules(tmp_path)) as agent,
        attempts.place() as place,
        cgroup("batch", "job-17") as job,
        serving(place, socket.AF_INET, DNS),
    ):
        job.run(place, ask)
        assert wait_until(lambda: flows(agent, "batch") == {("udp", "dns", "abandoned"): 10})


def test_the_probe_that_is_left_out_is_absent_and_costs_the_others_nothing() -> None:
    """No series, a word of the choice, and those of TCP as ever."""
    with attempts.place() as place, running("--without", "udp") as agent:
        place.run(lambda: attempts.failing(socket.AF_INET, REFUSED_PORT))
        with connected(place, socket.AF_INET, DNS) as client:
            client.send(b"x")

        assert wait_until(lambda: flows(agent, place.name) == {("tcp", "loopback", "refused"): COUNT})
        assert [line for line in agent.get("/readyz")[1].splitlines() if "udp" in line] == [
            "udp: not_wanted: left out with --without; attempts over UDP are not counted"
        ]


def test_each_of_the_two_probes_works_where_the_other_does_not_compile(tmp_path: pathlib.Path) -> None:
    """What they share is there for each then; the reason of the other is about the other alone."""
    for broken, whole in ((UDP, FLOWS), (FLOWS, UDP)):
        source = tmp_path / broken.name
        for part in resources.directory("bpf").rglob("*"):
            if part.is_file():
                there = source / part.relative_to(resources.directory("bpf"))
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(part.read_bytes())
        with (source / broken.source).open("a", encoding="ascii") as text:
            text.write("#error left out\n")
        opened = open_sessions(source, (FLOWS, UDP))
        unfit, session = opened[broken.name], opened[whole.name]

        assert isinstance(unfit, ProbeUnfit)
        assert unfit.reason == "compile_failed"
        assert isinstance(session, Session)
        session.close()
