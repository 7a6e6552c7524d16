"""Claims about pieces: which are asked for when, and what two answers say of them."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import MINUTE, Timestamp
from netsre.model.levels import SLO, PromqlIndicator, Slices
from netsre.model.samples import Points, labels
from netsre.slo import promql
from netsre.slo.indicators import Anomaly, Measure
from netsre.slo.promql import Piece
from tests.unit.slo.given import PROMQL, START, after, slo

SETTLE = 30 * clock.SECOND


def level(every: int = MINUTE, slices: Slices | None = None, window: int = 30 * clock.DAY) -> SLO:
    """Return an SLO that a Prometheus answers."""
    asked = dataclasses.replace(PROMQL, every=every)
    return dataclasses.replace(slo(asked, group_by=("team",), window=window), slices=slices)


def due(of: SLO, counted_until: Timestamp | None, now: float) -> list[int]:
    """Return what is to be asked, in seconds after `START`."""
    assert isinstance(of.indicator, PromqlIndicator)
    ends = promql.due(of, of.indicator, counted_until, after(now), SETTLE)
    return [(end - START) // 1000 for end in ends]


def points(*rates: str | None, **group: str) -> Points:
    """Return an answer about the minutes after `START`, one by one; None where there is no point."""
    values = ((after(60 * n), Decimal(rate)) for n, rate in enumerate(rates, 1) if rate is not None)
    return Points(labels(group), tuple(values))


def test_what_is_asked_has_the_length_of_a_piece() -> None:
    """As a Prometheus writes it."""
    assert promql.asked(dataclasses.replace(PROMQL, every=5 * MINUTE)) == (
        'sum by (team) (rate(x{code=~"5.."}[5m]))',
        "sum by (team) (rate(x[5m]))",
    )


@pytest.mark.parametrize(
    ("counted", "now", "ends"),
    [
        (0, 29, []),
        (0, 89, []),
        (0, 90, [60]),
        (60, 90, []),
        (0, 299, [60, 120, 180, 240]),
        (120, 299, [180, 240]),
        (600, 299, []),
    ],
)
def test_a_piece_is_due_when_it_has_settled(counted: int, now: int, ends: list[int]) -> None:
    """Half a minute after its end, and once."""
    assert due(level(), after(counted), now) == ends


def test_a_slice_is_due_as_a_whole() -> None:
    """Its pieces come together, so that it is judged once."""
    sliced = level(slices=Slices(5 * MINUTE, Fraction(95, 100)))

    assert due(sliced, after(0), 329) == []
    assert due(sliced, after(0), 330) == [60, 120, 180, 240, 300]
    assert due(sliced, after(300), 630) == [360, 420, 480, 540, 600]


def test_a_new_level_asks_about_its_whole_window_and_nothing_older() -> None:
    """From the piece in which it begins, whatever was counted long before."""
    of = level(every=5 * MINUTE, window=clock.DAY)

    first = due(of, None, 90)

    assert (first[0], first[-1], len(first)) == (-86_400 + 300, 0, 288)
    assert due(of, after(-10 * 86_400), 90) == first


@given(
    every=st.sampled_from([1, 2, 5, 15, 60]),
    begin=st.integers(-(10**5), 10**5),
    count=st.integers(0, 6000),
)
def test_batches_are_all_of_the_pieces_and_end_with_days(every: int, begin: int, count: int) -> None:
    """Each piece once, in their order."""
    step = every * MINUTE
    first = START // step * step + begin * step
    ends = range(first, first + count * step, step)

    cut = list(promql.batches(ends))

    assert [end for part in cut for end in part] == list(ends)
    assert all(part and part[-1] % clock.DAY == 0 for part in cut[:-1])
    assert all(part[-1] - part[0] < clock.DAY for part in cut)


TOTAL = Decimal(60)
BAD_EXCEEDS, NAN, NEGATIVE = (
    frozenset({one}) for one in (Anomaly.BAD_EXCEEDS_TOTAL, Anomaly.NOT_A_NUMBER, Anomaly.NEGATIVE)
)
NOTHING, NEARLY = Decimal(0), Decimal("18.0000000000000024")


@pytest.mark.parametrize(
    ("bad", "total", "measure"),
    [
        ("0.1", "1", Measure(Decimal("6.0"), TOTAL)),
        ("0", "1", Measure(NOTHING, TOTAL)),
        (None, "1", Measure(NOTHING, TOTAL)),
        ("1", "1", Measure(TOTAL, TOTAL)),
        ("0", "0", Measure(NOTHING, NOTHING)),
        (None, "0", Measure(NOTHING, NOTHING)),
        (None, None, None),
        ("0", None, None),
        ("1", None, Measure(TOTAL, TOTAL, BAD_EXCEEDS)),
        ("1", "0.5", Measure(TOTAL, TOTAL, BAD_EXCEEDS)),
        # The same floats, added up in another order.
        ("0.30000000000000004", "0.3", Measure(NEARLY, NEARLY)),
        ("NaN", "1", Measure(NOTHING, NOTHING, NAN)),
        ("1", "NaN", Measure(NOTHING, NOTHING, NAN)),
        ("NaN", None, Measure(NOTHING, NOTHING, NAN)),
        ("-0.1", "1", Measure(NOTHING, NOTHING, NEGATIVE)),
        ("NaN", "-1", Measure(NOTHING, NOTHING, NAN | NEGATIVE)),
        ("0.000012345678901234", "123456789.5", Measure(Decimal("0.00074074073407404"), Decimal(7407407370))),
    ],
)  # fmt: skip
def test_two_answers_make_one_measure(bad: str | None, total: str | None, measure: Measure | None) -> None:
    """By hand: a rate times the seconds of its piece, and what is missing or cannot be."""
    found = promql.join(3, level(), [points(bad, team="a")], [points(total, team="a")])

    assert found == (() if measure is None else (Piece(3, (("team", "a"),), after(60), measure),))


def test_groups_are_the_labels_of_the_results() -> None:
    """Several results of one group are added up; a label that is missing is the empty text."""
    of = dataclasses.replace(level(), group_by=("team", "node"))
    bad = [points("1", team="a", pod="x"), points(None, "1", team="a", pod="y")]
    total = [points("1", "2", team="a", pod="x"), points("3", "4", team="a", pod="y"), points("5", "6")]

    found = promql.join(0, of, bad, total)

    one, none = (("node", ""), ("team", "a")), (("node", ""), ("team", ""))
    assert [(p.group, p.end, int(p.measure.bad), int(p.measure.total)) for p in found] == [
        (none, after(60), 0, 300),
        (none, after(120), 0, 360),
        (one, after(60), 60, 240),
        (one, after(120), 60, 360),
    ]


def test_one_result_of_a_group_that_is_no_number_leaves_the_piece_out() -> None:
    """What the others say is not all."""
    total = [points("1", "1", team="a", pod="x"), points("NaN", "1", team="a", pod="y")]

    found = promql.join(0, level(), [], total)

    assert {(p.end - START) // 60_000: (int(p.measure.total), p.measure.anomalies) for p in found} == {
        1: (0, NAN),
        2: (120, frozenset()),
    }


def test_a_level_of_another_kind_has_no_pieces() -> None:
    """Its events come with scrapes."""
    assert promql.join(0, slo(), [points("1")], [points("1")]) == ()
