"""Traffic through a node that polices it: without anything, by netsre, by nftables, and by empty programs.

Each kind of traffic runs under every one of them, round after round, each round in an order by chance: nobody
always has to bear what another one left to do, such as connections that the kernel still tracks.
What counts is the ratio to the run without anything in the same round; nothing is measured twice in each
round, which shows the noise. Links are veth pairs as they come: TCP goes through the node in pieces of up
to 64 KiB (GSO and GRO are on).
"""

import contextlib
import random
import signal
import socket
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bench import policy_node, traffic
from bench.lines import Line
from bench.policy_node import CLOSED, PORT, SERVER, Node
from bench.traffic import Traffic, result
from netsre.adapters import namespaces

_ROUNDS: Final = 25
_SECONDS: Final = 0.4
_HOLD_MS: Final = 2_000
_SEED: Final = 1
_BUDGET: Final = 0.05
_NOISE: Final = 0.1
"""By how much half of the runs may differ from themselves before they say nothing about the budget."""
NOTHING, AGAIN, NETSRE, NFTABLES, EMPTY = (
    "nothing",
    "nothing again",
    "netsre",
    "nftables",
    "empty programs",
)


class Run(NamedTuple):
    """One run of one kind of traffic."""

    rate: float
    """What got through in a second."""
    cost: float
    """Nanoseconds of processors for each of it, of client, server and the kernel's own threads."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of traffic."""

    what: str
    each: str
    unit: str
    scale: float
    """What a figure is divided by to be in that unit."""
    run: "Callable[[Programs, Node], Run]"
    has_budget: bool


@dataclass(frozen=True, slots=True)
class Programs:
    """What makes traffic."""

    connections: Traffic
    volume: Traffic


@dataclass(frozen=True, slots=True)
class Share:
    """A ratio to the runs without anything, by rounds."""

    middle: float
    low: float
    high: float
    """The quarters below and above."""

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Share":
        """Return median and quarters."""
        low, middle, high = statistics.quantiles(ratios, n=4)
        return cls(middle, low, high)

    def __str__(self) -> str:
        """Return it in per cent, with the half of all rounds that is around it."""
        return f"{self.middle:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one kind of traffic."""

    kind: Kind
    rate: float
    """Without anything; a median."""
    rates: Mapping[str, Share]
    costs: Mapping[str, Share]


def _stream(streams: int) -> Callable[[Programs, Node], Run]:
    def run(programs: Programs, node: Node) -> Run:
        return _run(programs.volume, node, ("sink", "stream"), (streams, _SECONDS), "bytes")

    return run


def _flood(programs: Programs, node: Node) -> Run:
    # A datagram is sent when it is where the server reads: one by one, all the way, by who sends.
    return _run(programs.volume, node, ("absorb", "flood"), (_SECONDS,), "made")


def _connect(programs: Programs, node: Node) -> Run:
    return _run(programs.connections, node, ("serve", "connect"), (0, _SECONDS, _HOLD_MS), "answered")


def _connect_anew(programs: Programs, node: Node) -> Run:
    # Fewer in a run than the client has ports: none of them meets what is known of one before.
    node.forget()
    return _connect(programs, node)


def _run(program: Traffic, node: Node, words: tuple[str, str], asked: tuple[object, ...], unit: str) -> Run:
    kernel = _kernel_threads_ns()
    with program.serving(SERVER, PORT, node.server, words[0]) as server:
        sender = program.start(words[1], SERVER, PORT, *asked, namespace=node.client)
        made = result(sender, _SECONDS)
        server.send_signal(signal.SIGTERM)
        got = result(server, _SECONDS)
    kernel = _kernel_threads_ns() - kernel
    if not made[unit] or not any(got[word] for word in got if word != "cpu_ns"):
        message = f"nothing got through: {dict(made)}, {dict(got)}"
        raise RuntimeError(message)
    spent = made["cpu_ns"] + got["cpu_ns"] + kernel
    return Run(made[unit] / (made["nanoseconds"] / 1e9), spent / made[unit])


