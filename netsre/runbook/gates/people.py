"""What people ask for: pauses, maintenance calendars, and alerts beside which a runbook does not act."""

from collections.abc import Iterable

from netsre import clock
from netsre.model.alerts import Alert
from netsre.model.holds import Pause
from netsre.model.runbooks import Veto
from netsre.runbook.gates.answers import Answer
from netsre.runbook.gates.circumstances import Act, Circumstances
from netsre.runbook.gates.names import Gate


def paused(act: Act, circumstances: Circumstances) -> Answer:
    """Return whether nobody asked that it be left alone; who only looks is paused as well."""
    now = circumstances.now
    for pause in circumstances.holds.pauses:
        if pause.stands(now) and pause.covers(act.runbook, act.target or ""):
            return Answer(Gate.PAUSED, passed=False, detail=pause_text(pause))
    return Answer(Gate.PAUSED, passed=True, detail="nobody asked for a pause")


def pause_text(pause: Pause) -> str:
    """Return a pause in words."""
    what = " ".join(filter(None, (pause.scope.value, pause.name)))
    return f"{what} paused by {pause.owner} until {clock.rfc3339(pause.until)}: {pause.reason}"


def maintenance(act: Act, circumstances: Circumstances) -> Answer:
    """Return whether no window is open in which people work on the target."""
    for calendar in circumstances.holds.calendars:
        until = calendar.until(circumstances.now)
        if until is not None and calendar.covers(act.runbook, act.target or ""):
            said = f"{calendar.name} until {clock.rfc3339(until)}: {calendar.reason}"
            return Answer(Gate.MAINTENANCE, passed=not act.changes, detail=said)
    return Answer(Gate.MAINTENANCE, passed=True, detail="no window is open")


def vetoed(act: Act, vetoes: Iterable[Veto], circumstances: Circumstances) -> Answer:
    """Return whether no alert fires beside which the runbook must not act."""
    for veto in vetoes:
        for other in circumstances.holds.firing:
            if forbids(veto, other, act.alert):
                said = f"{veto.alert} fires since {clock.rfc3339(other.fired_at)}: {_labels(other)}"
                return Answer(Gate.VETOED, passed=False, detail=said)
    named = ", ".join(veto.alert for veto in vetoes)
    said = f"none that counts of {named} fires" if named else "no alert is named under unless"
    return Answer(Gate.VETOED, passed=True, detail=said)


def forbids(veto: Veto, other: Alert, own: Alert) -> bool:
    """Return whether an alert that fires keeps a runbook from acting about its own."""
    if other.fingerprint == own.fingerprint:
        return False  # no alert stands against itself
    theirs, ours = dict(other.labels), dict(own.labels)
    wanted = {"alertname": veto.alert, **dict(veto.match)}
    shared = all(theirs.get(name, "") == ours.get(name, "") for name in veto.equal)
    return shared and all(theirs.get(name, "") == value for name, value in wanted.items())


def _labels(alert: Alert) -> str:
    return ", ".join(f"{name}={value}" for name, value in alert.labels if name != "alertname")
