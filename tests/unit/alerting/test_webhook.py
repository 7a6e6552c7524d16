"""What Alertmanager sends: read whole or refused with the place, and each alert in it judged by itself."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.alerting import webhook
from netsre.alerting.webhook import Known
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model.alerts import AlertState
from netsre.model.incidents import Disposition

BODY: dict[str, Any] = {
    "receiver": "netsre",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "A"},
            "annotations": {"a": "b"},
            "startsAt": "2026-11-23T23:00:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://x/",
            "fingerprint": "d2c6efc389df0927",
        }
    ],
    "groupLabels": {},
    "commonLabels": {"alertname": "A"},
    "commonAnnotations": {"a": "b"},
    "externalURL": "http://vm:9093",
    "version": "4",
    "groupKey": "{}:{}",
    "truncatedAlerts": 0,
}
"""As Alertmanager 0.25 wrote it."""


def changed(path: str, value: object) -> bytes:
    """Return the body with one value replaced; `...` takes it away."""
    body = copy.deepcopy(BODY)
    *way, last = path.split(".")
    there: Any = body
    for step in way:
        there = there[int(step) if step.isdigit() else step]
    if value is ...:
        del there[last]
    else:
        there[int(last) if last.isdigit() else last] = value
    return json.dumps(body).encode()


def test_a_body_of_alertmanager_is_read() -> None:
    """The fingerprint is the sum of the labels, and the same as Alertmanager's."""
    (notice,) = webhook.read(json.dumps(BODY).encode()).notices

    assert notice.fingerprint == "d2c6efc389df0927"
    assert (notice.status, notice.starts_at, notice.ends_at) == (AlertState.FIRING, 1_795_474_800_123, None)
    assert (notice.labels, notice.annotations) == ((("alertname", "A"),), {"a": "b"})


def test_what_is_new_to_us_is_ignored_and_lies_are_recomputed() -> None:
    """Unknown keys, a fingerprint of something else, labels without a value, an end of what fires."""
    alert = {**BODY["alerts"][0], "fingerprint": "0" * 16, "labels": {"alertname": "A", "x": ""}, "new": [1]}
    body = {**BODY, "routeLabels": {}, "notification_reason": "new alerts added", "alerts": [alert]}

    assert webhook.read(json.dumps(body).encode()) == webhook.read(json.dumps(BODY).encode())


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-11-23T23:00:00.123456789Z", 1_795_474_800_123),
        ("2026-11-24T01:00:00.123+02:00", 1_795_474_800_123),
        ("2026-11-23T23:00:00Z", 1_795_474_800_000),
    ],
)
def test_times_have_nanoseconds_and_offsets(text: str, milliseconds: int) -> None:
    """Go writes both."""
    (notice,) = webhook.read(changed("alerts.0.startsAt", text)).notices

    assert notice.starts_at == milliseconds


def test_a_resolved_one_ends_not_before_it_began() -> None:
    """A clock that was set between the two is no reason to refuse the news."""
    alert = {**BODY["alerts"][0], "status": "resolved", "endsAt": "2026-11-23T22:00:00Z"}
    (notice,) = webhook.read(changed("alerts.0", alert)).notices

    assert notice.ends_at == notice.starts_at


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body is no JSON"),
        (b"\xff\xfe", "body is no UTF-8 text"),
        (b"[" * 100_000, "body is nested too deeply"),
        (b"[]", "body is no JSON object"),
        (b'{"version":"4","alerts":[' + b"9" * 5000 + b"]}", "body is no JSON"),
        (changed("version", ...), "version is missing"),
        (changed("version", "1"), "version is '1', not '4'"),
        (changed("version", 4), "version is missing or no text"),
        (changed("alerts", ...), "alerts is no list"),
        (changed("alerts", {}), "alerts is no list"),
        (changed("alerts", [None]), r"alerts\[0\] is no JSON object"),
        (changed("alerts", [{}] * 20_001), "set max_alerts to at most 20000"),
        (changed("truncatedAlerts", "1"), "truncatedAlerts is no count"),
        (changed("truncatedAlerts", -1), "truncatedAlerts is no count"),
        (changed("truncatedAlerts", True), "truncatedAlerts is no count"),
        (changed("receiver", 1), "receiver is no text"),
        (changed("receiver", "\ud800"), "receiver is no text"),
        (changed("receiver", "r" * 501), "receiver has 501 characters; 500 are the most"),
        (changed("alerts.0.status", "pending"), r"alerts\[0\]\.status is 'pending'"),
        (changed("alerts.0.status", ...), r"alerts\[0\]\.status is missing"),
        (changed("alerts.0.labels", ...), r"alerts\[0\]\.labels is empty"),
        (changed("alerts.0.labels", {"a": ""}), r"alerts\[0\]\.labels is empty"),
        (changed("alerts.0.labels", []), r"alerts\[0\]\.labels is no object"),
        (changed("alerts.0.labels", {"a": 1}), r"alerts\[0\]\.labels\.'a' is no text"),
        (changed("alerts.0.labels", {"a": "\ud800"}), r"alerts\[0\]\.labels\.'a' .* half a character"),
        (changed("alerts.0.labels", {"node": "a\0"}), r"alerts\[0\]\.labels\.'node' has a NUL"),
        (changed("receiver", "a\0"), "receiver is no text"),
        (
            changed("alerts.0.annotations", {"\ud800": ""}),
            r"alerts\[0\]\.annotations\..* half a character",
        ),
        (changed("alerts.0.annotations", "x"), r"alerts\[0\]\.annotations is no object"),
        (changed("alerts.0.startsAt", ...), r"alerts\[0\]\.startsAt is missing"),
        (changed("alerts.0.startsAt", 0), r"alerts\[0\]\.startsAt is missing or no text"),
        (changed("alerts.0.startsAt", "0001-01-01T00:00:00Z"), r"alerts\[0\]\.startsAt is not set"),
        (changed("alerts.0.startsAt", "2026-11-23"), r"alerts\[0\]\.startsAt '2026-11-23' is no time"),
        (changed("alerts.0.startsAt", "soon\n"), r"alerts\[0\]\.startsAt 'soon\\n' is no time"),
        (
            changed("alerts.0", {**BODY["alerts"][0], "status": "resolved"}),
            r"alerts\[0\]\.endsAt is not set",
        ),
    ],
)
def test_what_is_no_webhook_is_refused_with_one_reason(body: bytes, reason: str) -> None:
    """It names the place, on one line."""
    with pytest.raises(BadInput, match=reason) as caught:
        webhook.read(body)
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
paths = st.sampled_from(
    ["version", "alerts", "alerts.0", "receiver", "truncatedAlerts"]
    + [f"alerts.0.{key}" for key in ("status", "labels", "annotations", "startsAt", "endsAt", "fingerprint")]
)