def _kernel_threads_ns() -> int:
    """Return what the threads of the kernel that take packets had of processors so far."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8").startswith("ksoftirqd/"):
                found += int((path.parent / "schedstat").read_text(encoding="ascii").split()[0])
    return found


KINDS: Final = (
    Kind("TCP, one stream", "byte", "Gbit/s", 1e9 / 8, _stream(1), has_budget=True),
    Kind("TCP, eight streams", "byte", "Gbit/s", 1e9 / 8, _stream(8), has_budget=True),
    Kind(
        "UDP, datagrams of 16 bytes one way", "datagram", "thousand packets/s", 1e3, _flood, has_budget=False
    ),
    Kind(
        "TCP, connections opened and reset",
        "connection",
        "thousand connections/s",
        1e3,
        _connect,
        has_budget=True,
    ),
    Kind(
        "TCP, connections opened and reset, between ports of which nothing is known",
        "connection",
        "thousand connections/s",
        1e3,
        _connect_anew,
        has_budget=True,
    ),
)


def measure() -> list[Figures]:
    """Run every kind of traffic."""
    with policy_node.made() as node, traffic.compiled() as one, traffic.compiled("volume") as other:
        programs = Programs(one, other)
        variants: dict[str, Callable[[], AbstractContextManager[None]]] = {
            NOTHING: contextlib.nullcontext,
            NETSRE: node.policed,
            NFTABLES: node.filtered,
            EMPTY: node.with_empty_programs,
            AGAIN: contextlib.nullcontext,
        }
        for what in (NETSRE, NFTABLES):
            with variants[what]():
                _refuse_open_port(node, what)
        return [_figures(kind, programs, node, variants) for kind in KINDS]


def _refuse_open_port(node: Node, what: str) -> None:
    """Raise where a port is open that no rule is about: then no policy would be measured."""

    def connect() -> None:
        socket.create_connection((SERVER, CLOSED), timeout=0.3).close()

    try:
        namespaces.inside(node.client, connect)
    except TimeoutError:
        return
    except ConnectionRefusedError:
        pass
    message = f"{what} lets a packet through that no rule allows"
    raise RuntimeError(message)


def _figures(
    kind: Kind,
    programs: Programs,
    node: Node,
    variants: Mapping[str, Callable[[], AbstractContextManager[None]]],
) -> Figures:
    rounds: list[dict[str, Run]] = []
    chance = random.Random(_SEED)  # noqa: S311  the same orders in every run
    for number in range(_ROUNDS + 1):
        runs = {}
        for what in chance.sample([*variants], len(variants)):
            with variants[what]():
                runs[what] = kind.run(programs, node)
        if number:  # the first one warms up
            rounds.append(runs)
    others = [what for what in variants if what != NOTHING]
    return Figures(
        kind,
        statistics.median(runs[NOTHING].rate for runs in rounds),
        {what: Share.of([runs[what].rate / runs[NOTHING].rate for runs in rounds]) for what in others},
        {what: Share.of([runs[what].cost / runs[NOTHING].cost for runs in rounds]) for what in others},
    )


def lines(figures: Sequence[Figures]) -> list[Line]:
    """Return the rows."""
    return [row for one in figures for row in _rows(one)]


def _rows(one: Figures) -> list[Line]:
    kind, ours = one.kind, one.rates[NETSRE]
    beside = ", ".join(f"{what} {one.rates[what]}" for what in (NFTABLES, EMPTY, AGAIN))
    costs = ", ".join(f"{what} {one.costs[what]}" for what in (NFTABLES, EMPTY, AGAIN))
    name = f"{policy_node.RULES} rules in force on the way, {kind.what}"
    budget, is_met = "", None
    if kind.has_budget:
        again = one.rates[AGAIN]
        can_tell = again.low >= 1 - _NOISE and again.high <= 1 + _NOISE
        budget = ">= 95 %" if can_tell else ">= 95 %; too noisy here to tell"
        is_met = ours.middle >= 1 - _BUDGET if can_tell else None
    return [
        Line(
            f"{name}: what gets through, of {one.rate / kind.scale:.1f} {kind.unit} without anything",
            str(ours),
            beside,
            budget,
            is_met,
        ),
        Line(f"{name}: processor time for each {kind.each}", str(one.costs[NETSRE]), costs, "", None),
    ]


if __name__ == "__main__":
    for line in lines(measure()):
        print(line.row())
