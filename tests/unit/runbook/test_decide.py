"""The gates answer with a named reason, and limits are counted from the runs on record."""

import dataclasses
from typing import Any

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.model.runbooks import JournalKind, Limits, Mode, Run, Runbook, RunState, Trigger
from netsre.model.samples import labels
from netsre.runbook import conditions, decide, definition, targets
from netsre.runbook.decide import Circumstances, Gate, KillSwitch
from tests.unit.runbook import given

ALERT = given.ALERT
NOW = Timestamp(given.T0 + clock.DAY)
BOOK = dataclasses.replace(given.BOOK, name="look", limits=Limits(15 * clock.MINUTE, 2, 1, 60))
CALM = Circumstances(NOW, (), KillSwitch.OFF, firing=True, reading_age=1_000, interval=5_000, node="a")


def ran(
    ago: int,
    state: RunState = RunState.SUCCEEDED,
    runbook: str = "look",
    target: str = "conntrack/a",
    ended: int | None = None,
) -> Run:
    """Return a run that began, and ended, so many milliseconds ago."""
    started = Timestamp(NOW - ago)
    over = None if ended is None else Timestamp(NOW - ended)
    return Run("id", runbook, "alert", given.T0, target, state, "word", started, over)


def gate(*history: Run, book: Runbook = BOOK, **changes: Any) -> Gate:
    """Return the word of the gates now."""
    return decide.decide(book, ALERT, dataclasses.replace(CALM, history=history, **changes)).reason


def test_a_run_without_a_past_is_accepted_on_its_target() -> None:
    """The target is the lock with the labels of the alert."""
    verdict = decide.decide(BOOK, ALERT, CALM)

    assert (verdict.reason, verdict.target, verdict.accepted) == (Gate.ACCEPTED, "conntrack/a", True)


def test_every_gate_answers_also_when_an_earlier_one_says_no() -> None:
    """The journal shows all of them, in their order, and the first no is the run's word."""
    verdict = decide.decide(BOOK, ALERT, dataclasses.replace(CALM, firing=False, reading_age=99_000))

    assert [answer.gate.value for answer in verdict.answers] == [
        "not_matched",
        "condition_false",
        "no_target",
        "kill_switch_on",
        "paused",
        "maintenance",
        "vetoed",
        "alert_not_firing",
        "blind",
        "storm",
        "already_running",
        "needs_human",
        "circuit_open",
        "cooldown",
        "rate_limited",
        "target_limited",
        "too_many_targets",
        "global_limited",
        "common_cause",
    ]
    assert verdict.reason is Gate.ALERT_NOT_FIRING
    assert [answer.gate for answer in verdict.answers if not answer.passed] == [
        Gate.ALERT_NOT_FIRING,
        Gate.BLIND,
    ]
    assert all(answer.detail for answer in verdict.answers)


def test_the_journal_keeps_what_every_gate_said() -> None:
    """And by which text of the runbook, so that a run of another one ends."""
    line = decide.decide(BOOK, ALERT, CALM).line()

    assert (line.kind, line.step) == (JournalKind.GATES, -1)
    assert line.data["definition"] == definition.of(BOOK)
    assert line.data["accepted"] is True
    gates = line.data["gates"]
    assert isinstance(gates, list)
    assert gates[-1] == {
        "gate": "common_cause",
        "passed": True,
        "detail": "0 of 0 others healthy, at least 60%",
    }


def test_another_alert_or_transition_is_not_matched() -> None:
    """A runbook names the transition: what helps at the beginning can harm at the end."""
    resolved = dataclasses.replace(ALERT, state=AlertState.RESOLVED)

    assert decide.decide(BOOK, resolved, CALM).reason is Gate.NOT_MATCHED
    assert gate(book=dataclasses.replace(BOOK, triggers=())) is Gate.NOT_MATCHED


def without_node(**changes: str) -> Alert:
    """Return the alert without its node, or with other labels."""
    pairs = {name: value for name, value in ALERT.labels if name != "node"} | changes
    return dataclasses.replace(ALERT, labels=labels(pairs))


@pytest.mark.parametrize("mode", ["auto", "observe"])
def test_an_alert_about_another_node_starts_nothing_here(mode: Mode) -> None:
    """One Alertmanager tells the controllers of many nodes: each acts, and looks, at its own."""
    book = dataclasses.replace(BOOK, mode=mode)
    verdict = decide.decide(book, without_node(node="b"), CALM)

    assert verdict.reason is Gate.NOT_MATCHED
    assert verdict.answers[0].detail == "ConntrackUtilization firing on b, and this is a"


