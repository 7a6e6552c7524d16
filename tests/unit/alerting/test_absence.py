"""Claims about silence: who is told of it, how urgently, and when it is over."""

import dataclasses
from fractions import Fraction

import pytest

from netsre import clock
from netsre.alerting import absence, describe
from netsre.alerting.transitions import Reason, Transition
from netsre.clock import Timestamp
from netsre.model.levels import Evaluation
from tests.unit import burning

HOLD = 30 * clock.SECOND
NOW = Timestamp(burning.T0 + clock.HOUR)
LEVEL = dataclasses.replace(burning.slo(), absent=5 * clock.MINUTE)


def seen(read: int | None, event: int | None, *, coverage: Fraction = Fraction(1, 3)) -> Evaluation:
    """Return a level that was read, and had an event, so many minutes ago."""
    read_at, event_at = (
        None if ago is None else Timestamp(NOW - ago * clock.MINUTE) for ago in (read, event)
    )
    one = burning.evaluation({}, of=LEVEL)
    return dataclasses.replace(one, read_at=read_at, event_at=event_at, coverage=coverage)


def decide(one: Evaluation, *known: Transition, now: Timestamp = NOW) -> list[tuple[str, str]]:
    """Return severity and reason of every transition."""
    found = absence.decide([one], burning.active(*known), now, HOLD)
    return [(dict(t.alert.labels)["severity"], t.reason.value) for t in found]


def begun(one: Evaluation) -> Transition:
    """Return the beginning of the only alert."""
    (found,) = absence.decide([one], {}, NOW, HOLD)
    assert found.announced
    return found


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (seen(0, 0), []),
        (seen(4, 4), []),
        (seen(0, 4), []),
        (seen(5, 5), [("page", "absence_started")]),
        (seen(600, 5), [("page", "absence_started")]),
        (seen(0, 5), [("ticket", "absence_started")]),
        (seen(4, 700), [("ticket", "absence_started")]),
        # Never read: a level that has just been written down.
        (seen(None, None), []),
        # Read for a third of the window, and never an event: its selector matches nothing.
        (seen(0, None), [("ticket", "absence_started")]),
        (seen(0, None, coverage=Fraction(1, 30 * 24 * 60)), []),
    ],
)
def test_whether_somebody_looks_decides_how_urgent_it_is(
    one: Evaluation, told: list[tuple[str, str]]
) -> None:
    """Unread is a page, read and without events a ticket, and nobody is told of both."""
    assert decide(one) == told


def test_it_ends_when_the_opposite_was_seen_for_the_hold() -> None:
    """One reading is not enough; a break begins the hold anew."""
    page = begun(seen(6, 6))
    (held,) = absence.decide([seen(0, 0)], burning.active(page), NOW, HOLD)
    assert held.reason is Reason.CLEARING_HELD

    (again,) = absence.decide([seen(5, 5)], burning.active(held), NOW, HOLD)
    (held,) = absence.decide([seen(0, 0)], burning.active(again), NOW, HOLD)
    assert decide(seen(0, 0), held, now=Timestamp(NOW + HOLD - 1)) == [("page", "clearing_held")]
    assert decide(seen(0, 0), held, now=Timestamp(NOW + HOLD)) == [("page", "absence_ended")]


def test_a_ticket_stays_while_nobody_looks() -> None:
    """Whether events came back cannot be said; that nobody looks is a page of its own."""
    ticket = begun(seen(0, 6))

    assert decide(seen(7, 7), ticket) == [("page", "absence_started"), ("ticket", "no_opinion_kept")]


def test_the_alert_of_a_group_that_is_gone_ends() -> None:
    """And so does that of a level that does not ask any more."""
    assert [t.reason for t in absence.decide([], burning.active(begun(seen(6, 6))), NOW, HOLD)] == [
        Reason.GROUP_REMOVED
    ]


def test_its_words_say_what_is_known() -> None:
    """Labels as a burn has them, under a name of its own; and nothing is made up about the budget."""
    page, ticket = begun(seen(65, 70)).alert, begun(seen(0, 65)).alert

    assert dict(page.labels) == {
        "alertname": describe.ABSENT,
        "severity": "page",
        "service": "node-datapath",
        "slo": "flow-success",
        "node": "a",
    }
    assert page.annotations["summary"] == (
        "flow-success was not measured for 1h5m: its source does not answer (node=a)"
    )
    assert ticket.annotations["summary"] == (
        "flow-success had no event for 1h5m, and its source answers: idle, or broken (node=a)"
    )
    assert page.annotations["time_to_exhaustion"] == "unknown (not measured)"
    assert absence.is_one(page)
    assert not absence.is_one(burning.fired().alert)
