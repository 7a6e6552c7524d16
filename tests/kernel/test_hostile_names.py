"""Names of anybody's choice: of namespaces, of cgroups and of commands, from the kernel to every reader."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unicodedata
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from netsre import conventions as c
from netsre.adapters import processes
from netsre.adapters.bpf import holders
from netsre.app.sensors.conntrack import ConntrackSensor
from tests import prometheus
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import REFUSED_PORT
from tests.kernel.cgroups import hierarchy
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("ip", "netns", "prometheus")]
HOSTILE = (
    b'"} 9\n# EOF\n\\n\\\x1b[2J\x1b]0;owned\x07\xff\xc3\xa9\xe2\x80\xae\r\t{x="\x0b\x1c\xc2\x85\xe2\x80\xa8'
)
"""Ends a label, a line and the answer; clears a terminal; is no UTF-8; turns what follows around."""
ODD = re.compile(r"-odd-|owned|\\xff|# EOF")
"""In the names that are made here, as the agent writes them, and in no other's."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LONGEST = 255
"""Bytes of the name of a file or of a cgroup."""

_LOAD = """
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
number = 321 if sys.argv[2] == "x86_64" else 280
libc.syscall(number, 5, ctypes.create_string_buffer(struct.pack("<II", 1, 0)), 8)
"""
_CONNECT = """
import socket, sys
for _ in range(3):
    with socket.socket() as client:
        client.connect_ex(("127.0.0.1", int(sys.argv[1])))
"""


@contextlib.contextmanager
def namespaces() -> Iterator[list[bytes]]:
    """Make network namespaces: of a name that is hostile, and of the longest."""
    prefix = processes.this_process().name("test", "odd").encode() + b"-"
    made = [prefix + HOSTILE, prefix + b"\xff" * (LONGEST - len(prefix))]
    try:
        for name in made:
            subprocess.run([b"ip", b"netns", b"add", name], check=True)
            subprocess.run([b"ip", b"-n", name, b"link", b"set", b"lo", b"up"], check=True)
        yield made
    finally:
        for name in made:
            subprocess.run([b"ip", b"netns", b"del", name], check=False)


@contextlib.contextmanager
def cgroup() -> Iterator[pathlib.Path]:
    """Make a cgroup of a service that is called badly, thousands of bytes below the root."""
    top = hierarchy() / processes.this_process().name("test", "odd")
    # A line feed is the one thing that the kernel refuses.
    last = HOSTILE.replace(b"\n", b"") + b".service"
    path = pathlib.Path(top, *["\\x" * 120] * 14, os.fsdecode(last))
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        wait_until(lambda: not (path / "cgroup.procs").read_text(encoding="ascii"))
        while path != hierarchy():
            path.rmdir()
            path = path.parent


def connect(directory: pathlib.Path) -> None:
    """Connect from inside of a cgroup, on the host's own loopback."""

    def enter() -> None:
        (directory / "cgroup.procs").write_text("0", encoding="ascii")

    command = [sys.executable, "-c", _CONNECT, str(REFUSED_PORT)]
    subprocess.run(command, preexec_fn=enter, check=True)


def load(command: bytes) -> None:
    """Have a process of this name load a program that the kernel refuses."""
    words = [sys.executable, "-c", _LOAD, command.hex(), os.uname().machine]
    subprocess.run(words, check=True)


