"""What an Alertmanager hears, and when: at once, again before it forgets, of each alert one firing."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.alerting import notify
from netsre.alerting.notify import Pace, Plan, Told
from netsre.clock import SECOND, Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from tests.unit import burning

PACE = Pace(interval=15 * SECOND)
T0 = burning.T0
FIRING = burning.fired().alert


def at(seconds: int) -> Timestamp:
    """Return a time so many seconds after the alert began."""
    return Timestamp(T0 + seconds * SECOND)


def ended(alert: Alert, when: Timestamp) -> Alert:
    """Return an alert that is over."""
    return dataclasses.replace(alert, state=AlertState.RESOLVED, resolved_at=when)


def told(alert: Alert, when: Timestamp) -> dict[notify.Firing, Told]:
    """Return what a peer took."""
    return {notify.firing(alert): Told(when, alert.state)}


def test_what_is_new_is_due_at_once() -> None:
    """Nothing waits for the first time."""
    assert notify.plan([FIRING], {}, at(0), PACE).due == (FIRING,)


@pytest.mark.parametrize(("seconds", "due"), [(1, False), (59, False), (60, True), (-1, True)])
def test_what_fires_is_told_again_after_a_minute(seconds: int, *, due: bool) -> None:
    """Also when the clock was set back meanwhile: nobody knows then how long ago it was."""
    found = notify.plan([FIRING], told(FIRING, at(0)), at(seconds), PACE)

    assert bool(found.due) is due
    assert due or found.next_at == at(60)


def test_an_end_is_due_at_once_and_for_fifteen_minutes() -> None:
    """However short ago the firing was told; and then it is over."""
    over = ended(FIRING, at(10))

    assert notify.plan([over], told(FIRING, at(9)), at(10), PACE).due == (over,)
    assert notify.plan([over], told(over, at(10)), at(69), PACE).due == ()
    assert notify.plan([over], told(over, at(10)), at(70), PACE).due == (over,)
    assert notify.plan([over], told(over, at(850)), at(910), PACE) == Plan((), at(970))


def test_an_alert_that_fires_again_is_told_alone() -> None:
    """Its earlier end, told after it, would end it in Alertmanager."""
    over = ended(FIRING, at(10))
    again = dataclasses.replace(FIRING, fired_at=at(20))

    assert notify.plan([again, over], {}, at(20), PACE).due == (again,)
    assert notify.plan([over, again], {}, at(20), PACE).due == (again,)


@pytest.mark.parametrize("source", AlertSource)
def test_what_alertmanager_told_us_does_not_go_back(source: AlertSource) -> None:
    """Everything else is ours to tell."""
    alert = dataclasses.replace(FIRING, source=source)

    assert bool(notify.plan([alert], {}, at(0), PACE).due) is (source is not AlertSource.WEBHOOK)


def test_a_post_has_at_most_256_alerts() -> None:
    """None is lost on the way into posts, and their order stays."""
    alerts = [dataclasses.replace(FIRING, fired_at=at(n)) for n in range(600)]
    posts = list(notify.batches(alerts))

    assert [len(post) for post in posts] == [256, 256, 88]
    assert [alert for post in posts for alert in post] == alerts


def test_the_body_is_that_of_the_api() -> None:
    """A firing begins when it fired, also told an hour later; empty labels are left out."""
    alert = dataclasses.replace(FIRING, labels=(*FIRING.labels, ("zone", "")))
    body = notify.body(alert, at(3600), PACE, "http://a/page")

    assert body == {
        "labels": dict(FIRING.labels),
        "annotations": dict(FIRING.annotations),
        "startsAt": "2026-01-01T00:00:00.000Z",
        "endsAt": "2026-01-01T01:04:00.000Z",
        "generatorURL": "http://a/page",
    }
    over = notify.body(ended(FIRING, at(10)), at(3600), PACE, "http://a/page")
    assert (over["startsAt"], over["endsAt"]) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:10.000Z")


times = st.integers(0, 10**12).map(Timestamp)
lengths = st.integers(1, 10 * clock.MINUTE)


@given(now=times, fired=times, interval=lengths, resend=lengths, timeout=lengths)
def test_a_firing_outlives_two_lost_posts(
    now: Timestamp, fired: Timestamp, interval: int, resend: int, timeout: int
) -> None:
    """Whatever the pace and wherever the clock was set: the end is that far ahead, and after the start."""
    pace = Pace(interval, resend, timeout)
    body = notify.body(dataclasses.replace(FIRING, fired_at=fired), now, pace, "")
    starts, ends = (clock.parse_rfc3339(str(body[key])) for key in ("startsAt", "endsAt"))

    assert ends - now >= 2 * resend + 2 * timeout
    assert ends >= starts == fired


@given(now=times, fired=times, over=times)
def test_an_end_is_never_ahead_and_never_before_its_beginning(
    now: Timestamp, fired: Timestamp, over: Timestamp
) -> None:
    """Alertmanager refuses the second, and takes the first for an alert that still fires."""
    alert = ended(dataclasses.replace(FIRING, fired_at=fired), over)
    body = notify.body(alert, now, PACE, "")
    starts, ends = (clock.parse_rfc3339(str(body[key])) for key in ("startsAt", "endsAt"))

    assert starts <= ends <= now


@given(steps=st.lists(st.integers(1, 120), min_size=1, max_size=30), over=st.integers(0, 1200))
def test_no_firing_is_ever_left_to_end_by_itself(steps: list[int], over: int) -> None:
    """Woken at any times, and again when the plan says so: what was posted is posted anew before its end."""
    sent: dict[notify.Firing, Told] = {}
    valid_until = now = at(0)
    waiting = list(steps)
    while waiting:
        alert = FIRING if now < at(over) else ended(FIRING, at(over))
        found = notify.plan([alert], sent, now, PACE)
        if found.due:
            assert alert.state is AlertState.RESOLVED or now <= valid_until
            sent |= told(alert, now)
            valid_until = Timestamp(now + PACE.valid)
        now = min(found.next_at, Timestamp(now + waiting.pop() * SECOND))
