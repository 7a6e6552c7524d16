"""How long one change takes until the first packet is decided anew.

A thousand policies for a thousand endpoints are in force, and of one something changes. Who sends to two
ports every millisecond sees from when on the other one is let through: from the start of a command, and from
the moment in which a file is renamed that somebody follows.
"""

import contextlib
import json
import math
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from bench import policy_cluster, policy_node
from bench.lines import Line
from bench.policy_node import CLIENT, PORT, SERVER
from netsre.adapters import namespaces

_ROUNDS: Final = 7
_SECONDS: Final = 60.0
_EVERY_SECONDS: Final = 0.001
_PORTS: Final = (PORT, PORT + 1)
_CHANGES: Final = 30
_PAUSE_SECONDS: Final = 0.15
_IDLE_SECONDS: Final = 60.0
_SERVER: Final = (
    f"- {{name: server, namespace: bench, labels: {{app: server}}, ips: [{SERVER}], interface: server}}\n"
)
_CLIENT: Final = "- {{name: {name}, namespace: bench, labels: {{app: {label}}}, ips: [" + CLIENT + "]}}\n"
_RULE: Final = "\n    - {{from: [{{{peer}}}], ports: [{{protocol: UDP, port: {port}}}]}}"
_POLICY: Final = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: changing, namespace: bench}}
spec:
  podSelector: {{matchLabels: {{app: server}}}}
  ingress:{rules}
"""
_CLIENTS: Final = "podSelector: {matchLabels: {app: client}}"
_OTHERS: Final = "podSelector: {matchLabels: {app: other}}"


@dataclass(frozen=True, slots=True)
class Took:
    """One change, in seconds."""

    active: float
    """From the start of the process to the first packet that is decided anew."""
    busy: float
    """What the process itself had of a processor by then: on a machine with nothing else to do the same."""
    stages: dict[str, float]
    """As the command says: of it, the compiler and the kernel."""

    @property
    def start(self) -> float:
        """Return what passed before the command began to measure: Python and its modules."""
        return self.active - self.stages["total"]

    @property
    def compiled(self) -> float:
        """Return what the compiler took."""
        return sum(self.stages[stage] for stage in ("parse", "resolve", "encode"))

    @property
    def reading(self) -> float:
        """Return the rest: files, what the kernel holds, and the plan."""
        return self.stages["total"] - self.compiled - self.kernel

    @property
    def kernel(self) -> float:
        """Return what writing and the switch took."""
        return self.stages["load"] + self.stages["sync"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of every round."""

    policies: int
    endpoints: int
    changes: tuple[Took, ...]
    followed: "Followed"


@dataclass(frozen=True, slots=True)
class Followed:
    """Of a process that follows the files."""

    seconds: dict[str, tuple[tuple[float, float], ...]]
    """From the rename to the first packet, and of it on a processor, by what changes."""
    idle: float
    """Seconds of a processor in a minute in which nothing changes."""
    resident: int
    """Bytes."""


