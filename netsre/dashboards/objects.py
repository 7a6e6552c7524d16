"""Panels of the BPF programs and maps of a node, whoever they belong to."""

from typing import Final

from netsre import conventions as c
from netsre.dashboards import panels, promql
from netsre.dashboards.panels import Panel, Query, Section, Step
from netsre.model.levels import Matcher

MAP_WATCH: Final = 0.8
MAP_FULL: Final = 0.95
PRESSURE_STEPS: Final = (
    Step(0, panels.GREEN),
    Step(MAP_WATCH, panels.ORANGE),
    Step(MAP_FULL, panels.VERMILION),
)

_CALM: Final = (Step(0, panels.BLUE),)
_MOST: Final = 8
"""Lines of a panel: more cannot be told apart."""


def section() -> Section:
    """Return the row of programs and maps."""
    return Section("bpf", "BPF maps and programs", (_pressure(), _memory(), _failed_loads()))


def _pressure() -> Panel:
    by = (c.NODE, "owner", "map")
    fullest = promql.aggregate("max", by, promql.agent(c.BPF_MAP_PRESSURE))
    return Panel(
        "bpf/pressure",
        "timeseries",
        "Fullest BPF maps",
        "Of every program on the node. A full hash table refuses entries: new connections, endpoints or "
        "policies of its owner get lost. An LRU table that is full evicts the oldest; a prefix trie refuses.",
        (Query(promql.top(_MOST, fullest), "{{node}} {{owner}} {{map}}"),),
        width=8,
        steps=PRESSURE_STEPS,
        lowest=0,
        highest=1,
    )


def _memory() -> Panel:
    locked = promql.aggregate("sum", (c.NODE, "owner"), promql.agent(c.BPF_MAP_MEMORY))
    return Panel(
        "bpf/memory",
        "timeseries",
        "Memory of BPF maps by owner",
        "Kernel memory that no process shows as its own. An owner that only grows leaks maps, or never "
        "deletes from them.",
        (Query(promql.top(_MOST, locked), "{{node}} {{owner}}"),),
        width=8,
        steps=_CALM,
        lowest=0,
    )


def _failed_loads() -> Panel:
    failed = promql.agent(c.BPF_PROGRAM_LOADS, Matcher("result", "=", "error"))
    by = (c.NODE, "owner", "type", "reason")
    return Panel(
        "bpf/loads",
        "timeseries",
        "Failed program loads",
        "By whom and why. EPERM: no privilege. EACCES and EINVAL: the verifier, or a kernel that is too old "
        "for it. Some libraries try twice, or probe for what the kernel can do. The verifier's words are at "
        "/bpf/failures of the agent, on the node itself.",
        (
            Query(
                promql.top(_MOST, promql.aggregate("sum", by, promql.increase(failed))),
                "{{node}} {{owner}} {{type}} {{reason}}",
            ),
        ),
        width=8,
        steps=_CALM,
        lowest=0,
    )
