"""Whether the runbook is asked for, and whether anybody may act at all."""

from collections.abc import Iterator
from typing import Final

from netsre import clock, conventions
from netsre.model.alerts import Alert
from netsre.model.runbooks import Runbook
from netsre.runbook import conditions
from netsre.runbook.gates.answers import Answer, age_text
from netsre.runbook.gates.circumstances import Circumstances, KillSwitch
from netsre.runbook.gates.names import Gate

BLIND_AFTER: Final = 3
"""Evaluation intervals without a reading after which nothing is changed any more."""


def about(runbook: Runbook, alert: Alert, target: str | None, here: str) -> Iterator[Answer]:
    """Yield whether a runbook is for an alert, and on which target."""
    pairs = dict(alert.labels)
    name, node = pairs.get("alertname", ""), pairs.get(conventions.NODE)
    # One Alertmanager may tell the controllers of many nodes; evidence of another node would mislead.
    ours = node in (None, here)
    said = f"{name or 'no name'} {alert.state}" + ("" if ours else f" on {node}, and this is {here}")
    starts = any(trigger.starts(alert) for trigger in runbook.triggers)
    yield Answer(Gate.NOT_MATCHED, starts and ours, said)
    holds = runbook.when is None or conditions.holds(runbook.when, alert)
    said = "no condition" if runbook.when is None else conditions.text(runbook.when)
    yield Answer(Gate.CONDITION_FALSE, holds, said)
    # Without a node no reading could show whether a change helped.
    lacks = runbook.changes and node is None
    said = "a change needs the alert's label node" if lacks else f"{runbook.lock} needs a label of the alert"
    known = target is not None and not lacks
    yield Answer(Gate.NO_TARGET, known, (known and target) or said)


def firing(circumstances: Circumstances, *, needed: bool) -> Answer:
    """Return whether the alert fires."""
    fires = circumstances.firing
    return Answer(Gate.ALERT_NOT_FIRING, fires or not needed, "fires" if fires else "does not fire")


def fresh(age: int | None, interval: int) -> bool:
    """Tell whether a reading of such an age, in milliseconds, shows the node as it is; None is no reading."""
    return age is not None and abs(age) <= BLIND_AFTER * interval


def blind(circumstances: Circumstances, *, begun: bool, changes: bool) -> Answer:
    """Return whether the node was read a short while ago."""
    age, interval = circumstances.reading_age, circumstances.interval
    if age is None:
        # Who has just started waits for the first reading; before a change there must be one.
        return Answer(Gate.BLIND, not begun or not changes, "no reading since this controller started")
    most = clock.duration_text(BLIND_AFTER * interval)
    said = f"last reading {age_text(abs(age))} ago, at most {most}"
    return Answer(Gate.BLIND, fresh(age, interval) or not changes, said)


def kill_switch(state: KillSwitch) -> Answer:
    """Return whether the kill switch is off."""
    unreadable = state is KillSwitch.UNREADABLE
    gate = Gate.KILL_SWITCH_UNREADABLE if unreadable else Gate.KILL_SWITCH_ON
    return Answer(gate, state is KillSwitch.OFF, f"kill switch {state}")
