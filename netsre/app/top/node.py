"""The views of the node: connection tables, and what netsre and others have in the kernel."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import conventions as c
from netsre.app.top.measuring import Interval
from netsre.app.top.sections import Row, Section
from netsre.app.top.values import ANY, NEARLY_FULL, Column, Kind, Rate, Value, size
from netsre.metrics.conntrack import KERNEL
from netsre.model.samples import labels

_TABLE_COLUMNS: Final = (
    Column("name", "network namespace", Kind.NAME),
    Column("entries", "entries", Kind.COUNT),
    Column("limit", "limit", Kind.COUNT, spare=5),
    Column("utilization", "full", Kind.SHARE, alarm=NEARLY_FULL),
    Column("growth_per_second", "grow/s", Kind.SPEED, spare=4),
    Column("full_seconds", "full-in", Kind.DURATION, spare=1),
    Column("insert_failed", "insf/s", Kind.RATE, spare=2, alarm=ANY),
    Column("early_drops", "early/s", Kind.RATE, spare=3, alarm=ANY),
    Column("drops", "drop/s", Kind.RATE, alarm=ANY),
)
_TABLE_NOTE: Final = (
    "insf: entries that could not be inserted; early: entries evicted to make room; drop: packets lost "
    "because the table was full"
)
_TABLE_GAUGES: Final = {
    "entries": c.CONNTRACK_ENTRIES,
    "limit": c.CONNTRACK_LIMIT,
    "utilization": c.CONNTRACK_UTILIZATION,
    "growth_per_second": c.CONNTRACK_GROWTH,
    "full_seconds": c.CONNTRACK_FULL_SECONDS,
}
_TABLE_COUNTERS: Final = {
    "insert_failed": c.CONNTRACK_INSERT_FAILED,
    "early_drops": c.CONNTRACK_EARLY_DROPS,
    "drops": c.CONNTRACK_DROPS,
}
_PROGRAM_COLUMNS: Final = (
    Column("program", "program", Kind.TEXT),
    Column("runs", "runs/s", Kind.RATE),
    Column("ns_per_run", "ns/run", Kind.COUNT),
    Column("core_share", "core", Kind.SHARE),
    Column("missed_runs", "missed/s", Kind.RATE, spare=1, alarm=ANY),
)
_MAP_COLUMNS: Final = (
    Column("map", "map", Kind.TEXT),
    Column("owner", "owner", Kind.TEXT),
    Column("entries", "entries", Kind.COUNT, spare=2),
    Column("capacity", "capacity", Kind.COUNT, spare=3),
    Column("pressure", "full", Kind.SHARE, alarm=NEARLY_FULL),
    Column("memory_bytes", "memory", Kind.BYTES),
    Column("overflows", "overfl/s", Kind.RATE, spare=1, alarm=ANY),
)
_MAP_GAUGES: Final = {
    "entries": c.BPF_MAP_ENTRIES,
    "capacity": c.BPF_MAP_CAPACITY,
    "pressure": c.BPF_MAP_PRESSURE,
    "memory_bytes": c.BPF_MAP_MEMORY,
}
_PROBE_COLUMNS: Final = (
    Column("probe", "probe", Kind.TEXT),
    Column("state", "state", Kind.TEXT),
    Column("reason", "reason", Kind.TEXT),
)
_NO_RUNS: Final = "no run was counted: run-time statistics are off (netsre agent --run-statistics)"


def conntrack(interval: Interval) -> tuple[Section, ...]:
    """Return one row for each connection table."""
    rows = []
    for found, _ in interval.gauges(c.CONNTRACK_ENTRIES):
        key = labels(found)
        cells: dict[str, Value] = {name: interval.gauge(m, key) for name, m in _TABLE_GAUGES.items()}
        cells |= {name: interval.gain(metric, key) for name, metric in _TABLE_COUNTERS.items()}
        # 0 is the kernel's word for none.
        cells["limit"] = cells["limit"] or None
        table, netns = found.get("table", ""), found.get("netns", "")
        cells["name"] = netns if table == KERNEL else f"{table}/{netns}"
        rows.append(Row({key: found.get(key, "") for key in ("table", "netns")}, cells))
    note = _TABLE_NOTE if rows else ""
    return (Section("conntrack", _TABLE_COLUMNS, tuple(rows), "utilization", note, ("entries",)),)


def bpf(interval: Interval) -> tuple[Section, ...]:
    """Return our programs, everybody's maps, and our probes; those first that have something to tell."""
    programs, maps, probes = _programs(interval), _maps(interval), _probes(interval)
    down = any(row.cells["state"] != "up" for row in probes.rows)
    return (probes, programs, maps) if down else (programs, maps, probes)


def _programs(interval: Interval) -> Section:
    rows = []
    for found, count in interval.increases(c.BPF_RUNS):
        key, name = labels(found), found.get("program", "")
        time = interval.gain(c.BPF_RUN_SECONDS, key)
        timed = None if time is None or not count else Fraction(time.count)
        cells: dict[str, Value] = {
            "program": name,
            "runs": interval.rate(count),
            "ns_per_run": None if timed is None else timed * 1_000_000_000 / Fraction(count),
            "core_share": None if timed is None else timed / interval.seconds,
            "missed_runs": interval.gain(c.BPF_MISSED_RUNS, key),
        }
        rows.append(Row({}, cells))
    ran = any(isinstance(row.cells["runs"], Rate) and row.cells["runs"].count for row in rows)
    # Without statistics a program has no runs, which is not to say that it did not run.
    return Section("programs", _PROGRAM_COLUMNS, tuple(rows) if ran else (), "runs", "" if ran else _NO_RUNS)


def _maps(interval: Interval) -> Section:
    overflows = {found.get("map", ""): count for found, count in interval.increases(c.BPF_MAP_OVERFLOWS)}
    rows, memory = [], Decimal(0)
    for found, taken in interval.gauges(c.BPF_MAP_MEMORY):
        key, memory = labels(found), memory + taken
        cells: dict[str, Value] = {name: interval.gauge(m, key) for name, m in _MAP_GAUGES.items()}
        name, owner = found.get("map", ""), found.get("owner", "")
        ours = overflows.get(name) if owner == c.OWNER else None
        cells |= {"map": name, "owner": owner, "overflows": None if ours is None else interval.rate(ours)}
        rows.append(Row({}, cells))
    note = f"{len(rows)} maps by name and owner, {size(Fraction(memory))}" if rows else ""
    return Section("maps", _MAP_COLUMNS, tuple(rows), "pressure", note, ("memory_bytes",))


def _probes(interval: Interval) -> Section:
    rows = tuple(
        Row(
            {},
            {
                "probe": found.get("probe", ""),
                "state": "up" if value else "DOWN",
                "reason": found.get("reason", ""),
            },
        )
        for found, value in interval.gauges(c.AGENT_PROBE_UP)
    )
    left_out = tuple(
        Row({}, {"probe": found.get("probe", ""), "state": "left out", "reason": "not_wanted"})
        for found, _ in interval.gauges(c.AGENT_PROBE_LEFT_OUT)
    )
    return Section("probes", _PROBE_COLUMNS, (*rows, *left_out), "state")


def up(interval: Interval) -> list[str]:
    """Return the probes that run."""
    return [found.get("probe", "") for found, value in interval.gauges(c.AGENT_PROBE_UP) if value]


def down(interval: Interval) -> dict[str, str]:
    """Return the probes that do not run, and why."""
    return {
        found.get("probe", ""): found.get("reason", "")
        for found, value in interval.gauges(c.AGENT_PROBE_UP)
        if not value
    }
