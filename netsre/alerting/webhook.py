"""What Alertmanager sends us (webhook version 4): read whole or refused whole, and what each alert in it is.

Alertmanager delivers at least once, from several peers, and out of order. An alert is what its labels are; a
firing of it is named by its beginning; and every state of a firing is news once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from netsre import clock
from netsre.alerting import deploys
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.alerts import AlertState, fingerprint
from netsre.model.incidents import Disposition
from netsre.model.samples import Labels, labels

VERSION: Final = "4"
MOST_ALERTS: Final = 20_000
"""Alerts in one request."""
_LONGEST_RECEIVER: Final = 500
"""What was left out is asked for by that name, in the address of a request."""
AHEAD: Final = clock.HOUR
"""How far a sender's clock may be ahead; a later time was written by a clock that was wrong."""
_ZERO: Final = "0001-01-01T"
"""How a time that is not set begins."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One state of one firing of an alert, as somebody else tells of it."""

    fingerprint: str
    """Of the labels as they are: what the sender calls it does not count."""
    labels: Labels
    annotations: Mapping[str, str]
    status: AlertState
    starts_at: Timestamp
    ends_at: Timestamp | None
    """None while it fires."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One request of Alertmanager."""

    receiver: str
    """A regular expression for the name of the receiver that we are there."""
    truncated: int
    """How many alerts were left out."""
    notices: tuple[Notice, ...]


@dataclass(slots=True)
class Known:
    """What was received about one alert until now."""

    own: bool = False
    """We tell Alertmanager of it ourselves."""
    states: set[tuple[Timestamp, AlertState]] = field(default_factory=set)
    last_start: Timestamp | None = None
    last_end: Timestamp | None = None


def read(body: bytes) -> Notification:
    """Return the request of a body; raises `BadInput` with the place of the first thing that is wrong."""
    document = _object(_json(body), "body")
    version = document.get("version")
    if version != VERSION:
        said = literals.shown(version) if isinstance(version, str) else "missing or no text"
        raise BadInput(
            f"version is {said}, not '{VERSION}'; use Alertmanager's own webhook body, without `payload`"
        )
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        raise BadInput("alerts is no list")
    if len(alerts) > MOST_ALERTS:
        raise BadInput(f"alerts has {len(alerts)} entries; set max_alerts to at most {MOST_ALERTS}")
    truncated, receiver = document.get("truncatedAlerts", 0), document.get("receiver", "")
    if not isinstance(truncated, int) or isinstance(truncated, bool) or truncated < 0:
        raise BadInput("truncatedAlerts is no count")
    if not isinstance(receiver, str) or not _writable(receiver):
        raise BadInput("receiver is no text")
    if len(receiver) > _LONGEST_RECEIVER:
        raise BadInput(f"receiver has {len(receiver)} characters; {_LONGEST_RECEIVER} are the most")
    return Notification(
        receiver, truncated, tuple(_sent(alert, f"alerts[{n}]") for n, alert in enumerate(alerts))
    )


def fetched(alerts: Sequence[object]) -> tuple[Notice, ...]:
    """Return the alerts that an Alertmanager has, all of which fire; raises `BadInput` as `read` does."""
    if len(alerts) > MOST_ALERTS:
        raise BadInput(f"{len(alerts)} alerts are more than {MOST_ALERTS}")
    return tuple(_fires(alert, f"[{number}]") for number, alert in enumerate(alerts))


def without_batch(notice: Notice) -> Notice | None:
    """Return a notice about an alert that we told of in a batch as we know it; None where it cannot be one.

    What we tell has its batch twice: as a label, and as an annotation.
    """
    found = dict(notice.labels)
    batch = found.pop(deploys.LABEL, None)
    if batch is None or notice.annotations.get(deploys.LABEL) != batch:
        return None
    identity = labels(found)
    return replace(notice, labels=identity, fingerprint=fingerprint(identity))


