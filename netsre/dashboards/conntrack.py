"""Panels of connection tracking: how full its tables are, of what, and for how long that goes well."""

from typing import Final

from netsre import conventions as c
from netsre.dashboards import panels, promql
from netsre.dashboards.panels import Panel, Query, Section, Step

_CALM: Final = (Step(0, panels.BLUE),)
_TABLE: Final = (c.NODE, "table", "netns")
_TABLE_NAME: Final = "{{node}} {{table}} {{netns}}"

CONNTRACK_WATCH: Final = 0.5
"""Half full: the table is sized for twice the usual load, so that this is already unusual."""
CONNTRACK_FULL: Final = 0.8
FULL_SOON: Final = 3_600.0
"""Seconds: less time than it takes to find out why."""
FULL_TODAY: Final = 6 * 3_600.0


def section() -> Section:
    """Return the row of connection tracking."""
    row = (_utilization(), _losses(), _room(), _time_to_full(), _growth(), _states(), _sources())
    return Section("conntrack", "Connection tracking", row)


def _utilization() -> Panel:
    return Panel(
        "conntrack/utilization",
        "timeseries",
        "Table in use",
        "Full means that new connections are dropped. Above the first line find who opens so many; above "
        "the second act now: block the source, then raise the limit.",
        (
            Query(
                promql.aggregate("max", _TABLE, promql.agent(c.CONNTRACK_UTILIZATION)),
                _TABLE_NAME,
            ),
        ),
        width=9,
        steps=(
            Step(0, panels.GREEN),
            Step(CONNTRACK_WATCH, panels.ORANGE),
            Step(CONNTRACK_FULL, panels.VERMILION),
        ),
        lowest=0,
        highest=1,
    )


def _losses() -> Panel:
    names = (
        (c.CONNTRACK_DROPS, "{{node}} dropped"),
        (c.CONNTRACK_INSERT_FAILED, "{{node}} insert failed"),
        (c.CONNTRACK_EARLY_DROPS, "{{node}} evicted early"),
    )
    return Panel(
        "conntrack/losses",
        "timeseries",
        "Drops and failed inserts",
        "Anything above zero is lost traffic. Early evictions come first: the table is full and the kernel "
        "makes room at the cost of unanswered connections.",
        tuple(
            Query(promql.aggregate("sum", (c.NODE,), promql.rate(promql.agent(name))), legend)
            for name, legend in names
        ),
        width=9,
        steps=_CALM,
        lowest=0,
    )


def _room() -> Panel:
    return Panel(
        "conntrack/room",
        "timeseries",
        "Entries and limit",
        "A limit that moves was changed by somebody or by a runbook.",
        (
            Query(
                promql.aggregate("max", _TABLE, promql.agent(c.CONNTRACK_ENTRIES)),
                "{{node}} {{table}} {{netns}} entries",
            ),
            Query(
                promql.aggregate("max", _TABLE, promql.agent(c.CONNTRACK_LIMIT)),
                "{{node}} {{table}} {{netns}} limit",
            ),
        ),
        width=6,
        steps=_CALM,
        lowest=0,
    )


def _time_to_full() -> Panel:
    left = promql.aggregate("min", _TABLE, promql.agent(c.CONNTRACK_FULL_SECONDS))
    return Panel(
        "conntrack/full",
        "timeseries",
        "Time to full",
        "Empty is good: no table rose for five minutes in a row. A flood is faster: it shows as table "
        "in use. A line that falls is a leak, or a load that outgrows the limit.",
        (Query(left, _TABLE_NAME),),
        width=6,
        steps=(Step(0, panels.VERMILION), Step(FULL_SOON, panels.ORANGE), Step(FULL_TODAY, panels.GREEN)),
        lowest=0,
    )


def _growth() -> Panel:
    pace = promql.aggregate("max", _TABLE, promql.agent(c.CONNTRACK_GROWTH))
    return Panel(
        "conntrack/growth",
        "timeseries",
        "Growth, in entries a second",
        "Of what stays: spikes that end within a minute do not count. Above zero for long, entries live "
        "longer than the traffic needs, or somebody opens ever more.",
        (Query(pace, _TABLE_NAME),),
        width=6,
        steps=_CALM,
    )


def _states() -> Panel:
    by_state = promql.aggregate("sum", ("state",), promql.agent(c.CONNTRACK_STATE_ENTRIES))
    return Panel(
        "conntrack/states",
        "timeseries",
        "Entries by state",
        "tcp_syn_sent and udp_unreplied: somebody opens what nobody answers, a scan or a flood. "
        "tcp_time_wait: short connections. tcp_established without traffic: the timeout of five days.",
        (Query(by_state, "{{state}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
        stacked=True,
    )


def _sources() -> Panel:
    by = (c.NODE, "netns", "source")
    largest = promql.aggregate("max", by, promql.agent(c.CONNTRACK_TOP_SOURCE))
    return Panel(
        "conntrack/sources",
        "timeseries",
        "Largest sources",
        "Only of tables that are about half full. One that holds most of a table is what the runbook blocks; "
        "many that hold a little are a limit that is too small.",
        (Query(promql.top(5, largest), "{{node}} {{netns}} {{source}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
    )
