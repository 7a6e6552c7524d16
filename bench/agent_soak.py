"""The agent for long at full load: memory that does not grow, and counters that are exact at the end.

In two network namespaces of its own, one for each family: connections that are answered, refused, and never
answered (their SYNs are sent again), datagrams to a closed port, and an entry of the connection table for
each of them. A flow log is kept, and the agent is scraped every five seconds. The generators count what they
made, and the kernel of each namespace what it sent.
"""

import contextlib
import math
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import traffic
from bench.traffic import Traffic
from netsre import conventions as c
from tests.kernel import attempts, netstat
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import Place

_ANSWERED_PORT: Final = 9010
_CLOSED_PORT: Final = 9011
_RATES: Final = {"answered": 2_000, "refused": 500, "unanswered": 20, "datagrams": 200}
"""For each family, each second."""
_HOLD_MS: Final = 3_500
"""Beyond the three seconds after which an attempt has stalled."""
_SCRAPE_SECONDS: Final = 5.0
_SETTLE_SECONDS: Final = 120.0
"""Left out of the slope; a fifth of what is shorter than ten minutes."""
_FLAT_BYTES: Final = 1 << 20
_ATTEMPTS: Final = ("answered", "refused", "unanswered")
_BY_TIMERS: Final = "segments sent again"
_SENT: Final = {_BY_TIMERS: "Tcp.RetransSegs", "resets sent": "Tcp.OutRsts"}
"""As the kernel counts them itself."""
_OURS: Final = frozenset({"attempts", "flows", "stalls", "tcp_counts", "drop_counts"})
"""Maps that what we made can fill; programs that others load have one of their own."""
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True)
class Moment:
    """What the agent holds at one moment, all of its processes together."""

    seconds: float
    resident: int
    descriptors: int
    map_bytes: int
    cpu_seconds: float


@dataclass(slots=True)
class Outcome:
    """What a soak found."""

    seconds: float
    moments: list[Moment] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    series: int = 0
    missed: int = 0
    overflows: dict[str, int] = field(default_factory=dict)
    """Of maps that were found full, by name."""
    events: int = 0
    lost: int = 0

    @property
    def connects(self) -> int:
        """Return how many connection attempts there were."""
        return sum(
            count for what, count in self.made.items() if what.startswith(("answered", "refused", "una"))
        )

    @property
    def settled(self) -> list[Moment]:
        """Return the moments of which the slope is taken."""
        begin = min(_SETTLE_SECONDS, self.seconds / 5)
        return [moment for moment in self.moments if moment.seconds >= begin]

    def slope(self, value: Callable[[Moment], float]) -> tuple[float, float]:
        """Return the growth for each second, and its standard error."""
        return _slope([moment.seconds for moment in self.settled], [value(one) for one in self.settled])

    @property
    def flat(self) -> bool:
        """Tell whether memory grew less than can be told from noise, or than a megabyte."""
        slope, error = self.slope(lambda moment: moment.resident)
        span = self.settled[-1].seconds - self.settled[0].seconds
        return slope * span <= max(3 * error * span, _FLAT_BYTES)

    @property
    def steady(self) -> bool:
        """Tell whether as many descriptors and as much of maps are held at the end as when it had settled."""
        first, last = self.settled[0], self.settled[-1]
        return (first.descriptors, first.map_bytes) == (last.descriptors, last.map_bytes)

    @property
    def held(self) -> bool:
        """Tell whether everything was as it must be."""
        exact = all(self.counted[what] == made for what, made in self.made.items() if _is_exact(what))
        return exact and self.flat and self.steady and not self.overflows.keys() & _OURS


def measure(seconds: float, say: Callable[[str], None]) -> Outcome:
    """Run an agent under load for so long."""
    found = Outcome(seconds)
    with (
        traffic.compiled() as program,
        tempfile.TemporaryDirectory(prefix="netsre-soak-") as directory,
        contextlib.ExitStack() as stack,
    ):
        places = {family: stack.enter_context(attempts.place()) for family in _FAMILIES}
        agent = stack.enter_context(running("--flow-log", f"{directory}/flow-log/flows.jsonl"))
        threading.Thread(target=deque, args=(agent.process.stderr, 0), daemon=True).start()
        for family, place in places.items():
            address = attempts.LOOPBACK[family]
            stack.enter_context(program.serving(address, _ANSWERED_PORT, place.name))
        before = {family: netstat.counters(place.name) for family, place in places.items()}
        processes = dict(_load(program, places, seconds))
        _watch(agent, found, say)
        for (what, family), process in processes.items():
            made = traffic.result(process, seconds)["made"]
            if what in _ATTEMPTS:
                found.made[f"{what}, {_name(family)}"] = made
        for family, place in places.items():
            sent = netstat.counters(place.name) - before[family]
            for what, word in _SENT.items():
                found.made[f"{what}, {_name(family)}"] = sent[word]
        _settle(agent, places, found)
    return found


