"""Panels of what TCP repeats and breaks off on a node, and what the kernel drops there."""

from typing import Final

from netsre import conventions as c
from netsre.dashboards import panels, promql
from netsre.dashboards.panels import Panel, Query, Section, Step
from netsre.model.levels import Matcher

_CALM: Final = (Step(0, panels.BLUE),)
_MOST: Final = 8
"""Lines of a panel: more cannot be told apart."""


def section() -> Section:
    """Return the row of TCP and drops."""
    return Section("transport", "TCP and drops", (_retransmits(), _resets(), _round_trips(), _drops()))


def _retransmits() -> Panel:
    by = ("kind", "direction")
    return Panel(
        "transport/retransmits",
        "timeseries",
        "Segments sent again",
        "data: packets get lost, or come too late. syn with egress: servers do not answer. syn_ack with "
        "ingress: clients do not, or a flood of SYNs comes from addresses that are not theirs.",
        (
            Query(
                promql.aggregate("sum", by, promql.rate(promql.agent(c.TCP_RETRANSMITS))),
                "{{kind}} {{direction}}",
            ),
        ),
        width=6,
        steps=_CALM,
        lowest=0,
        stacked=True,
    )


def _resets() -> Panel:
    by = ("by", "reason", "direction")
    return Panel(
        "transport/resets",
        "timeseries",
        "Resets by who sent them",
        "us no_socket: somebody asks for a port where nobody listens. us with another reason: a program "
        "here hangs up. peer broken: the other end did, or a middlebox that forgot the connection.",
        (
            Query(
                promql.top(_MOST, promql.aggregate("sum", by, promql.rate(promql.agent(c.TCP_RESETS)))),
                "{{by}} {{reason}} {{direction}}",
            ),
        ),
        width=6,
        steps=_CALM,
        lowest=0,
    )


def _round_trips() -> Panel:
    buckets = promql.agent(f"{c.FLOW_RTT_SECONDS}_bucket", Matcher("dst", "!=", "loopback"))
    return Panel(
        "transport/rtt",
        "timeseries",
        "Round-trip time",
        "Of connections that ended, without those inside the node: median and slowest hundredth. It rises "
        "where a queue fills up, or where traffic takes another way.",
        tuple(Query(promql.quantile(q, (), buckets), name) for q, name in (("0.5", "p50"), ("0.99", "p99"))),
        width=6,
        steps=_CALM,
        lowest=0,
    )


def _drops() -> Panel:
    by = ("hook", "reason")
    return Panel(
        "transport/drops",
        "timeseries",
        "Drops by reason",
        "In the kernel's words. no_socket: a closed port. netfilter_drop: a firewall. tcp_listen_overflow, "
        "socket_rcvbuff, socket_backlog: a program is too slow. What nobody misses is not among them.",
        (
            Query(
                promql.top(_MOST, promql.aggregate("sum", by, promql.rate(promql.agent(c.DROPS)))),
                "{{hook}} {{reason}}",
            ),
        ),
        width=6,
        steps=_CALM,
        lowest=0,
    )
