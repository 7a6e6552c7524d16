"""Levels that nobody can judge any more: an alert of its own, by whether the source still answers.

A source that is not read is a page: whatever happens there happens unseen. A source that answers, and shows
no event of the level, is a ticket: idle or broken, and only people can tell. Neither ends before the opposite
was measured without a break for the hold.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from netsre import clock
from netsre.alerting import describe, transitions
from netsre.alerting.decide import identify
from netsre.alerting.transitions import Reason, Transition
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertSource
from netsre.model.levels import Evaluation, Severity

UNREAD: Final[Severity] = "page"
"""What it is when the source is not read."""
EVENTLESS: Final[Severity] = "ticket"
"""What it is when the source is read, and shows no event."""


def decide(
    evaluations: Iterable[Evaluation],
    active: Mapping[str, Alert],
    now: Timestamp,
    hold: int,
    links: describe.Links = describe.NO_LINKS,
) -> tuple[Transition, ...]:
    """Return one transition for every such alert that fires, began or ended.

    `evaluations` are those of levels that ask for it (`SLO.absent`), `active` the firing alerts of this kind
    by fingerprint, `hold` is in milliseconds.
    """
    found: list[Transition] = []
    for evaluation in evaluations:
        for severity in (UNREAD, EVENTLESS):
            identity = identify(evaluation, severity, describe.ABSENT)
            known = active.get(alerts.fingerprint(identity))
            silent = _silence(evaluation, severity, now)
            if silent is None:
                if known is not None:
                    found.append(transitions.keep(known, now))
            elif silent >= (evaluation.slo.absent or 0):
                told = _annotations(evaluation, severity, silent, links)
                if known is None:
                    reason, source = Reason.ABSENCE_STARTED, AlertSource.SLO
                    found.append(transitions.begin(identity, told, now, reason, source))
                else:
                    found.append(transitions.go_on(known, told, now, Reason.STILL_ABSENT))
            elif known is not None:
                found.append(transitions.clear(known, now, hold, Reason.ABSENCE_ENDED))
    seen = {transition.alert.fingerprint for transition in found}
    gone = (alert for name, alert in active.items() if name not in seen)
    return (*found, *(transitions.end(alert, now, Reason.GROUP_REMOVED) for alert in gone))


def is_one(alert: Alert) -> bool:
    """Tell whether an alert is of this kind."""
    return dict(alert.labels).get("alertname") == describe.ABSENT


def _silence(evaluation: Evaluation, severity: Severity, now: Timestamp) -> int | None:
    """Return for how many milliseconds something is missing; None when that cannot be said."""
    unread = None if evaluation.read_at is None else now - evaluation.read_at
    if severity == UNREAD:
        # What was never read may be about to be: a new level has no past.
        return unread
    if unread is None or unread >= (evaluation.slo.absent or 0):
        return None  # nobody looks: that is the other alert's business
    if evaluation.event_at is not None:
        return now - evaluation.event_at
    # It never had any: for as long as somebody looked, its selector matches nothing.
    return int(evaluation.coverage * evaluation.slo.window)


def _annotations(
    evaluation: Evaluation, severity: Severity, silent: int, links: describe.Links
) -> Mapping[str, str]:
    slo = evaluation.slo
    where = ", ".join(f"{name}={value}" for name, value in evaluation.group)
    length = describe.coarse(silent)
    what = (
        f"was not measured for {length}: its source does not answer"
        if severity == UNREAD
        else f"had no event for {length}, and its source answers: idle, or broken"
    )
    return {
        "summary": f"{slo.name} {what}" + (f" ({where})" if where else ""),
        "description": f"{slo.description} Nothing is known of it now, and nothing of it can burn.".strip(),
        "runbook_url": links.runbook(slo.runbook),
        "dashboard_url": links.dashboard(slo.name),
        "budget_remaining": describe.percent(evaluation.budget_remaining),
        "time_to_exhaustion": "unknown (not measured)",
        "absent_after": clock.duration_text(slo.absent or 0),
    }
