"""What an alert of an incident is about, and how much it matters there."""

from collections.abc import Iterable, Mapping

from netsre import conventions
from netsre.alerting import describe
from netsre.model.alerts import Alert, AlertState


def named(labels: Mapping[str, str]) -> str:
    """Return the name of an alert, with its service level: each of these has an alert of that name."""
    name, slo = labels["alertname"], labels.get("slo")
    return f"{name} of {slo}" if slo else name


def cause(alert: Alert) -> frozenset[tuple[str, str]]:
    """Return what an alert is about: page and ticket of one cause ask for one thing."""
    return frozenset(pair for pair in alert.labels if pair[0] != "severity")


def is_page(labels: Mapping[str, str]) -> bool:
    """Tell whether somebody is woken for it."""
    return labels.get("severity") == conventions.SEVERITY_PAGE


def is_urgent(alert: Alert) -> bool:
    """Tell whether somebody is woken by trouble, and not by automation that calls."""
    labels = dict(alert.labels)
    return is_page(labels) and not describe.is_call(labels)


def worst_first(alerts: Iterable[Alert]) -> list[Alert]:
    """Return those that are causes, pages before others, and of both those that fire before what is over."""
    found = [alert for alert in alerts if not describe.is_call(dict(alert.labels))]
    return sorted(found, key=lambda alert: place(dict(alert.labels), alert.state))


def place(labels: Mapping[str, str], state: str) -> tuple[bool, bool]:
    """Return where an alert stands in a list that may be cut: pages first, of each kind those that fire."""
    return not is_page(labels), state != AlertState.FIRING


def others(total: int, told: int) -> str:
    """Say how many more alerts there are than were told; empty when there are none."""
    more = total - told
    if more <= 0:
        return ""
    return "1 more alert is part of it." if more == 1 else f"{more} more alerts are part of it."