def dispose(notice: Notice, known: Known, at: Timestamp) -> Disposition:
    """Say what one state of an alert is to us when it comes at a time, and remember it in `known`.

    What is later than any clock may be makes nothing late, or one wrong clock would mute an alert until then.
    """
    state = (notice.starts_at, notice.status)
    if state in known.states:
        found = Disposition.DUPLICATE
    elif known.own:
        found = Disposition.OWN
    elif notice.status is AlertState.FIRING and _is_over(notice, known):
        found = Disposition.LATE
    else:
        found = Disposition.NEW
    known.states.add(state)
    if notice.ends_at is None:
        known.last_start = _later(known.last_start, notice.starts_at, at)
    else:
        known.last_end = _later(known.last_end, notice.ends_at, at)
    return found


def _later(known: Timestamp | None, found: Timestamp, at: Timestamp) -> Timestamp | None:
    return known if found > at + AHEAD else max(found, known or found)


def _is_over(notice: Notice, known: Known) -> bool:
    """Tell whether a firing has ended: its own end is known, or the alert began again or ended later."""
    if (notice.starts_at, AlertState.RESOLVED) in known.states:
        return True
    later = (at for at in (known.last_start, known.last_end) if at is not None)
    return any(notice.starts_at < at for at in later)


def _json(body: bytes) -> object:
    try:
        found: object = json.loads(body.decode())
    except UnicodeDecodeError as error:
        raise BadInput("body is no UTF-8 text") from error
    except ValueError as error:
        raise BadInput(f"body is no JSON: {error}") from error
    except RecursionError as error:
        raise BadInput("body is nested too deeply") from error
    return found


def _sent(value: object, place: str) -> Notice:
    alert = _object(value, place)
    status = alert.get("status")
    if status not in ("firing", "resolved"):
        said = literals.shown(status) if isinstance(status, str) else "missing or no text"
        raise BadInput(f"{place}.status is {said}; it is 'firing' or 'resolved'")
    starts = _required_time(alert, "startsAt", place)
    state = AlertState(status)
    # What fires has no end, whatever is written there; an end before the beginning is a clock that was set.
    ends = (
        None if state is AlertState.FIRING else Timestamp(max(starts, _required_time(alert, "endsAt", place)))
    )
    return _notice(alert, place, state, starts, ends)


def _fires(value: object, place: str) -> Notice:
    alert = _object(value, place)
    return _notice(alert, place, AlertState.FIRING, _required_time(alert, "startsAt", place), None)


def _notice(
    alert: Mapping[str, object], place: str, state: AlertState, starts: Timestamp, ends: Timestamp | None
) -> Notice:
    # To Alertmanager a label without a value is no label.
    found = {name: text for name, text in _texts(alert, "labels", place).items() if text}
    if not found:
        raise BadInput(f"{place}.labels is empty; an alert is what its labels are")
    identity = labels(found)
    return Notice(
        fingerprint=fingerprint(identity),
        labels=identity,
        annotations=_texts(alert, "annotations", place),
        status=state,
        starts_at=starts,
        ends_at=ends,
    )


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadInput(f"{place} is no JSON object")
    return value


def _texts(alert: Mapping[str, object], key: str, place: str) -> Mapping[str, str]:
    found = alert.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadInput(f"{place}.{key} is no object")
    for name, text in found.items():
        if not isinstance(text, str):
            raise BadInput(f"{place}.{key}.{name[:100]!a} is no text")
        if not (_writable(name) and _writable(text)):
            raise BadInput(f"{place}.{key}.{name[:100]!a} has a NUL or half a character in it")
    return found


def _writable(text: str) -> bool:
    """Tell whether every database can keep a text."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _required_time(alert: Mapping[str, object], key: str, place: str) -> Timestamp:
    text = alert.get(key)
    if not isinstance(text, str):
        raise BadInput(f"{place}.{key} is missing or no text")
    if text.startswith(_ZERO):
        raise BadInput(f"{place}.{key} is not set")
    try:
        return clock.parse_rfc3339(text)
    except ValueError as error:
        raise BadInput(
            f"{place}.{key} {literals.shown(text)} is no time; write 2026-01-02T03:04:05Z"
        ) from error
