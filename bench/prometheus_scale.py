"""A thousand SLOs on Debian's Prometheus with thirty days of their counters, and slo-generator on the same.

What is measured of netsre is its controller as it is, turn by turn: it asks for what is new, counts,
evaluates, decides, and brings all of it to its disk.
"""

import re
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import controller_process, kept_past
from bench.flow_fleet import Fleet, Served, served
from bench.slo_baseline import Baseline, Reports
from netsre import conventions
from netsre.app import service_levels
from netsre.model.levels import SLO

_SLOS: Final = 1_000
_NODES: Final = 20
_DAYS: Final = 30
_INTERVAL: Final = 5
"""Seconds from scrape to scrape, and from tick to tick: each tick finds a new sample of every series."""
_TICKS: Final = 12
_SAMPLE: Final = 100
"""SLOs that slo-generator computes: it takes them one after the other."""
_PATIENCE: Final = 300.0
"""Seconds; for a controller that reads the past of a thousand SLOs from its disk."""
_CHECKOUT: Final = Path(__file__).parent.parent
_SPEC: Final = """\
apiVersion: netsre.dev/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: {name}
  description: Connections to it are delivered.
  objective: 99.9
  window: 30d
  indicator:
    ratio:
      bad:   {{metric: {metric}, match: 'dst="{name}",outcome="failed"'}}
      total: {{metric: {metric}, match: 'dst="{name}"'}}
  alerting: {{policy: workbook}}
"""
_ASKED: Final = re.compile(r'^prometheus_http_requests_total\{.*handler="/api/v1/.*\} (\S+)$', re.MULTILINE)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ticks:
    """Evaluations of netsre's controller, all but the first."""

    start_seconds: float
    """From the start of the process to the end of the first one."""
    seconds: tuple[float, ...]
    queries: float
    """Requests for one of them, as the Prometheus counts them: a mean, which hides no second attempt."""
    peak_mib: float
    """Of memory, the start included."""
    resident_mib: float
    """Of memory, in the end."""


@dataclass(frozen=True, slots=True)
class PrometheusFigures:
    """What a tick takes, and what the same takes the baseline."""

    slos: int
    days: int
    samples: int
    settled: Ticks
    """Of a controller that goes on from thirty days of its own."""
    fresh: Ticks
    """Of one that has only just begun, and reads the past beside its turns."""
    baseline: Reports
    """What slo-generator takes for some of the SLOs."""
    baseline_queries: float
    """Of slo-generator for one SLO, as the Prometheus counts them."""


def measure(baseline: Baseline, say: Progress) -> PrometheusFigures:
    """Measure both on one Prometheus, one after the other."""
    # Born before the past begins, so that no counter begins within it.
    fleet = Fleet(_SLOS, _NODES, int(time.time()) - (_DAYS + 10) * 86_400)
    (_CHECKOUT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="netsre-bench-", dir=_CHECKOUT / ".cache") as name:
        place = Path(name)
        # The controller is another user, and its data is in there.
        place.chmod(0o711)
        slos = write_specs(fleet, place / "slos")
        with served(fleet, place, _DAYS, _INTERVAL, say) as prometheus:
            say(f"  prepared in {prometheus.prepared_seconds:.0f} s; a controller that begins")
            fresh = _ticks(place / "fresh", place / "slos", prometheus)
            say("  a controller that has read thirty days")
            kept_past.keep(place / "settled", fleet, slos)
            settled = _ticks(place / "settled", place / "slos", prometheus, covered=0.99)
            say(f"  slo-generator, for {_SAMPLE} of {_SLOS} service levels")
            before = _queries(prometheus)
            reports = baseline.ask(prometheus.url, _selected(fleet), slos[0])
            asked = _queries(prometheus) - before
    return PrometheusFigures(_SLOS, _DAYS, prometheus.samples, settled, fresh, reports, asked / reports.slos)


def write_specs(fleet: Fleet, directory: Path) -> tuple[SLO, ...]:
    """Write a service level for each service, and return them as they are read."""
    directory.mkdir()
    for number in range(fleet.services):
        name = fleet.service(number)
        text = _SPEC.format(name=name, metric=conventions.FLOWS)
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    return service_levels.load([directory]).slos


def _selected(fleet: Fleet) -> list[tuple[str, str]]:
    """Return what selects the good and the bad events of a sample, as PromQL."""
    chosen = range(0, fleet.services, fleet.services // _SAMPLE)
    pairs = [f'{conventions.FLOWS}{{dst="{fleet.service(number)}",outcome=' for number in chosen]
    return [(f'{pair}"delivered"}}', f'{pair}"failed"}}') for pair in pairs]


def _ticks(home: Path, specs: Path, prometheus: Served, covered: float = 0.0) -> Ticks:
    """Watch a controller turn; raises `RuntimeError` where a level does not have so much of its window."""
    options = ("--source", prometheus.url, "--slos", str(specs), "--interval", f"{_INTERVAL}s")
    began = time.monotonic()
    with controller_process.running(home, *options, patience=_PATIENCE) as controller:
        started = time.monotonic() - began
        last = controller.status()["last_tick_at"]
        before, seconds = _queries(prometheus), list[float]()
        while len(seconds) < _TICKS:
            time.sleep(0.2)
            status = controller.status()
            if status["last_tick_at"] != last:
                last = status["last_tick_at"]
                seconds.append(float(status["tick_seconds"]))
        queries = (_queries(prometheus) - before) / _TICKS
        levels = controller.get("/api/v1/slos")["slos"]
        if not all(slo["total"] and slo["coverage"] >= covered for slo in levels):
            raise RuntimeError(f"a service level covers less than {covered} of its window, or has no events")
        memory = Path(f"/proc/{controller.pid}/status").read_text(encoding="ascii")
    peak, resident = (int(memory.split(field)[1].split()[0]) / 1024 for field in ("VmHWM:", "VmRSS:"))
    return Ticks(started, tuple(seconds), queries, peak, resident)


def _queries(prometheus: Served) -> int:
    """Return how many requests for data a Prometheus has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{prometheus.port}/metrics", timeout=10) as reply:
        return sum(int(float(count)) for count in _ASKED.findall(reply.read().decode()))
