"""Somebody else's alert becomes one to act on: it fires and ends here as Alertmanager says it does there."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from netsre.alerting.transitions import Reason, Transition
from netsre.alerting.webhook import Notice
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState


def changes(news: Iterable[Notice], firing: Mapping[str, Alert], now: Timestamp) -> list[Transition]:
    """Return what news means for the alerts of others that fire here, in the order in which it came.

    An alert that begins again ends the firing before it: Alertmanager names one firing at a time, and the end
    of that one is late or lost. An end that lies before the beginning of what fires is of an earlier firing.
    What has no name can be matched by no runbook, and is kept as received only.
    """
    open_now = dict(firing)
    found = []
    for notice in news:
        known = open_now.get(notice.fingerprint)
        if notice.ends_at is not None:
            if known is not None and known.fired_at <= notice.ends_at:
                del open_now[notice.fingerprint]
                found.append(_end(known, notice.ends_at, now, Reason.TOLD_RESOLVED))
        elif "alertname" in dict(notice.labels):
            if known is not None:
                found.append(_end(known, notice.starts_at, now, Reason.TOLD_ANEW))
            alert = _alert(notice, now)
            open_now[alert.fingerprint] = alert
            found.append(Transition(alert, Reason.TOLD_FIRING))
    return found


def _alert(notice: Notice, now: Timestamp) -> Alert:
    return Alert(
        fingerprint=notice.fingerprint,
        labels=notice.labels,
        annotations=notice.annotations,
        state=AlertState.FIRING,
        fired_at=notice.starts_at,
        resolved_at=None,
        updated_at=now,
        source=AlertSource.WEBHOOK,
    )


def _end(alert: Alert, at: Timestamp, now: Timestamp, reason: Reason) -> Transition:
    return Transition(replace(alert, state=AlertState.RESOLVED, resolved_at=at, updated_at=now), reason)
