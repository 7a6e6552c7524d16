"""What a drill costs is counted exactly, and what was not measured is not zero."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

from netsre import clock
from netsre.clock import Timestamp
from netsre.gameday import budget
from netsre.gameday.budget import Sums
from netsre.model.levels import Measured, NoData
from netsre.model.samples import labels
from tests.unit import burning

SLO = dataclasses.replace(burning.slo("headroom"), objective=Fraction(99, 100))
BEFORE = Sums(burning.T0, Decimal(5), Decimal(100))


def after(bad: int, total: int) -> Sums:
    """Return the sums a minute later."""
    return Sums(Timestamp(burning.T0 + clock.MINUTE), Decimal(bad), Decimal(total))


def test_the_burn_rate_times_the_time_over_the_window() -> None:
    """Half of the events bad for a minute: fifty times too fast for 1/43200 of thirty days."""
    assert budget.burned(SLO, BEFORE, after(11, 112)) == Measured(Fraction(50, 43_200))
    assert budget.text(Fraction(50, 43_200)) == "0.00115740740741"


def test_what_was_not_measured_has_a_reason() -> None:
    """No events is not no burn, and an SLO that is gone has no budget."""
    assert budget.burned(SLO, BEFORE, after(5, 100)) == NoData("no_readings")
    assert budget.burned(SLO, None, after(5, 100)) == NoData("not_measured")
    assert budget.burned(SLO, BEFORE, None) == NoData("not_measured")
    assert budget.burned(None, BEFORE, after(5, 200)) == NoData("not_measured")


def test_old_events_that_leave_the_window_give_nothing_back() -> None:
    """Less than nothing is never burned."""
    assert budget.burned(SLO, BEFORE, after(3, 120)) == Measured(Fraction(0))


def test_minutes_that_nobody_measured_count_as_good_for_what_is_left() -> None:
    """A third of the window with a tenth bad: ten times too fast for a third."""
    evaluation = burning.evaluation({}, of=SLO)

    assert budget.left(evaluation) == Measured(1 - Fraction(10, 3))
    assert budget.left(dataclasses.replace(evaluation, total=Decimal(0))) == NoData("no_readings")
    assert budget.left(None) == NoData("not_measured")


def test_the_group_of_the_target_is_found() -> None:
    """By its namespace; an SLO without such groups speaks for everything."""
    here = burning.evaluation({}, of=SLO, group=labels({"netns": "srv", "node": "a"}))
    there = burning.evaluation({}, of=SLO, group=labels({"netns": "other", "node": "a"}))
    whole = burning.evaluation({}, of=SLO)

    assert budget.of_target([there, here], "headroom", "srv") is here
    assert budget.of_target([there], "headroom", "srv") is None
    assert budget.of_target([whole], "headroom", "srv") is whole
    assert budget.of_target([here], "another", "srv") is None


def test_sums_come_back_from_a_journal_as_they_were() -> None:
    """To the last digit; what is none is none."""
    assert budget.read(BEFORE.document()) == BEFORE
    assert budget.read(None) is None
    assert budget.read({"at": "now"}) is None
