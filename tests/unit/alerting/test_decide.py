"""Alerts begin when a burn rule holds, and end only after it was measured not to hold for a while."""

import dataclasses

import hypothesis
from hypothesis import strategies

from netsre import clock
from netsre.alerting import decide
from netsre.alerting.transitions import Reason, Transition
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.model.levels import Evaluation, Measured
from tests.unit import burning

HOLD = 2 * clock.MINUTE
TURN = 15 * clock.SECOND


def play(*evaluations: Evaluation | None, hold: int = HOLD) -> list[Transition]:
    """Return the transitions of the page over one turn each; None is a turn in which the source was down."""
    known: dict[str, Alert] = {}
    story = []
    last = burning.BURNING
    for turn, found in enumerate(evaluations):
        last = found or last
        now = Timestamp(burning.T0 + turn * TURN)
        for transition in decide.decide((last,), known, now, hold, blind=found is None):
            if transition.alert.state is AlertState.FIRING:
                known[transition.alert.fingerprint] = transition.alert
            else:
                del known[transition.alert.fingerprint]
            story.append(transition)
    return story


def reasons(*evaluations: Evaluation | None, hold: int = HOLD) -> list[Reason]:
    """Return the reasons of a story."""
    return [transition.reason for transition in play(*evaluations, hold=hold)]


def test_a_burn_begins_an_alert_with_the_labels_of_its_identity() -> None:
    """SLO, service, group, severity and the name are the identity; burn windows are not in it."""
    (transition,) = play(burning.BURNING)

    assert dict(transition.alert.labels) == {
        "alertname": "ErrorBudgetBurn",
        "severity": "page",
        "service": "node-datapath",
        "slo": "flow-success",
        "node": "a",
    }
    assert (transition.reason, transition.alert.fired_at) == (Reason.BURN_STARTED, burning.T0)


def test_an_alert_that_goes_on_keeps_the_time_it_fired() -> None:
    """Downstream dedupes on it, also over restarts."""
    first, second = play(burning.BURNING, burning.BURNING)

    assert second.reason is Reason.STILL_BURNING
    assert second.alert.fired_at == first.alert.fired_at < second.alert.updated_at


def test_an_alert_ends_after_the_hold_and_not_before() -> None:
    """Eight turns of 15 s are two minutes."""
    story = reasons(burning.BURNING, *[burning.CALM] * 9)

    assert story == [Reason.BURN_STARTED, *[Reason.CLEARING_HELD] * 8, Reason.BURN_STOPPED]


def test_traffic_that_stops_altogether_does_not_end_an_alert() -> None:
    """An outage that takes the traffic with it leaves nothing to measure, for hours."""
    assert set(reasons(burning.BURNING, *[burning.SILENT] * 1000)) == {
        Reason.BURN_STARTED,
        Reason.NO_OPINION_KEPT,
    }


def test_a_source_that_is_down_does_not_end_an_alert() -> None:
    """Even when the sums of the past say that the burn is over."""
    story = reasons(burning.BURNING, burning.CALM, *[None] * 100)

    assert story == [Reason.BURN_STARTED, Reason.CLEARING_HELD, *[Reason.NO_OPINION_KEPT] * 100]


def test_a_turn_without_an_opinion_starts_the_hold_over() -> None:
    """The hold is time measured, not time passed."""
    story = reasons(burning.BURNING, *[burning.CALM] * 8, None, *[burning.CALM] * 8)

    assert story[-1] is Reason.CLEARING_HELD
    assert Reason.BURN_STOPPED not in story


def test_a_source_that_is_down_begins_no_alert() -> None:
    """What was not seen is told by the source being down, not by an alert about it."""
    assert decide.decide((burning.BURNING,), {}, burning.T0, HOLD, blind=True) == ()


def test_an_alert_whose_group_left_the_history_ends_unless_nobody_looked() -> None:
    """After a whole window without it, nothing will ever measure that group again."""
    known = burning.active(burning.fired())
    later = Timestamp(burning.T0 + 1)

    (kept,) = decide.decide((), known, later, HOLD, blind=True)
    (ended,) = decide.decide((), known, later, HOLD)

    assert kept.reason is Reason.NO_OPINION_KEPT
    assert (ended.reason, ended.alert.state) == (Reason.GROUP_REMOVED, AlertState.RESOLVED)


def test_an_alert_of_an_slo_that_was_removed_is_retired() -> None:
    """Nobody would ever measure it again."""
    known = burning.active(burning.fired())

    assert decide.retire(known, {"flow-success"}, burning.T0) == ()
    (ended,) = decide.retire(known, {"another"}, burning.T0)
    assert (ended.reason, ended.alert.state) == (Reason.SLO_REMOVED, AlertState.RESOLVED)


def test_page_and_ticket_of_one_burn_are_two_alerts() -> None:
    """They go to different people and end at different times."""
    both = burning.evaluation({"5m": 100, "1h": 100, "2h": 100, "1d": 100})

    found = decide.decide((both,), {}, burning.T0, HOLD)

    assert [dict(transition.alert.labels)["severity"] for transition in found] == ["page", "ticket"]


def test_a_burn_at_the_factor_is_measured_not_to_hold() -> None:
    """A rule fires above its factor, so at the factor it clears."""
    policy = dataclasses.replace(burning.PAGE, budget_share=burning.PAGE.budget_share)
    at_factor = policy.factor(30 * clock.DAY)
    calm = burning.evaluation({"1h": Measured(at_factor)})

    assert reasons(burning.BURNING, calm)[-1] is Reason.CLEARING_HELD


def test_too_few_bad_events_are_measured_not_to_hold() -> None:
    """Both windows are above the factor and the rule still does not fire: that was measured, and clears."""
    few = dataclasses.replace(burning.BURNING, firing=())

    assert reasons(burning.BURNING, few)[-1] is Reason.CLEARING_HELD


def test_a_new_burn_after_the_end_is_a_new_firing_with_a_key_of_its_own() -> None:
    """The same alert may page twice in a day; each is announced once."""
    story = play(burning.BURNING, burning.CALM, burning.CALM, burning.BURNING, hold=TURN)

    keys = [transition.key for transition in story if transition.announced]
    assert len(keys) == len(set(keys)) == 3


@hypothesis.given(
    strategies.lists(
        strategies.sampled_from([burning.BURNING, burning.CALM, burning.SILENT, None]), max_size=40
    )
)
def test_no_alert_ends_without_a_hold_of_calm_measurements(story: list[Evaluation | None]) -> None:
    """Whatever happened before, the turns of the hold before an end were all measured to be calm."""
    known: dict[str, Alert] = {}
    last = burning.CALM
    for turn, found in enumerate(story):
        last = found or last
        now = Timestamp(burning.T0 + turn * TURN)
        for transition in decide.decide((last,), known, now, HOLD, blind=found is None):
            known[transition.alert.fingerprint] = transition.alert
            if transition.reason is Reason.BURN_STOPPED:
                assert story[turn - 8 : turn + 1] == [burning.CALM] * 9
                del known[transition.alert.fingerprint]
