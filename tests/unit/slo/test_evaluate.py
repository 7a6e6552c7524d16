"""Claims about budgets, burn rates and what fires."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import SLO, BurnPolicy, BurnRule, Evaluation, Measured, NoData
from netsre.slo import tiers
from netsre.slo.buckets import Bucket
from netsre.slo.evaluate import Span, Window, evaluate
from netsre.slo.history import History
from netsre.slo.indicators import Measure
from tests.unit.slo.given import NODE, START, WORKBOOK, after, slo

NOW = after(30)
"""Half a minute into the minute that begins at START."""


def minutes(*spans: tuple[int, int, int, int]) -> History:
    """Return a history of (first, last, bad, total): minutes before START's, the same in each, all read."""
    return History(
        Bucket("flow", NODE, after(-60 * ago), Decimal(bad), Decimal(total), 1, "what")
        for first, last, bad, total in spans
        for ago in range(first, last + 1)
    )


def stand(level: SLO, history: History, at: Timestamp = NOW) -> Evaluation:
    """Return how an SLO stands at a time."""
    row = history.row(level.name, "what", NODE)

    def window(length: Span) -> Window:
        assert isinstance(length, int)
        return Window(history.sums(row, length, at), tiers.minutes_covered(history.tiers, length, at))

    return evaluate(level, NODE, window, at)


def at_objective(history: History, objective: str = "99.9") -> Evaluation:
    """Return how the SLO of this objective stands now."""
    return stand(slo(objective=objective), history)


def test_budget_and_sli_are_exact_ratios_of_sums() -> None:
    """By hand: 3 bad of 10,000 at 99.9 % is a ratio of 0.0003 and three tenths of the budget."""
    found = at_objective(minutes((0, 0, 3, 4_000), (1, 1, 0, 6_000)))

    assert (int(found.bad), int(found.total)) == (3, 10_000)
    assert found.sli == Measured(Fraction(9_997, 10_000))
    assert found.budget_remaining == Measured(Fraction(7, 10))


def test_a_ratio_of_sums_is_no_mean_of_ratios() -> None:
    """A night of 1 in 10 beside a day of 0 in 990 is 0.1 %, not 5 %: the budget is just spent."""
    found = at_objective(minutes((0, 0, 0, 990), (1, 1, 1, 10)))

    assert found.budget_remaining == Measured(Fraction(0))


def test_a_spent_budget_is_negative() -> None:
    """Twice the budget spent leaves minus one budget."""
    assert at_objective(minutes((0, 0, 2, 1_000))).budget_remaining == Measured(Fraction(-1))


@pytest.mark.parametrize(
    ("window", "burn"),
    [("5m", 100), ("30m", Fraction(50, 3)), ("1h", Fraction(25, 3)), ("3d", Fraction(25, 3))],
)
def test_burn_by_window_is_the_error_ratio_over_the_budget(window: str, burn: Fraction) -> None:
    """By hand: 5 minutes of 10 % errors after 55 clean ones; 99.9 % leaves a budget of 0.1 %."""
    found = at_objective(minutes((0, 4, 10, 100), (5, 59, 0, 100)))

    assert found.burn[window] == Measured(Fraction(burn))


def test_burn_has_the_union_of_the_policy_windows() -> None:
    """Shortest first, written as durations."""
    assert list(at_objective(minutes()).burn) == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]


def test_without_a_policy_nothing_burns_or_fires() -> None:
    """The budget is still kept."""
    found = stand(slo(policy=None), minutes((0, 0, 1, 1)))

    assert (found.burn, found.firing) == ({}, ())
    assert found.budget_remaining == Measured(Fraction(-999))


def test_a_window_is_the_present_minute_and_the_whole_ones_before() -> None:
    """The sixth minute back is outside of 5m, to the millisecond, all through the present minute."""
    history = minutes((0, 4, 1, 10), (5, 5, 10, 10))

    for at in (START, Timestamp(START + clock.MINUTE - 1)):
        assert stand(slo(), history, at).burn["5m"] == Measured(Fraction(100))


def test_no_traffic_is_no_opinion_and_fires_nothing() -> None:
    """Read, and idle: not healthy, not burning."""
    found = at_objective(minutes((0, 59, 0, 0)))

    assert found.sli == found.budget_remaining == found.burn["1h"] == NoData("no_traffic")
    assert found.firing == ()


def test_nothing_ever_read_is_no_history() -> None:
    """A new SLO says so."""
    found = at_objective(minutes())

    assert found.sli == NoData("no_history")
    assert found.coverage == 0


def test_a_silent_source_is_named_in_the_windows_it_missed() -> None:
    """The hour still has its measured past, the last five minutes have none."""
    found = at_objective(minutes((10, 20, 1, 10)))

    assert found.burn["5m"] == NoData("source_down")
    assert found.burn["1h"] == Measured(Fraction(100))
    assert PAGE not in [one.rule for one in found.firing]