class _Link:
    """Packets to both ports, all the time, and who waits for them."""

    def __init__(self, client: str, server: str) -> None:
        self._sender = namespaces.inside(client, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._receivers = {port: namespaces.inside(server, partial(_bound, port)) for port in _PORTS}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, name="packets")

    def _send(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            for port in _PORTS:
                self._sender.sendto(b"x", (SERVER, port))

    def first(self, port: int, seconds: float) -> float:
        """Return when a packet comes to a port, on the monotonic clock; those of before are forgotten."""
        receiver = self._receivers[port]
        with contextlib.suppress(BlockingIOError):
            while True:
                receiver.recv(16)
        if not select.select([receiver], [], [], seconds)[0]:
            raise TimeoutError(f"no packet came to port {port}")
        return time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._ended.set()
        self._thread.join()
        for one in (self._sender, *self._receivers.values()):
            one.close()


def _bound(port: int) -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    receiver.bind((SERVER, port))
    return receiver


@dataclass(frozen=True, slots=True)
class _Cluster:
    """The files, and where what is in force stays."""

    home: Path
    namespace: str

    def write(self) -> tuple[int, int]:
        """Write all but the policy that changes; return how many policies and endpoints there are with it."""
        policies, listed = policy_cluster.policies(), policy_cluster.endpoints()
        ours = _listed("client", "client")
        for place, texts in (("policies", policies), ("endpoints", {**listed, "bench.yaml": ours})):
            for name, text in texts.items():
                path = self.home / place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        endpoints = policy_cluster.NAMESPACES * policy_cluster.APPLICATIONS * policy_cluster.REPLICAS
        return len(policies) + 1, endpoints + 2

    def change(self, link: _Link, port: int) -> Took:
        """Let another port through; return how long that took."""
        (self.home / "policies" / "changing.yaml").write_text(_policy({port: _CLIENTS}), encoding="utf-8")
        began = time.monotonic()
        with self.start() as process:
            active = link.first(port, _SECONDS) - began
            busy = _cpu(process.pid)
            said, _ = process.communicate(timeout=_SECONDS)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        document: dict[str, Any] = json.loads(said)
        return Took(active, busy, document["seconds"])

    def start(self, *options: str) -> "subprocess.Popen[str]":
        """Begin the command."""
        words = ["netsre", "policy", "apply", str(self.home / "policies"), "--json", *options]
        places = {"endpoints": "endpoints", "pins": "bpf/policy", "state": "state"}
        for option, where in places.items():
            words += [f"--{option}", str(self.home / where)]
        return namespaces.inside(
            self.namespace,
            lambda: subprocess.Popen([sys.executable, "-P", "-m", *words], stdout=subprocess.PIPE, text=True),
        )

    def rename(self, name: str, text: str, link: _Link, port: int, pid: int) -> tuple[float, float]:
        """Put another file in the place of one; return how long until a packet comes to a port.

        Of it also what a process had of a processor.
        """
        fresh = self.home / ".fresh"
        fresh.write_text(text, encoding="utf-8")
        time.sleep(_PAUSE_SECONDS)
        began, busy = time.monotonic(), _cpu(pid)
        fresh.rename(self.home / name)
        active = link.first(port, _SECONDS) - began
        return active, _cpu(pid) - busy

    def followed(self, link: _Link) -> Followed:
        """Have the files followed, and change them; the client may come to the first port."""
        with self.start("--follow") as process:
            try:
                _hear(process, "following")
                both = _policy({_PORTS[0]: _CLIENTS, _PORTS[1]: _OTHERS})
                self.rename("policies/changing.yaml", both, link, _PORTS[0], process.pid)
                seconds = {what: tuple(self._changes(link, what, process.pid)) for what in _TURNS}
                resident = _resident(process.pid)
                before = _cpu(process.pid)
                time.sleep(_IDLE_SECONDS)
                idle = (_cpu(process.pid) - before) * 60 / _IDLE_SECONDS
            finally:
                process.terminate()
        return Followed(seconds, idle, resident)

    def _changes(self, link: _Link, what: str, pid: int) -> Iterator[tuple[float, float]]:
        for turn in range(1, _CHANGES + 1):
            name, text = _TURNS[what](turn)
            yield self.rename(name, text, link, _PORTS[turn % 2], pid)


def _listed(name: str, label: str) -> str:
    return _SERVER + _CLIENT.format(name=name, label=label)


def _policy(peers: Mapping[int, str]) -> str:
    rules = (_RULE.format(peer=peer, port=port) for port, peer in peers.items())
    return _POLICY.format(rules="".join(rules))


def _other_label(turn: int) -> tuple[str, str]:
    return "endpoints/bench.yaml", _listed("client", ("client", "other")[turn % 2])


def _other_endpoint(turn: int) -> tuple[str, str]:
    return "endpoints/bench.yaml", _listed(f"client-{turn}", ("client", "other")[turn % 2])


def _other_port(turn: int) -> tuple[str, str]:
    return "policies/changing.yaml", _policy({_PORTS[turn % 2]: _CLIENTS})


def _other_network(turn: int) -> tuple[str, str]:
    here, elsewhere = (
        f"ipBlock: {{cidr: {each}}}"
        for each in (IPv4Network((CLIENT, 32 - turn % 16), strict=False), f"172.31.{turn}.0/24")
    )
    return "policies/changing.yaml", _policy({_PORTS[turn % 2]: here, _PORTS[1 - turn % 2]: elsewhere})


_TURNS: Final = MappingProxyType(
    {"label": _other_label, "endpoint": _other_endpoint, "port": _other_port, "network": _other_network}
)
"""What changes with each turn: a file and its text. The last one of each kind lets the first port through."""


def _hear(process: "subprocess.Popen[str]", event: str) -> None:
    for line in process.stdout or ():
        if json.loads(line)["event"] == event:
            return
    raise subprocess.CalledProcessError(process.wait(), process.args)


def _cpu(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def _bpf_file_system(directory: Path) -> Iterator[None]:
    directory.mkdir()
    subprocess.run(["mount", "-t", "bpf", "netsre-bench", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def measure() -> Figures:
    """Apply all, and then change after change."""
    with (
        policy_node.made() as node,
        tempfile.TemporaryDirectory(prefix="netsre-bench-") as directory,
        _bpf_file_system(Path(directory) / "bpf"),
        _Link(node.client, node.server) as link,
    ):
        cluster = _Cluster(Path(directory), node.node)
        sizes = cluster.write()
        cluster.change(link, _PORTS[0])
        changes = [cluster.change(link, _PORTS[(turn + 1) % 2]) for turn in range(_ROUNDS)]
        return Figures(*sizes, tuple(changes), cluster.followed(link))


def _median(several: Sequence[Took], name: str) -> float:
    return float(statistics.median(getattr(one, name) for one in several))


def lines(figures: Figures) -> list[Line]:
    """Return the rows."""
    size = f"{figures.policies} policies for {figures.endpoints} endpoints in force, one rule changed"
    active, busy = (_median(figures.changes, name) for name in ("active", "busy"))
    parts = {
        what: _median(figures.changes, name)
        for what, name in (
            ("Python and its modules", "start"),
            ("reading what there is", "reading"),
            ("compiling", "compiled"),
            ("the kernel", "kernel"),
        )
    }
    split = ", ".join(f"{what} {1000 * took:.0f}" for what, took in parts.items())
    return [
        Line(
            f"{size}: start of `netsre policy apply` to the first packet decided anew",
            f"{1000 * active:.0f} ms ({split}); on a processor for {1000 * busy:.0f} ms",
            "",
            "<= 100 ms",
            active <= 0.1,
        ),
        *_followed_lines(figures),
    ]


def _followed_lines(figures: Figures) -> Iterator[Line]:
    size = f"{figures.policies} policies for {figures.endpoints} endpoints in force, and followed"
    for what, seconds in figures.followed.seconds.items():
        active = sorted(each for each, _ in seconds)
        busy = statistics.median(each for _, each in seconds)
        median, last = statistics.median(active), active[math.ceil(0.99 * len(active)) - 1]
        yield Line(
            f"{size}: rename of a file with another {what} to the first packet decided anew",
            f"{1000 * median:.0f} ms, p99 {1000 * last:.0f} of {len(active)}; on a processor for "
            f"{1000 * busy:.0f} ms",
            "",
            "<= 100 ms",
            median <= 0.1,
        )
    idle, resident = figures.followed.idle, figures.followed.resident
    yield Line(
        f"{size}: while nothing changes", f"{1000 * idle:.0f} ms of a processor in a minute", "", "", None
    )
    yield Line(f"{size}: memory of the process", f"{resident / 1e6:.0f} MB", "", "", None)


if __name__ == "__main__":
    for line in lines(measure()):
        print(line.row())
