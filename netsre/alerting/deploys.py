"""Which deployment batch an alert is of: that of the deploy that was said last before it began.

It is found once, when the alert begins, and kept with that firing: what has another label is another alert to
Alertmanager. To us it is no part of what an alert is, so that the same trouble under the next deploy goes on.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from netsre import clock
from netsre.model.alerts import Alert
from netsre.model.events import Event

LABEL: Final = "deploy"
"""The label that Alertmanager gets, and the annotation that keeps its value: the id of the event."""
KIND: Final = "deploy"
"""Events of which kind are deploys."""
OPEN: Final = 4 * clock.HOUR
"""How long after a deploy alerts are of its batch: as long as one may be announced for."""


def join(alert: Alert, deploy: Event | None) -> Alert:
    """Return an alert that begins in the batch of a deploy; one that has its own from its series keeps it."""
    if deploy is None or LABEL in dict(alert.labels):
        return alert
    return replace(alert, annotations={**alert.annotations, LABEL: deploy.id})


def keep(known: Mapping[str, str], told: Mapping[str, str]) -> Mapping[str, str]:
    """Return today's annotations of an alert that goes on, in the batch in which it began."""
    return {**told, LABEL: known[LABEL]} if LABEL in known else told


def labels(alert: Alert) -> Mapping[str, str]:
    """Return the labels by which Alertmanager knows an alert of ours; one without a value is none to it."""
    found = dict(alert.labels)
    if LABEL in alert.annotations:
        found.setdefault(LABEL, alert.annotations[LABEL])
    return {name: value for name, value in found.items() if value}
