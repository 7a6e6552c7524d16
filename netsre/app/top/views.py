"""The views of `netsre top`, and what the agent itself costs meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from netsre import clock
from netsre import conventions as c
from netsre.app import numbers
from netsre.app.top import node, traffic
from netsre.app.top.measuring import Interval
from netsre.app.top.sections import Section, arranged
from netsre.app.top.values import Kind, document, shown


@dataclass(frozen=True, slots=True)
class View:
    """One of the screens."""

    name: str
    sections: Callable[[Interval], tuple[Section, ...]]


VIEWS: Final = (
    View("flows", traffic.flows),
    View("tcp", traffic.tcp),
    View("conntrack", node.conntrack),
    View("drops", traffic.drops),
    View("bpf", node.bpf),
)
NAMES: Final = tuple(view.name for view in VIEWS)
_PROBES: Final = {"flows": "flows", "tcp": "tcp", "drops": "drops", "benign": "drops", "maps": "maps"}
"""What must run for a section."""
_EMPTY: Final = {
    "flows": "no connection attempt was seen yet",
    "tcp": "nothing was sent again or reset, and no connection closed yet",
    "conntrack": "no connection table is tracked, or it cannot be read (netsre doctor)",
    "drops": "nothing was dropped",
    "benign": "nothing was freed",
    "programs": "the agent names no programs",
    "maps": "no maps were seen yet",
    "probes": "the agent names no probes",
}


def remark(section: Section, interval: Interval) -> str:
    """Return what is to be said below the rows of a section; what is not measured is not nothing."""
    probe = _PROBES.get(section.name)
    if probe is not None and probe not in node.up(interval):
        reason = node.down(interval).get(probe)
        if reason is None:
            return f"not measured: the agent runs without the probe {probe}"
        return f"not measured: the probe {probe} does not run ({shown(Kind.TEXT, reason or 'no reason')})"
    return section.note or ("" if section.rows else _EMPTY[section.name])


def cost(interval: Interval) -> dict[str, Any]:
    """Return what the agent is and takes: version, share of a core, memory, probes."""
    used = interval.gain(c.PROCESS_CPU, ())
    return {
        "version": next((found.get("version", "") for found, _ in interval.gauges(c.BUILD_INFO)), None),
        "cpu": None if used is None else used.per_second,
        "rss": interval.gauge(c.PROCESS_RSS, ()),
        "up": node.up(interval),
        "down": node.down(interval),
    }


@lru_cache(maxsize=1)
def status(interval: Interval) -> tuple[str, ...]:
    """Return the same in words, what matters most first."""
    found = cost(interval)
    up, down = len(found["up"]), len(found["down"])
    words = f"{up} of {up + down} probes up"
    if found["down"]:
        words += f", DOWN: {' '.join(shown(Kind.TEXT, name) for name in sorted(found['down']))}"
    return words, f"cpu {shown(Kind.SHARE, found['cpu'])}", f"rss {shown(Kind.BYTES, found['rss'])}"


def as_document(view: View, interval: Interval, agent: str, sought: tuple[Section, ...]) -> dict[str, Any]:
    """Return a reading of a view for a program: every row of it, with counts beside rates."""
    found = cost(interval)
    return {
        "agent": agent,
        "at": clock.rfc3339(interval.at),
        "seconds": numbers.number(interval.seconds),
        "restarted": interval.restarted,
        "view": view.name,
        "process": {
            "version": found["version"],
            "cpu_ratio": None if found["cpu"] is None else numbers.number(found["cpu"]),
            "rss_bytes": None if found["rss"] is None else numbers.number(found["rss"]),
        },
        "probes_up": found["up"],
        "probes_down": found["down"],
        **{section.name: _rows(section) for section in sought},
    }


def _rows(section: Section) -> list[dict[str, Any]]:
    return [
        dict(row.labels)
        | {
            key: value
            for column in section.columns
            if column.kind is not Kind.NAME
            for key, value in document(column, row.cells.get(column.key)).items()
        }
        for row in arranged(section, None, backwards=False)
    ]