def test_what_changes_something_needs_to_know_the_node() -> None:
    """Without it no reading could show that it helped; a lock without the label does not make up for it."""
    book = dataclasses.replace(BOOK, lock="conntrack/all", mode="auto")
    verdict = decide.decide(book, without_node(), CALM)

    assert verdict.reason is Gate.NO_TARGET
    assert decide.decide(dataclasses.replace(book, mode="observe"), without_node(), CALM).accepted


def test_a_condition_that_does_not_hold_refuses() -> None:
    """The word is the one in the metric."""
    book = dataclasses.replace(BOOK, when=conditions.parse('labels.severity == "ticket"'))

    assert gate(book=book) == "condition_false"


def test_an_alert_without_the_label_of_the_target_refuses() -> None:
    """No target is never every target."""
    assert gate(book=dataclasses.replace(BOOK, lock="network/{interface}")) is Gate.NO_TARGET


@pytest.mark.parametrize(
    ("state", "word"),
    [(KillSwitch.ON, "kill_switch_on"), (KillSwitch.UNREADABLE, "kill_switch_unreadable")],
)
@pytest.mark.parametrize("mode", ["auto", "observe"])
def test_a_kill_switch_that_is_not_off_refuses(state: KillSwitch, word: str, mode: Any) -> None:  # noqa: ANN401
    """One that cannot be read is on; it stops all automation, also what only looks."""
    assert gate(kill_switch=state, book=dataclasses.replace(BOOK, mode=mode)) == word


def test_an_alert_that_ended_since_it_was_announced_refuses() -> None:
    """The announcement may be old; a runbook for the end of an alert does not mind."""
    after = dataclasses.replace(BOOK, triggers=(Trigger("ConntrackUtilization", AlertState.RESOLVED),))
    resolved = dataclasses.replace(ALERT, state=AlertState.RESOLVED)
    over = dataclasses.replace(CALM, firing=False)

    assert gate(firing=False) is Gate.ALERT_NOT_FIRING
    assert decide.decide(after, resolved, over).accepted


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (15_000, Gate.ACCEPTED),
        (15_001, Gate.BLIND),
        (None, Gate.ACCEPTED),
        (-15_000, Gate.ACCEPTED),
        (-15_001, Gate.BLIND),
    ],
)
def test_nothing_is_changed_unseen(age: int | None, expected: Gate) -> None:
    """Three intervals without a reading are too long; who only looks may look at that.

    Who has just started has none yet, and the run waits for it: before a change, none is too few.
    """
    assert gate(reading_age=age) is expected
    assert gate(reading_age=age, book=dataclasses.replace(BOOK, mode="observe")) is Gate.ACCEPTED


def test_a_run_on_the_same_target_refuses_whoever_runs_it() -> None:
    """The lock is on the target, and an old run that is not over holds it too."""
    assert gate(ran(clock.DAY, RunState.EXECUTING, runbook="other")) is Gate.ALREADY_RUNNING
    assert gate(ran(0, RunState.GATED, runbook="other", target="conntrack/b")) is Gate.ACCEPTED


def test_a_target_that_was_left_to_people_is_theirs_for_an_hour() -> None:
    """Since the end of the run, whichever runbook's; its effects may be in force."""
    left = RunState.NEEDS_HUMAN

    assert gate(ran(2 * clock.HOUR, left, "other", ended=clock.HOUR - 1)) is Gate.NEEDS_HUMAN
    assert gate(ran(2 * clock.HOUR, left, "other", ended=clock.HOUR)) is Gate.ACCEPTED
    assert gate(ran(1, left, "other", target="conntrack/b", ended=0)) is Gate.ACCEPTED


def test_the_cooldown_ends_exactly_when_it_says() -> None:
    """A millisecond earlier is too early."""
    assert gate(ran(15 * clock.MINUTE - 1)) is Gate.COOLDOWN
    assert gate(ran(15 * clock.MINUTE)) is Gate.ACCEPTED


@pytest.mark.parametrize(
    ("ago", "said"), [(49_471, "49s"), (14 * clock.MINUTE + 59_999, "14m59s"), (471, "471ms")]
)
def test_an_age_is_in_seconds_and_never_rounded_up(ago: int, said: str) -> None:
    """A cooldown that is not over does not look as if it were."""
    verdict = decide.decide(BOOK, ALERT, dataclasses.replace(CALM, history=(ran(ago),)))
    (cooldown,) = (answer for answer in verdict.answers if answer.gate is Gate.COOLDOWN)

    assert cooldown.detail == f"last run {said} ago, cooldown 15m"


def test_the_cooldown_is_for_one_target_and_the_rate_for_all() -> None:
    """Two runs elsewhere within the hour use up a rate of two."""
    elsewhere = [ran(clock.MINUTE, target=f"conntrack/{name}") for name in "bc"]

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