def _is_exact(what: str) -> bool:
    """Tell whether each of a kind must be seen: what timers do may be where no BPF program runs."""
    return not what.startswith(_BY_TIMERS)


def _name(family: socket.AddressFamily) -> str:
    return {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}[family]


def _load(
    program: Traffic, places: Mapping[socket.AddressFamily, Place], seconds: float
) -> Iterator[tuple[tuple[str, socket.AddressFamily], subprocess.Popen[str]]]:
    ports = {
        "answered": _ANSWERED_PORT,
        "refused": attempts.REFUSED_PORT,
        "unanswered": attempts.DROPPED_PORT,
        "datagrams": _CLOSED_PORT,
    }
    for family, place in places.items():
        for what, port in ports.items():
            end = (attempts.LOOPBACK[family], port, _RATES[what], seconds)
            words = ("send", *end) if what == "datagrams" else ("connect", *end, _HOLD_MS)
            yield (what, family), program.start(*words, namespace=place.name)


def _watch(agent: Running, found: Outcome, say: Callable[[str], None]) -> None:
    """Scrape the agent and look at what it holds until the load has ended."""
    began = time.monotonic()
    turn = 0
    while (passed := time.monotonic() - began) < found.seconds:
        agent.samples()
        found.moments.append(_moment(agent.process.pid, passed))
        if turn % 12 == 0:
            latest = found.moments[-1]
            say(f"agent {passed:.0f} s: {latest.resident / 2**20:.1f} MiB, {latest.descriptors} descriptors")
        turn += 1
        time.sleep(max(0.0, turn * _SCRAPE_SECONDS - (time.monotonic() - began)))


def _settle(agent: Running, places: Mapping[socket.AddressFamily, Place], found: Outcome) -> None:
    """Wait until all is counted that is still to come, and take the last numbers."""
    deadline = time.monotonic() + 30
    while True:
        samples = agent.samples()
        found.counted = _counted(samples, places)
        if all(found.counted[what] == made for what, made in found.made.items() if _is_exact(what)):
            break
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    found.series = len(samples)
    found.missed = _sum(samples, c.BPF_MISSED_RUNS)
    found.overflows = {
        dict(pairs)["map"]: int(value)
        for (name, pairs), value in samples.items()
        if name == c.BPF_MAP_OVERFLOWS and value
    }
    found.events = _sum(samples, c.FLOW_LOG_EVENTS)
    found.lost = _sum(samples, c.FLOW_LOG_LOST)


def _counted(samples: Samples, places: Mapping[socket.AddressFamily, Place]) -> Counter[str]:
    """Return what the agent counted, in the words of what was made."""
    found = Counter[str]()
    for family, place in places.items():
        end = {"src": place.name, "protocol": "tcp", "direction": "egress"}
        delivered = _sum(samples, c.FLOWS, outcome="delivered", **end)
        refused = _sum(samples, c.FLOWS, reason="refused", **end)
        # Why an answer was missing has several words.
        unanswered = _sum(samples, c.FLOWS, outcome="failed", **end) - refused
        again = _sum(samples, c.TCP_RETRANSMITS, src=place.name)
        resets = _sum(samples, c.TCP_RESETS, by="us", src=place.name)
        for what, count in (
            ("answered", delivered),
            ("refused", refused),
            ("unanswered", unanswered),
            (_BY_TIMERS, again),
            ("resets sent", resets),
        ):
            found[f"{what}, {_name(family)}"] = count
    return found


def _sum(samples: Samples, metric: str, **labels: str) -> int:
    wanted = labels.items()
    return int(
        sum(value for (name, pairs), value in samples.items() if name == metric and wanted <= set(pairs))
    )


def _moment(pid: int, seconds: float) -> Moment:
    resident = descriptors = 0
    cpu, maps = 0.0, dict[str, int]()
    for each in _family_of(pid):
        with contextlib.suppress(OSError):
            place = Path(f"/proc/{each}")
            resident += int((place / "statm").read_text(encoding="ascii").split()[1])
            fields = (place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            for entry in (place / "fdinfo").iterdir():
                descriptors += 1
                maps |= _map_of(entry)
    return Moment(seconds, resident * os.sysconf("SC_PAGE_SIZE"), descriptors, sum(maps.values()), cpu)


def _family_of(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return [pid]
    return [pid, *(each for child in text.split() for each in _family_of(int(child)))]


def _map_of(entry: Path) -> dict[str, int]:
    """Return the memory of a map by its id, of a descriptor that is one."""
    try:
        lines = entry.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {fields["map_id"].strip(): int(fields.get("memlock", "0"))} if "map_id" in fields else {}


def _slope(at: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return the slope of the straight line that fits best, and its standard error."""
    line = statistics.linear_regression(at, values)
    middle = statistics.fmean(at)
    spread = sum((x - middle) ** 2 for x in at)
    rest = sum((y - line.intercept - line.slope * x) ** 2 for x, y in zip(at, values, strict=True))
    return line.slope, math.sqrt(rest / max(1, len(at) - 2) / spread)
