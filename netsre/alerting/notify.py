"""What an Alertmanager has to hear, and when: Prometheus's rules, one peer at a time.

    new, or ended since it was told    at once
    firing                             again after `resend`, or Alertmanager lets it end by itself
    resolved                           again after `resend`, for 15 minutes: it may have missed the first time
    resolved, and firing again         only the firing: of both, Alertmanager would keep what it heard last

Every firing carries an end of its own, far enough ahead that two posts in a row may be lost:
`endsAt - sentAt >= 2 * resend + 2 * timeout`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.alerting import deploys
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.documents import Document

OWN: Final = frozenset({AlertSource.SLO, AlertSource.CONDITION, AlertSource.AUTOMATION})
"""What we tell of; what Alertmanager told us it knows."""
RESOLVED_FOR: Final = 15 * clock.MINUTE
"""How long the end of an alert is told again and again."""
BATCH: Final = 256
"""Alerts in one post."""

Firing = tuple[str, Timestamp]
"""One firing of an alert: its fingerprint, and when it began."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often alerts are told, in milliseconds; a post must be over within `timeout`."""

    interval: int
    """Between two evaluations."""
    resend: int = clock.MINUTE
    timeout: int = 10 * clock.SECOND

    @property
    def valid(self) -> int:
        """How long after a post an alert that nobody tells again goes on by itself."""
        return max(4 * max(self.interval, self.resend), 2 * (self.resend + self.timeout))


@dataclass(frozen=True, slots=True)
class Told:
    """What a peer took last about one firing."""

    at: Timestamp
    state: AlertState


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be told now, and when to look again at the latest."""

    due: tuple[Alert, ...]
    next_at: Timestamp


def plan(alerts: Iterable[Alert], told: Mapping[Firing, Told], now: Timestamp, pace: Pace) -> Plan:
    """Return what a peer must hear now, in the order in which it began, and when the next will be due."""
    due = []
    next_at = Timestamp(now + pace.resend)
    for alert in _relevant(alerts, now):
        last = told.get(firing(alert))
        # Told in a future that the clock was set back from: nobody knows how long ago that was.
        if last is None or last.state is not alert.state or not 0 <= now - last.at < pace.resend:
            due.append(alert)
        else:
            next_at = min(next_at, Timestamp(last.at + pace.resend))
    return Plan(tuple(sorted(due, key=lambda alert: (alert.fired_at, alert.fingerprint))), next_at)


def firing(alert: Alert) -> Firing:
    """Return which firing of which alert this is."""
    return alert.fingerprint, alert.fired_at


def batches(alerts: Sequence[Alert]) -> Iterator[Sequence[Alert]]:
    """Cut alerts into posts."""
    return (alerts[begin : begin + BATCH] for begin in range(0, len(alerts), BATCH))


def body(alert: Alert, now: Timestamp, pace: Pace, page: str) -> Document:
    """Return an alert as Alertmanager's API v2 takes it; `page` is where people look at it here.

    It begins when it fired, however often it is told.
    """
    if alert.resolved_at is None:
        # Beside a clock that was set back the beginning may lie ahead, and an end before it is refused.
        starts, ends = alert.fired_at, max(now, alert.fired_at) + pace.valid
    else:
        ends = min(alert.resolved_at, now)
        starts = min(alert.fired_at, ends)
    return {
        "labels": deploys.labels(alert),
        "annotations": {name: value for name, value in alert.annotations.items() if value},
        "startsAt": clock.rfc3339(Timestamp(starts)),
        "endsAt": clock.rfc3339(Timestamp(ends)),
        "generatorURL": page,
    }


def _relevant(alerts: Iterable[Alert], now: Timestamp) -> Iterator[Alert]:
    """Yield of every alert of ours its newest firing, unless that ended long ago.

    In another batch it is another alert to Alertmanager, which has to hear that the former one ended.
    """
    newest: dict[tuple[str, str | None], Alert] = {}
    for alert in alerts:
        key = (alert.fingerprint, alert.annotations.get(deploys.LABEL))
        known = newest.get(key)
        if alert.source in OWN and (known is None or known.fired_at <= alert.fired_at):
            newest[key] = alert
    for alert in newest.values():
        if alert.resolved_at is None or now - alert.resolved_at < RESOLVED_FOR:
            yield alert
