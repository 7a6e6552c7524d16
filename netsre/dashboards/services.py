"""Panels of connections to services, by what chose the backend; empty where a node knows no services."""

from typing import Final

from netsre import conventions as c
from netsre.dashboards import panels, promql
from netsre.dashboards.panels import Panel, Query, Section, Step
from netsre.model.levels import Matcher

_CALM: Final = (Step(0, panels.BLUE),)
_MOST: Final = 8
"""Lines of a panel: more cannot be told apart."""


def section() -> Section:
    """Return the row of services."""
    return Section("services", "Services", (_past_bpf(), _paths(), _without(), _refused()))


def _past_bpf() -> Panel:
    by = ("service",)
    other = promql.agent(c.LB_CONNECTIONS, Matcher("path", "=", "other"))
    part = promql.aggregate("sum", by, promql.rate(other))
    whole = promql.aggregate("sum", by, promql.rate(promql.agent(c.LB_CONNECTIONS)))
    return Panel(
        "services/other",
        "timeseries",
        "Share past the BPF load balancer",
        "The services with most of it. 0 where a BPF program chose the backend of every connection; 1 with "
        "kube-proxy, or where nothing translates. A step up is a load balancer that lost the service.",
        (Query(promql.top(_MOST, promql.ratio(part, whole)), "{{service}}"),),
        width=12,
        height=7,
        steps=_CALM,
        lowest=0,
        highest=1,
    )


def _paths() -> Panel:
    made = promql.rate(promql.agent(c.LB_CONNECTIONS))
    return Panel(
        "services/paths",
        "timeseries",
        "Connections to services by path",
        "bpf: a program put a backend in the place of the service. other: the socket went on with the "
        "address of the service, for something else to translate. Empty where no services are known.",
        (Query(promql.aggregate("sum", ("path",), made), "{{path}}"),),
        width=12,
        height=7,
        steps=_CALM,
        lowest=0,
        names=(("bpf", panels.BLUE), ("other", panels.ORANGE)),
        stacked=True,
    )


def _without() -> Panel:
    none = promql.agent(c.BALANCE_SERVICES, Matcher("state", "=", "without_backend"))
    return Panel(
        "services/without",
        "timeseries",
        "Addresses of services without a backend",
        "0 in daily life. Whoever connects there is refused: all backends are draining, or the file has none "
        "of this family (netsre balance status names them).",
        (Query(promql.aggregate("max", (c.NODE,), none), "{{node}}"),),
        width=12,
        height=7,
        steps=(Step(0, panels.GREEN), Step(1, panels.VERMILION)),
        lowest=0,
    )


def _refused() -> Panel:
    refused = promql.aggregate("sum", ("service",), promql.rate(promql.agent(c.BALANCE_REFUSED)))
    return Panel(
        "services/refused",
        "timeseries",
        "Refused for want of a backend, by service",
        "Calls that netsre's balancer answered with EHOSTUNREACH: somebody asked, and nobody was there.",
        (Query(promql.top(_MOST, refused), "{{service}}"),),
        width=12,
        height=7,
        steps=_CALM,
        lowest=0,
    )
