"""The gates answer with a named reason, and limits are counted from the runs on record."""

import dataclasses

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.levels import Origin
from netsre.model.runbooks import Limits, Run, Runbook, RunState, Step, Trigger
from netsre.runbook import conditions, decide, targets
from netsre.runbook.decide import Gate
from tests.unit import burning

ALERT = burning.fired().alert
BOOK = Runbook(
    name="look",
    triggers=(Trigger("ErrorBudgetBurn", AlertState.FIRING),),
    when=None,
    lock="network/{node}",
    limits=Limits(cooldown=15 * clock.MINUTE, per_hour=2),
    mode="observe",
    steps=(Step("evidence.collect", {"what": ("flows",)}),),
    origin=Origin("look.yaml", 1),
)
NOW = Timestamp(burning.T0 + clock.DAY)


def ran(
    ago: int, state: RunState = RunState.SUCCEEDED, runbook: str = "look", target: str = "network/a"
) -> Run:
    """Return a run that began so many milliseconds ago."""
    started = Timestamp(NOW - ago)
    return Run("id", runbook, "alert", burning.T0, target, state, "accepted", started, None)


def gate(*history: Run, book: Runbook = BOOK) -> Gate:
    """Return the word of the gates now."""
    return decide.decide(book, ALERT, history, NOW).reason


def test_a_run_without_a_past_is_accepted_on_its_target() -> None:
    """The target is the lock with the labels of the alert."""
    assert decide.decide(BOOK, ALERT, (), NOW) == decide.Verdict(Gate.ACCEPTED, "network/a")


def test_another_alert_or_transition_is_not_matched() -> None:
    """A runbook names the transition: what helps at the beginning can harm at the end."""
    resolved = dataclasses.replace(ALERT, state=AlertState.RESOLVED)

    assert decide.decide(BOOK, resolved, (), NOW).reason is Gate.NOT_MATCHED


def test_a_condition_that_does_not_hold_refuses() -> None:
    """The word is the one in the metric."""
    book = dataclasses.replace(BOOK, when=conditions.parse('labels.severity == "ticket"'))

    assert gate(book=book) == "condition_false"


def test_an_alert_without_the_label_of_the_target_refuses() -> None:
    """No target is never every target."""
    assert gate(book=dataclasses.replace(BOOK, lock="network/{interface}")) is Gate.NO_TARGET


def test_a_run_on_the_same_target_refuses_whoever_runs_it() -> None:
    """The lock is on the target, and an old run that is not over holds it too."""
    assert gate(ran(clock.DAY, RunState.EXECUTING, runbook="other")) is Gate.ALREADY_RUNNING
    assert gate(ran(0, RunState.GATED, target="network/b")) is Gate.ACCEPTED


def test_the_cooldown_ends_exactly_when_it_says() -> None:
    """A millisecond earlier is too early."""
    assert gate(ran(15 * clock.MINUTE - 1)) is Gate.COOLDOWN
    assert gate(ran(15 * clock.MINUTE)) is Gate.ACCEPTED


def test_the_cooldown_is_for_one_target_and_the_rate_for_all() -> None:
    """Two runs elsewhere within the hour use up a rate of two."""
    elsewhere = [ran(clock.MINUTE, target=f"network/{name}") for name in "bc"]

    assert gate(elsewhere[0]) is Gate.ACCEPTED
    assert gate(*elsewhere) is Gate.RATE_LIMITED


def test_a_failed_run_counts_and_a_refused_one_does_not() -> None:
    """A failed run may have done something, a refused one did nothing."""
    assert gate(ran(1, RunState.FAILED)) is Gate.COOLDOWN
    assert gate(ran(1, RunState.REFUSED), ran(2, RunState.REFUSED)) is Gate.ACCEPTED


def test_a_run_of_the_future_limits_no_longer_than_one_of_the_past() -> None:
    """The clock ran two days ahead and was set back: automation does not wait for two days."""
    assert gate(ran(-2 * clock.DAY), ran(-2 * clock.DAY)) is Gate.ACCEPTED
    assert gate(ran(-clock.MINUTE)) is Gate.COOLDOWN


def test_lookback_covers_every_limit() -> None:
    """A cooldown longer than the hour of the rate is looked back to."""
    patient = dataclasses.replace(BOOK, limits=Limits(clock.DAY, 1))

    assert decide.lookback([BOOK]) == clock.HOUR
    assert decide.lookback([BOOK, patient]) == clock.DAY


def test_a_value_that_looks_like_a_place_is_not_filled_in_again() -> None:
    """One pass: a label cannot reach for another label."""
    assert targets.resolve("a/{x}", (("x", "{y}"), ("y", "secret"))) == "a/{y}"
    assert targets.resolve("a/{x}", (("x", ""),)) is None
