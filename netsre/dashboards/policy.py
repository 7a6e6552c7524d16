"""Panels of policies in force; empty where a node has none."""

from typing import Final

from netsre import conventions as c
from netsre.dashboards import panels, promql
from netsre.dashboards.panels import Panel, Query, Section, Step
from netsre.model.levels import Matcher

_CALM: Final = (Step(0, panels.BLUE),)
_MOST: Final = 8
"""Lines of a panel: more cannot be told apart."""
_UNEXPECTED: Final = Matcher("expected", "=", "no")
_SLOW: Final = 5.0
"""Seconds that a change may take until it is active."""


def section() -> Section:
    """Return the row of policies."""
    return Section(
        "policy",
        "Policies",
        (
            *(_decided(), _denied(), _in_force()),
            *(_modes(), _compiles(), _unasked()),
            *(_unexpected(), _orders()),
            *(_canaries(), _trials()),
        ),
    )


def _decided() -> Panel:
    packets = promql.aggregate("sum", ("verdict",), promql.rate(promql.agent(c.POLICY_PACKETS)))
    return Panel(
        "policy/decided",
        "timeseries",
        "Packets by verdict",
        "audited: would be denied, and passes because the mode is monitor. A step of denied after a new "
        "revision is that revision: netsre policy rollback.",
        (Query(packets, "{{verdict}}"),),
        width=8,
        height=7,
        steps=_CALM,
        lowest=0,
        names=(("allowed", panels.BLUE), ("denied", panels.VERMILION), ("audited", panels.ORANGE)),
        stacked=True,
    )


def _denied() -> Panel:
    by = ("src", "dst", "rule")
    unexpected = promql.agent(c.POLICY_VERDICTS, Matcher("verdict", "=~", "denied|audited"), _UNEXPECTED)
    return Panel(
        "policy/denied",
        "timeseries",
        "Denied without a rule that says so",
        "The pairs with most of it. Traffic that nobody thought of, workloads with "
        "the wrong labels, or somebody who looks around.",
        (
            Query(
                promql.top(_MOST, promql.aggregate("sum", by, promql.rate(unexpected))),
                "{{src}} to {{dst}}: {{rule}}",
            ),
        ),
        width=8,
        height=7,
        steps=_CALM,
        lowest=0,
    )


def _in_force() -> Panel:
    revision = promql.aggregate("max", (c.NODE,), promql.agent(c.POLICY_REVISION))
    return Panel(
        "policy/revision",
        "timeseries",
        "Revision in force",
        "A step up is a change, a step down is a way back, and 0 is a node where all passes. Each node has "
        "numbers of its own.",
        (Query(revision, "{{node}}"),),
        width=8,
        height=7,
        steps=_CALM,
        lowest=0,
    )


def _modes() -> Panel:
    lax = Matcher("mode", "!=", "enforce")
    everybody = promql.aggregate("sum", ("mode",), promql.agent(c.POLICY_MODE, lax))
    endpoints = promql.aggregate("sum", ("mode",), promql.agent(c.POLICY_ENDPOINT_MODES, lax))
    policies = promql.aggregate("sum", ("mode",), promql.agent(c.POLICY_STAGED))
    return Panel(
        "policy/modes",
        "timeseries",
        "Nodes, endpoints and policies not enforced",
        "0 in daily life. Above it, somebody looks before he enforces, or opened the door at night: see "
        "that it ends (netsre policy status says when).",
        (
            Query(everybody, "nodes: {{mode}}"),
            Query(endpoints, "endpoints: {{mode}}"),
            Query(policies, "policies: {{mode}}"),
        ),
        width=8,
        height=7,
        steps=(Step(0, panels.GREEN), Step(1, panels.ORANGE)),
        lowest=0,
    )


def _compiles() -> Panel:
    whole = (Matcher("stage", "=", "total"), Matcher("result", "=", "ok"))
    buckets = promql.agent(f"{c.POLICY_COMPILE_SECONDS}_bucket", *whole)
    return Panel(
        "policy/compiles",
        "timeseries",
        "From a change to its being active",
        "The slowest hundredth and the median, to the bounds of the buckets. It grows with the policies; if "
        "it jumps, look at what else the node does.",
        tuple(Query(promql.quantile(q, (), buckets), name) for q, name in (("0.99", "p99"), ("0.5", "p50"))),
        width=8,
        height=7,
        steps=(Step(0, panels.BLUE), Step(_SLOW, panels.ORANGE)),
        lowest=0,
    )


def _unasked() -> Panel:
    usual = Matcher("event", "!~", "not_ip|arp|neighbour")
    by_event = promql.aggregate("sum", ("event",), promql.rate(promql.agent(c.POLICY_EVENTS, usual)))
    return Panel(
        "policy/events",
        "timeseries",
        "Packets that no policy was asked about",
        "connections_full: the table has no room; answers pass by the rules alone. internal is a fault of "
        "netsre. cut and fragment: packets whose ports cannot be read.",
        (Query(by_event, "{{event}}"),),
        width=8,
        height=7,
        steps=_CALM,
        lowest=0,
        stacked=True,
    )


def _unexpected() -> Panel:
    by = promql.aggregate("sum", (c.NODE, "src", "verdict"), promql.agent(c.POLICY_UNEXPECTED))
    return Panel(
        "policy/unexpected",
        "timeseries",
        "Destinations that no rule allows, by endpoint",
        "Addresses and ports of the last five minutes. audited: it got through. Which they are: netsre "
        "policy refused, on the node.",
        (Query(promql.top(_MOST, by), "{{src}} on {{node}}: {{verdict}}"),),
        width=16,
        height=7,
        steps=(Step(0, panels.GREEN), Step(1, panels.ORANGE)),
        lowest=0,
    )


def _orders() -> Panel:
    return Panel(
        "policy/orders",
        "timeseries",
        "Addresses denied by order",
        "Somebody's word that goes before all policies: see that it ends (netsre policy deny lists them).",
        (Query(promql.aggregate("max", (c.NODE,), promql.agent(c.POLICY_ORDERS)), "{{node}}"),),
        width=8,
        height=7,
        steps=_CALM,
        lowest=0,
    )


def _canaries() -> Panel:
    by = promql.aggregate("max", (c.NODE,), promql.agent(c.POLICY_CANARY))
    return Panel(
        "policy/canaries",
        "timeseries",
        "Endpoints with a canary of policies",
        "They alone have the revision in force of their node: netsre policy promote gives it to all, "
        "rollback to nobody.",
        (Query(by, "{{node}}"),),
        width=12,
        height=7,
        steps=_CALM,
        lowest=0,
    )


def _trials() -> Panel:
    by = promql.aggregate("max", (c.NODE,), promql.agent(c.POLICY_TRIAL_LEFT))
    return Panel(
        "policy/trials",
        "timeseries",
        "Until what is on trial ends",
        "A canary, or modes of policies with --ttl: the kernel ends them, and what lasts decides again. "
        "Empty where nothing is on trial.",
        (Query(by, "{{node}}"),),
        width=12,
        height=7,
        steps=_CALM,
        lowest=0,
    )