@given(path=paths, value=json_values)
def test_no_value_anywhere_is_more_than_bad_input(path: str, value: object) -> None:
    """Whatever stands in a place: the body is read, or refused with a reason."""
    try:
        read = webhook.read(changed(path, value))
    except BadInput as error:
        assert str(error)  # noqa: PT017  either outcome is right
    else:
        assert all(notice.labels for notice in read.notices)


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_bad_input(body: bytes) -> None:
    """Garbage has a reason too."""
    with pytest.raises(BadInput):
        webhook.read(body)


def judge(*states: tuple[int, int | None], own: bool = False) -> list[Disposition]:
    """Return what each of these states of one alert is, in the order of their arrival: (start, end)."""
    known = Known(own=own)
    return [
        webhook.dispose(
            webhook.Notice(
                fingerprint="f",
                labels=(("alertname", "A"),),
                annotations={},
                status=AlertState.FIRING if end is None else AlertState.RESOLVED,
                starts_at=Timestamp(start),
                ends_at=None if end is None else Timestamp(end),
            ),
            known,
            Timestamp(0),
        )
        for start, end in states
    ]


NEW, OWN, DUPLICATE, LATE = Disposition.NEW, Disposition.OWN, Disposition.DUPLICATE, Disposition.LATE


@pytest.mark.parametrize(
    ("states", "dispositions"),
    [
        ([(1, None), (1, 5), (6, None), (6, 9)], [NEW, NEW, NEW, NEW]),
        ([(1, None), (1, None), (1, 5), (1, 5), (1, 6)], [NEW, DUPLICATE, NEW, DUPLICATE, DUPLICATE]),
        # Resolved before the firing it ends, and a peer that fires again what has ended.
        ([(1, 5), (1, None), (1, None)], [NEW, LATE, DUPLICATE]),
        # The second firing overtakes the first end.
        ([(1, None), (6, None), (1, 5), (6, 9)], [NEW, NEW, NEW, NEW]),
        # The first firing comes after the second one, and after the second end.
        ([(6, None), (1, None), (1, 5)], [NEW, LATE, NEW]),
        ([(6, 9), (1, None), (8, None), (9, None)], [NEW, LATE, LATE, NEW]),
    ],
)
def test_each_state_of_a_firing_is_news_once(
    states: list[tuple[int, int | None]], dispositions: list[Disposition]
) -> None:
    """Delivered twice, late, or out of order."""
    assert judge(*states) == dispositions


def test_a_clock_that_was_wrong_mutes_nothing() -> None:
    """A firing of the year 9999, and its end, make no other late; it is known itself as any other is."""
    far = webhook.AHEAD + 1

    assert judge((far, None), (far, far + 5), (6, None), (1, None), (far, None)) == [
        NEW, NEW, NEW, LATE, DUPLICATE,
    ]  # fmt: skip
    assert judge((webhook.AHEAD, None), (6, None)) == [NEW, LATE]


def test_our_own_alert_is_known_as_ours() -> None:
    """Whatever its state; and the second time it is a duplicate like any other."""
    assert judge((1, None), (1, None), (1, 5), own=True) == [OWN, DUPLICATE, OWN]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=12))
def test_no_order_of_arrival_makes_one_firing_news_twice(arrivals: list[tuple[int, int]]) -> None:
    """Of every firing at most one beginning and one end are new."""
    states = [(start * 10, start * 10 + 5 if ended else None) for start, ended in arrivals]
    new = [state for state, found in zip(states, judge(*states), strict=True) if found is NEW]

    assert len(new) == len(set(new))
