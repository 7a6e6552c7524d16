"""What somebody does next who follows files: nothing half written is read, and nothing is forgotten."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy.following import (
    GLANCE,
    NEW,
    QUIET,
    TURN,
    UNREST,
    WRITTEN,
    Decision,
    Outcome,
    Reason,
    Situation,
    Step,
    next_step,
)

_LOOKED: Final = Situation(100.0, 101.0)
_STIRRED: Final = replace(_LOOKED, first=101.0, last=101.0)


@pytest.mark.parametrize(
    ("now", "found", "step", "reason"),
    [
        (100.0, _LOOKED, Step.WAIT, Reason.NOTHING),
        (100.0 + TURN, _LOOKED, Step.READ, Reason.TURN),
        (101.0 + GLANCE, _LOOKED, Step.GLANCE, Reason.TURN),
        (101.0, _STIRRED, Step.WAIT, Reason.SETTLING),
        (101.0 + QUIET, _STIRRED, Step.READ, Reason.CHANGED),
        (101.1, replace(_STIRRED, is_new=True), Step.WAIT, Reason.SETTLING),
        (101.0 + NEW, replace(_STIRRED, is_new=True), Step.READ, Reason.CHANGED),
        (102.0, replace(_STIRRED, is_written=True), Step.WAIT, Reason.WRITTEN),
        (101.0 + WRITTEN, replace(_STIRRED, is_written=True), Step.READ, Reason.CHANGED),
        (101.0 + UNREST, replace(_STIRRED, last=101.0 + UNREST), Step.READ, Reason.RESTLESS),
        (103.5, replace(_STIRRED, last=103.0, is_written=True), Step.WAIT, Reason.WRITTEN),
        (131.0, replace(_STIRRED, last=130.0, is_written=True), Step.READ, Reason.RESTLESS),
        (100.1, replace(_LOOKED, outcome=Outcome.UNREADABLE), Step.WAIT, Reason.NOTHING),
        (100.25, replace(_LOOKED, outcome=Outcome.UNREADABLE), Step.READ, Reason.AGAIN),
        (100.25, replace(_LOOKED, outcome=Outcome.WRONG), Step.WAIT, Reason.NOTHING),
        (102.0, replace(_LOOKED, outcome=Outcome.ON_TRIAL), Step.READ, Reason.AGAIN),
        (120.0, replace(_LOOKED, outcome=Outcome.REFUSED), Step.READ, Reason.AGAIN),
        (101.0, replace(_STIRRED, interfaces=True), Step.POLICE, Reason.INTERFACES),
        (102.0, replace(_STIRRED, held=103.0), Step.WAIT, Reason.STAGGERED),
        (103.0, replace(_STIRRED, held=103.0), Step.READ, Reason.CHANGED),
        (101.0 + GLANCE, replace(_STIRRED, held=120.0), Step.GLANCE, Reason.TURN),
        (102.0, replace(_STIRRED, held=120.0, interfaces=True), Step.POLICE, Reason.INTERFACES),
        (102.0, replace(_LOOKED, outcome=Outcome.ON_TRIAL, held=103.0), Step.WAIT, Reason.STAGGERED),
        (101.0, replace(_STIRRED, held=103.0), Step.WAIT, Reason.SETTLING),
        (101.0, replace(_LOOKED, held=103.0), Step.WAIT, Reason.NOTHING),
    ],
    ids=[
        *("just looked", "time for a look", "time for a glance", "stirred", "quiet", "new", "new and quiet"),
        *("open", "open for long", "restless", "open and restless", "open for longest"),
        *("unreadable", "unreadable for long", "wrong", "on trial", "refused", "links"),
        *("held", "not any more", "held and time for a glance", "held and links", "held on trial"),
        *("held and stirred", "held and nothing to do"),
    ],
)
def test_each_situation_has_one_step_with_its_reason(
    now: float, found: Situation, step: Step, reason: Reason
) -> None:
    """Interfaces first: a packet may come from one at any moment."""
    decision = next_step(now, found)

    assert (decision.step, decision.reason) == (step, reason)


@given(
    st.floats(0, 40),
    st.sampled_from(Outcome),
    st.none() | st.tuples(st.floats(0, 20), st.floats(0, 20)),
    st.booleans(),
    st.just(float("-inf")) | st.floats(0, 300),
)
def test_whoever_waits_as_long_as_he_is_told_has_something_to_do(
    now: float, outcome: Outcome, stirred: tuple[float, float] | None, is_written: bool, held: float
) -> None:
    """Nobody waits for ever, and nobody turns around without a step."""
    found = Situation(0.0, 0.0, outcome, is_written=is_written, held=held)
    if stirred is not None:
        found = replace(found, first=min(stirred), last=max(stirred))
    decision = next_step(now, found)

    if decision.step is Step.WAIT:
        assert 0 < decision.seconds <= TURN
        # A float may be a little less than what it stands for.
        later = now + decision.seconds + 1e-6
        following = next_step(later, found)
        if following.step is Step.WAIT:
            # What is quiet may be too soon.
            assert (decision.reason, following.reason) != (Reason.STAGGERED, Reason.STAGGERED)
            following = next_step(later + following.seconds + 1e-6, found)
        assert following.step is not Step.WAIT
    else:
        assert decision == Decision(decision.step, decision.reason)