@pytest.fixture(scope="module", name="log")
def _log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return where the agent writes its flow log."""
    return tmp_path_factory.mktemp("odd") / "flows.jsonl"


@pytest.fixture(scope="module", name="agent")
def _agent(log: pathlib.Path) -> Iterator[Running]:
    """Run an agent that has seen every kind of hostile name at work; a test only reads it."""
    with namespaces() as made, cgroup() as directory, running("--flow-log", str(log)) as agent:
        for name in made:
            connecting = [sys.executable, "-c", _CONNECT, str(REFUSED_PORT)]
            subprocess.run([b"ip", b"netns", b"exec", name, *map(os.fsencode, connecting)], check=True)
        connect(directory)
        for command in (HOSTILE[:15], HOSTILE[12:27], b"\xff" * 15):
            load(command)
        # Who is new is looked up within half a second or so.
        assert wait_until(lambda: len(odd(agent)) == 3)
        yield agent


def odd(agent: Running) -> dict[str, float]:
    """Return the refused attempts of those whose names are ours, by name."""
    found = {}
    for (name, pairs), value in agent.samples().items():
        labels = dict(pairs)
        if name == c.FLOWS and labels["reason"] == "refused" and ODD.search(labels["src"]):
            found[labels["src"]] = value
    return found


def fetched(agent: Running, accept: str) -> str:
    """Return the answer in a form."""
    connection = http.client.HTTPConnection(agent.address, timeout=PATIENCE)
    connection.request("GET", "/metrics", headers={"Accept": accept})
    body = connection.getresponse().read()
    connection.close()
    return body.decode()


def controls(written: str) -> set[str]:
    """Return what a terminal obeys, or turns around, instead of showing it; the end of a line is none."""
    kinds = {"Cc", "Cf", "Zl", "Zp"}
    return {char for char in written if unicodedata.category(char) in kinds and char != "\n"}


def test_both_forms_say_the_same_and_every_series_once(agent: Running) -> None:
    """Whatever is called anything has its three attempts, and ends neither its line nor the answer."""
    seen = []
    for accept, parse in (("text/plain; version=0.0.4", text), (OPENMETRICS, openmetrics)):
        samples = [sample for family in parse(fetched(agent, accept)) for sample in family.samples]
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
        assert len(keys) == len(set(keys))
        flows = {dict(pairs)["src"] for name, pairs in keys if name == c.FLOWS}
        owners = {dict(pairs)["owner"] for name, pairs in keys if name == c.BPF_PROGRAM_LOADS}
        # Between the two answers the node's other processes go on, and may appear under their own names.
        seen.append((set(filter(ODD.search, flows)), set(filter(ODD.search, owners))))

    assert seen[0] == seen[1]
    assert set(odd(agent).values()) == {3}
    assert len(seen[0][1]) == 3


def test_no_reader_of_the_agent_stumbles(agent: Running) -> None:
    """Names stand in the kernel's own lists too, such as that of mounts: every sensor goes on reading."""
    source = (c.AGENT_READ_ERRORS, (("source", ConntrackSensor.name),))

    def tables_are_read() -> bool:
        # Each is looked at every five seconds. Of those that others fill just now a look may fail.
        before = agent.samples()[source]
        time.sleep(6)
        return agent.samples()[source] == before

    assert agent.failed() == {}
    assert wait_until(tables_are_read)


def test_pinned_maps_are_found_beside_such_names(agent: Running) -> None:
    """Whoever lists what is mounted meets the names of namespaces as well."""
    del agent
    found = list(holders.by_files())

    assert all(held is None or isinstance(held.holder, str) for held in found)


def test_doctor_reads_the_node_beside_such_names(agent: Running) -> None:
    """What looks at the node's mounts and namespaces comes to its end, and prints no control characters."""
    del agent
    for words in (("doctor",), ("doctor", "--json")):
        done = subprocess.run([sys.executable, "-m", "netsre", *words], capture_output=True, check=False)
        assert b"Traceback" not in done.stderr
        assert controls((done.stdout + done.stderr).decode()) == set()


def test_a_prometheus_takes_every_name_as_it_is(agent: Running, tmp_path: pathlib.Path) -> None:
    """A real one: no sample is refused, and its label is what the agent says."""
    job = f'{{"job_name": "a", "static_configs": [{{"targets": ["{agent.address}"]}}]}}'
    configured = f'{{"global": {{"scrape_interval": "1s"}}, "scrape_configs": [{job}]}}\n'
    directory = tmp_path / "prometheus"
    directory.mkdir()
    with prometheus.running(directory, configured) as (_, port):

        def asked(query: str) -> list[dict[str, str]]:
            words = urllib.parse.urlencode({"query": query})
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{words}") as reply:
                return [one["metric"] for one in json.load(reply)["data"]["result"]]

        assert wait_until(lambda: asked("up == 1") != [])
        named = {metric["src"] for metric in asked(f'{c.FLOWS}{{reason="refused"}}')}
        logged = (directory / "log").read_text(encoding="utf-8")

    assert set(odd(agent)) <= named
    assert "level=error" not in logged
    assert "err=" not in logged


def run(*words: str) -> str:
    """Return what a command says, its complaints too."""
    done = subprocess.run([sys.executable, "-m", "netsre", *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("view", ["flows", "tcp", "conntrack", "drops", "bpf"])
def test_the_live_view_shows_names_and_obeys_none(agent: Running, view: str) -> None:
    """No control character of anybody's reaches a terminal, in neither form."""
    words = ("top", "--agent", f"http://{agent.address}", "--view", view, "--interval", "1s")
    for form in ((), ("--json",)):
        assert controls(run(*words, "--once", *form)) == set()


def test_the_flow_log_shows_names_and_obeys_none(agent: Running, log: pathlib.Path) -> None:
    """The same of its lines, as they are on disk and as the command shows them."""
    del agent
    assert wait_until(lambda: log.read_text(encoding="utf-8").count('"reason":"refused"') >= 9)
    written = log.read_text(encoding="utf-8")
    names = {json.loads(line)["src"]["name"] for line in written.splitlines()}

    assert any("owned" in name for name in names)
    for shown in (written, run("flows", "--file", str(log)), run("flows", "--file", str(log), "--json")):
        assert controls(shown) == set()


def test_what_the_verifier_refused_is_told_without_control_characters(agent: Running) -> None:
    """The names of those whose programs failed are on a page of their own."""
    status, body = agent.get("/bpf/failures")

    assert status == 200
    assert controls(body) == set()
    assert json.loads(body)["failures"]