def test_coverage_is_measured_minutes_over_all_minutes() -> None:
    """Events that were spread over a gap do not make it measured; the present hour counts as far as it is."""
    spread = [
        Bucket("flow", NODE, after(-60 * ago), Decimal(0), Decimal(9), 0, "what") for ago in range(100, 200)
    ]
    read = [Bucket("flow", NODE, after(-60 * ago), Decimal(0), Decimal(0), 1, "what") for ago in range(60)]

    assert at_objective(History([*spread, *read])).coverage == Fraction(60, 719 * 60 + 1)


def only(rule: BurnRule, minimum: int = 1) -> BurnPolicy:
    """Return a policy of one rule."""
    return BurnPolicy("one", (rule,), minimum)


PAGE = WORKBOOK.rules[0]


@pytest.mark.parametrize(("bad", "fires"), [(144, False), (145, True)])
def test_a_rule_fires_strictly_above_its_factor(bad: int, *, fires: bool) -> None:
    """14.4 times 0.1 % of 10,000 is exactly 144: not yet. A float would say 14.400000000000002."""
    found = stand(slo(policy=only(PAGE)), minutes((0, 0, bad, 10_000)))

    assert bool(found.firing) is fires


def test_both_windows_must_burn() -> None:
    """An hour that was bad and is over does not page, nor does a bad minute in a good hour."""
    over = minutes((0, 4, 0, 100), (5, 59, 50, 100))
    short = minutes((0, 0, 50, 100), (1, 59, 0, 1_000))

    assert stand(slo(policy=only(PAGE)), over).firing == ()
    assert stand(slo(policy=only(PAGE)), short).firing == ()


@pytest.mark.parametrize(("bad", "fires"), [(4, False), (5, True)])
def test_fewer_bad_events_than_the_minimum_never_fire(bad: int, *, fires: bool) -> None:
    """One failed connection on a quiet night is a burn of 1000 and wakes nobody."""
    found = stand(slo(policy=only(PAGE, minimum=5)), minutes((0, 0, bad, bad)))

    assert bool(found.firing) is fires
    assert found.burn["5m"] == Measured(Fraction(1000))


def test_what_fires_is_ordered_worst_first_with_its_numbers() -> None:
    """Pages before tickets, then by factor."""
    found = at_objective(minutes((0, 0, 100, 100)))

    assert [(one.rule.severity, one.factor) for one in found.firing] == [
        ("page", Fraction(72, 5)),
        ("page", 6),
        ("ticket", 3),
        ("ticket", 1),
    ]
    assert {burn for one in found.firing for burn in (one.short_burn, one.long_burn)} == {Fraction(1000)}


def test_a_steady_burn_at_the_objective_fires_nothing() -> None:
    """Spending the budget exactly is what it is for: burn 1 is not above 1."""
    found = at_objective(minutes((0, 3 * 24 * 60, 1, 1_000)))

    assert found.burn["3d"] == Measured(Fraction(1))
    assert found.firing == ()


EVENTS = st.lists(
    st.tuples(st.integers(0, 90 * 60_000), st.integers(0, 40), st.integers(0, 400)), max_size=60
)


@given(
    events=EVENTS,
    objective=st.sampled_from(["50", "90", "99", "99.9", "99.999", "33.3"]),
    share=st.fractions(Fraction(1, 100), 1),
    minimum=st.integers(1, 30),
)
def test_the_evaluation_agrees_with_a_reference_over_raw_increments(
    events: list[tuple[int, int, int]], objective: str, share: Fraction, minimum: int
) -> None:
    """The definition, written down anew over single increments, in fractions, without minutes or sums."""
    policy = only(BurnRule("page", 5 * clock.MINUTE, clock.HOUR, share), minimum)
    level = slo(objective=objective, window=2 * clock.HOUR, policy=policy)
    history = History()
    row = history.row(level.name, "what", NODE)
    for ago, bad, good in events:
        history.count([row], [Measure(Decimal(bad), Decimal(bad + good))], None, Timestamp(NOW - ago))

    def reference(length: int) -> tuple[int, Fraction | None]:
        floor = NOW - NOW % 60_000 + 60_000 - length
        inside = [(bad, bad + good) for ago, bad, good in events if NOW - ago >= floor]
        bad, total = (sum(column) for column in zip(*inside, strict=True)) if inside else (0, 0)
        return bad, Fraction(bad, total) / (1 - Fraction(objective) / 100) if total else None

    found = stand(level, history)

    (_, short), (bad, long), (_, whole) = (reference(n * 60_000) for n in (5, 60, 120))
    above = short is not None and long is not None and min(short, long) > share * 2
    assert [_value(found.burn["5m"]), _value(found.burn["1h"])] == [short, long]
    assert _value(found.budget_remaining) == (None if whole is None else 1 - whole)
    assert bool(found.firing) is (above and bad >= minimum)


def _value(ratio: Measured | NoData) -> Fraction | None:
    return ratio.value if isinstance(ratio, Measured) else None