def test_so_many_targets_are_worked_on_at_one_time() -> None:
    """By one runbook; those of another count for that one, and who only looks may look at any number."""
    busy = ran(clock.MINUTE, RunState.VERIFYING, target="conntrack/b")
    two = dataclasses.replace(BOOK, limits=dataclasses.replace(BOOK.limits, max_targets=2))

    assert gate(busy) is Gate.TOO_MANY_TARGETS
    assert gate(busy, book=two) is Gate.ACCEPTED
    assert gate(dataclasses.replace(busy, runbook="other")) is Gate.ACCEPTED
    assert gate(busy, book=dataclasses.replace(BOOK, mode="observe")) is Gate.ACCEPTED


@pytest.mark.parametrize(
    ("others", "ill", "expected"),
    [
        (0, 0, Gate.ACCEPTED),
        (1, 1, Gate.COMMON_CAUSE),
        (5, 2, Gate.ACCEPTED),
        (5, 3, Gate.COMMON_CAUSE),
    ],
)
def test_what_befalls_too_many_is_not_this_nodes(others: int, ill: int, expected: Gate) -> None:
    """Exactly the share that the runbook asks for is enough; without others there is nothing to compare."""
    assert gate(others=others, others_alerting=ill) is expected


def test_gates_before_a_change_leave_out_the_run_itself() -> None:
    """It holds its own target, and began less than a cooldown ago."""
    own = dataclasses.replace(ran(1_000, RunState.EXECUTING), id="own")
    other = ran(2_000, RunState.EXECUTING)

    def again(*history: Run, **changes: Any) -> Gate:
        circumstances = dataclasses.replace(CALM, history=history, **changes)
        return decide.recheck(own, decide.Change(ALERT, BOOK.limits), circumstances).reason

    assert again(own) is Gate.ACCEPTED
    assert again(own, other) is Gate.ALREADY_RUNNING
    assert again(own, firing=False) is Gate.ALERT_NOT_FIRING
    assert again(own, reading_age=None) is Gate.BLIND
    assert again(own, kill_switch=KillSwitch.ON) is Gate.KILL_SWITCH_ON
    assert again(own, others=1, others_alerting=1) is Gate.COMMON_CAUSE


def test_nothing_but_the_kill_switch_keeps_an_effect_from_being_taken_back() -> None:
    """Taking back is asked of it alone."""
    own = ran(0)

    assert decide.kill_switch(own, KillSwitch.OFF).accepted
    assert decide.kill_switch(own, KillSwitch.UNREADABLE).reason is Gate.KILL_SWITCH_UNREADABLE


def test_lookback_covers_every_limit() -> None:
    """Cooldowns, the hour of the rate, and a run that ended an hour ago after it had begun earlier."""
    patient = dataclasses.replace(BOOK, limits=Limits(30 * clock.HOUR, 1))

    daily = dataclasses.replace(BOOK.limits, target_per_day=9)

    assert decide.lookback([BOOK.limits]) == 2 * clock.HOUR
    assert decide.lookback([BOOK.limits, patient.limits]) == 30 * clock.HOUR
    assert decide.lookback([BOOK.limits, daily]) == clock.DAY


def test_a_value_that_looks_like_a_place_is_not_filled_in_again() -> None:
    """One pass: a label cannot reach for another label."""
    assert targets.resolve("a/{x}", (("x", "{y}"), ("y", "secret"))) == "a/{y}"
    assert targets.resolve("a/{x}", (("x", ""),)) is None


def test_a_definition_is_what_a_runbook_says_and_not_where() -> None:
    """Any word of it changes the hash; its file and line do not."""
    moved = dataclasses.replace(BOOK, origin=dataclasses.replace(BOOK.origin, line=9))
    changed = (
        dataclasses.replace(BOOK, on_failure="stop"),
        dataclasses.replace(BOOK, limits=dataclasses.replace(BOOK.limits, min_healthy=1)),
        dataclasses.replace(BOOK, steps=BOOK.steps[:-1]),
        dataclasses.replace(BOOK, when=None),
        dataclasses.replace(BOOK, verify=None),
    )

    assert definition.of(moved) == definition.of(BOOK)
    assert len({definition.of(book) for book in (*changed, BOOK)}) == len(changed) + 1


def test_every_gate_says_what_it_asks_for() -> None:
    """A tick beside the word of a refusal would read as the refusal."""
    titles = {gate: decide.title(gate) for gate in Gate if gate is not Gate.ACCEPTED}

    assert all(title != gate.value for gate, title in titles.items())
    assert len(set(titles.values())) == len(titles)
    assert decide.title("of_another_version") == "of_another_version"
