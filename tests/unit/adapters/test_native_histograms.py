"""What a native histogram says becomes counters: by hand, and for any life of a histogram."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.adapters.prometheus import answers, histograms
from netsre.adapters.prometheus.native import Conversions
from netsre.clock import Timestamp
from netsre.model.samples import Series, labels
from netsre.slo.questions import NativeSelector

BOUND: Final = Decimal("0.25")
SECONDS: Final = NativeSelector("seconds", (), (BOUND,))
SERIES: Final = Series("seconds", labels({"instance": "n1"}))
COUNT: Final = Series("seconds_count", SERIES.labels)
QUICK: Final = Series("seconds_bucket", labels({"instance": "n1", "le": "+0.25"}))

Raw = dict[str, Any]


def histogram(count: int | str, *buckets: tuple[int, str, str, int | str]) -> Raw:
    """Return a sample as the server writes it: rule, ends and events of each bucket."""
    listed = [[rule, lower, upper, str(events)] for rule, lower, upper, events in buckets]
    return {"count": str(count), "sum": "0", **({"buckets": listed} if listed else {})}


def read(conversions: Conversions, samples: Iterable[Raw], since: int = 0) -> dict[Series, list[Decimal]]:
    """Return the values of all counters that some samples make, one a minute."""
    timed = [(Timestamp((since + index) * clock.MINUTE), one) for index, one in enumerate(samples)]
    found = conversions.read(SECONDS, SERIES, list(timed))
    assert all([at for at, _ in one.samples] == [at for at, _ in timed] for one in found)
    return {one.series: [value for _, value in one.samples] for one in found}


FIRST: Final[dict[str, tuple[Raw, int]]] = {
    "nothing happened": (histogram(0), 0),
    "a bound of the buckets is inclusive": (histogram(9, (0, "0.125", "0.25", 4), (0, "0.25", "0.5", 5)), 4),
    "no event is near it": (histogram(9, (0, "0.125", "0.2", 4), (0, "1", "2", 5)), 4),
    # ln(0.25 / 0.0625) / ln(1 / 0.0625) = 1/2, of 10; linear would be a fifth.
    "an exponential bucket": (histogram(13, (0, "0.0625", "1", 10), (0, "1", "16", 3)), 5),
    # (0.25 - 0.1) / (0.5 - 0.1) = 3/8, of 16.
    "a custom bucket": (histogram(20, (0, "0", "0.1", 4), (0, "0.1", "0.5", 16)), 4 + 6),
    "custom buckets with that bound": (histogram(7, (0, "-Inf", "0.25", 4), (0, "0.25", "+Inf", 3)), 4),
    # The first one begins at zero: 0.25 / 0.5, of 8.
    "the first custom bucket": (histogram(8, (0, "-Inf", "0.5", 8)), 4),
    "the last bucket has no end": (histogram(8, (0, "0.1", "+Inf", 8)), 0),
    # 0.25 / 1, of 8.
    "a zero bucket alone": (histogram(8, (3, "-1", "1", 8)), 2),
    # (0.25 + 1) / 2, of 8, above the negative ones.
    "a zero bucket above others": (histogram(11, (1, "-2", "-1", 3), (3, "-1", "1", 8)), 3 + 5),
    "a zero bucket of nothing": (histogram(5, (3, "0", "0", 2), (0, "0.5", "1", 3)), 2),
    # Events that are no number are in no bucket: nobody can call them quick.
    "not a number was observed": (histogram(9, (0, "0.1", "0.2", 4)), 4),
    # A third of 10 is 3.33; nobody saw a third of an event.
    "rounded down": (histogram(10, (0, "0.1", "0.55", 10)), 3),
}


@pytest.mark.parametrize("case", FIRST)
def test_events_up_to_a_bound_are_those_that_prometheus_reckons(case: str) -> None:
    """Whole buckets below it, and the share of the one that it lies in."""
    sample, quick = FIRST[case]

    assert read(Conversions(), [sample]) == {COUNT: [Decimal(sample["count"])], QUICK: [quick]}


COARSE: Final = (0, "0.0625", "1")
LIVES: Final[dict[str, tuple[list[Raw], list[int]]]] = {
    # Half of ten each; 2.5 and 2.5 make 5.
    "halves add up": (
        [histogram(5, (*COARSE, 5)), histogram(6, (*COARSE, 6)), histogram(7, (*COARSE, 7))],
        [2, 3, 3],
    ),
    # 90 + 10 are now one bucket, half of which would be 54: only what came since is estimated, 4 of 8.
    "the resolution falls": (
        [histogram(100, (0, "0.125", "0.25", 90), (0, "0.25", "0.5", 10)), histogram(108, (*COARSE, 108))],
        [90, 94],
    ),
    "and rises again": (
        [
            histogram(108, (*COARSE, 108)),
            histogram(116, (0, "0.125", "0.25", 96), (0, "0.25", "0.5", 20)),
            histogram(119, (0, "0.125", "0.25", 98), (0, "0.25", "0.5", 21)),
        ],
        [54, 58, 60],
    ),
    # A zero bucket up to 0.5 takes in what was below and above: of 8 more 0.25 / 0.5.
    "the zero bucket grows": (
        [
            histogram(30, (3, "-0.1", "0.1", 10), (0, "0.1", "0.25", 15), (0, "0.25", "0.5", 5)),
            histogram(38, (3, "-0.5", "0.5", 38)),
        ],
        [25, 29],
    ),
    "it began anew": ([histogram(9, (0, "0.1", "0.2", 9)), histogram(4, (0, "0.1", "0.2", 4))], [9, 4]),
    # All that it had counted is gone, and more than that has come since.
    "anew, and more than before": (
        [histogram(9, (0, "0.1", "0.2", 9)), histogram(12, (0, "0.1", "0.2", 2), (0, "1", "2", 10))],
        [9, 2],
    ),
    "the same again": ([histogram(4, (*COARSE, 4))] * 3, [2, 2, 2]),
}


@pytest.mark.parametrize("case", LIVES)
def test_what_a_bucket_gains_is_what_came_since(case: str) -> None:
    """An estimate is of new events only, whatever becomes of the buckets of the old."""
    samples, quick = LIVES[case]

    assert read(Conversions(), samples)[QUICK] == quick


@pytest.mark.parametrize("case", LIVES)
def test_an_answer_in_parts_is_the_same(case: str) -> None:
    """The second part goes on where the first ended."""
    samples, quick = LIVES[case]
    conversions = Conversions()
    first = read(conversions, samples[:1])[QUICK]

    assert first + read(conversions, samples[1:], since=1)[QUICK] == quick


def test_the_last_minutes_may_be_read_again() -> None:
    """The same values as before: with the buckets of now alone it would be 60 of 120."""
    conversions = Conversions()
    samples, _ = LIVES["the resolution falls"]
    samples = [*samples, histogram(112, (*COARSE, 112)), histogram(120, (*COARSE, 120))]
    first = read(conversions, samples)[QUICK]

    assert first == [90, 94, 96, 100]
    again = read(conversions, [*samples[2:], histogram(124, (*COARSE, 124))], since=2)
    assert again[QUICK] == [96, 100, 102]


def test_a_sample_of_long_ago_begins_anew() -> None:
    """What is asked for a second time did not happen since."""
    conversions = Conversions()
    samples = [histogram(8 + minute, (*COARSE, 8 + minute)) for minute in range(10)]
    first = read(conversions, samples)

    assert read(conversions, samples) == first
    conversions.forget(Timestamp(10 * clock.MINUTE))
    assert read(conversions, samples) == first


@pytest.mark.parametrize(
    "sample", [histogram("NaN"), histogram(5, (0, "0.1", "0.2", "NaN")), histogram(5, (0, "0.1", "0.2", -1))]
)
def test_a_count_that_is_none_makes_none(sample: Raw) -> None:
    """The counters are no number either for that time, and go on behind it."""
    found = read(Conversions(), [histogram(9, (*COARSE, 8)), sample, histogram(12, (*COARSE, 10))])

    assert found[QUICK][1].is_nan()
    assert found[COUNT][1].is_nan() or found[COUNT][1] == 5
    assert found[QUICK][::2] == [4, 5]


BAD: Final[dict[str, Any]] = {
    "a number": "7",
    "without a count": {"sum": "1"},
    "a count that is no text": {"count": 7},
    "buckets that are no list": {"count": "7", "buckets": {}},
    "a bucket of three": {"count": "7", "buckets": [[0, "1", "2"]]},
    "an unknown rule": {"count": "7", "buckets": [[4, "1", "2", "7"]]},
    "a bound that is none": {"count": "7", "buckets": [[0, "one", "2", "7"]]},
    "a bound that is no number": {"count": "7", "buckets": [[0, "NaN", "2", "7"]]},
    "a bucket that ends first": {"count": "7", "buckets": [[0, "2", "1", "7"]]},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_histogram_is_refused(case: str) -> None:
    """Nothing is made of half an understanding."""
    with pytest.raises(ValueError, match=r"^has a "):
        read(Conversions(), [BAD[case]])


def test_an_estimate_is_told_once_for_each_metric() -> None:
    """However many samples and series there are; what is exact is not told at all."""
    conversions = Conversions()
    read(conversions, [histogram(4, (0, "0.125", "0.25", 4)), histogram(9, (0, "0.125", "0.25", 9))])
    assert not conversions.remarks

    read(conversions, [histogram(8, (*COARSE, 8)), histogram(10, (*COARSE, 10))], since=2)
    (remark,) = conversions.remarks
    assert remark.reason == "estimated"
    assert remark.about == "seconds: no bucket ends at 0.25 s; events from 0.0625 to 1 s are shared out"


def test_a_share_has_twenty_digits() -> None:
    """ln(0.25 / 2^-3.5) / ln(2^-1.5 / 2^-3.5) = (3.5 - 2) / 2, from bounds that are rounded themselves."""
    ends = Decimal(repr(2**-3.5)), Decimal(repr(2**-1.5))

    assert abs(histograms.share(ends, BOUND) - Decimal("0.75")) < Decimal("1e-15")
    assert histograms.share((Decimal("0.1"), Decimal("0.4")), BOUND) == Decimal("0.5")
    assert histograms.share((Decimal(0), Decimal("0.75")), BOUND) == Decimal("0." + "3" * 20)


@dataclass(frozen=True)
class Step:
    """What happens to a histogram before a sample of it."""

    observed: list[float]
    schema: int
    zero: float
    restarts: bool


STEPS: Final = st.lists(
    st.builds(
        Step,
        st.lists(st.sampled_from([0.0, 0.0005, 0.03, 0.2, 0.25, 0.2500001, 0.3, 0.9, 40.0, math.nan])),
        st.integers(-4, 8),
        st.sampled_from([0.0, 0.001, 0.2, 0.25, 0.4]),
        st.integers(0, 9).map(lambda number: number == 0),
    ),
    min_size=2,
    max_size=12,
)


def shown(observed: Sequence[float], step: Step) -> Raw:
    """Return a histogram of these values, in the buckets that a step has."""
    low = sum(value <= step.zero for value in observed)
    buckets = [(3, str(-step.zero), str(step.zero), low)] if low else []
    events: dict[int, int] = {}
    for value in observed:
        if value > step.zero:
            index = math.ceil(math.log2(value) * 2.0**step.schema)
            events[index] = events.get(index, 0) + 1
    for index, number in sorted(events.items()):
        # What a bucket shares with the zero bucket is the zero bucket's.
        lower = max(2.0 ** ((index - 1) / 2.0**step.schema), step.zero)
        buckets.append((0, repr(lower), repr(2.0 ** (index / 2.0**step.schema)), number))
    return histogram(len(observed), *buckets)


@given(STEPS)
def test_no_bucket_falls_or_gains_more_than_was_counted(steps: list[Step]) -> None:
    """Whatever the buckets become meanwhile; and while the bound is one of them, every event is right."""
    observed: list[float] = []
    samples: list[Raw] = []
    truth, exact = [], []
    for step in steps:
        observed = [*([] if step.restarts else observed), *step.observed]
        samples.append(shown(observed, step))
        truth.append(sum(value <= 0.25 for value in observed))
        exact.append(step.schema >= -1 and step.zero <= 0.25)
    found = read(Conversions(), samples)
    counts, quick = found[COUNT], found[QUICK]

    assert counts == [int(sample["count"]) for sample in samples]
    assert all(0 <= now <= count for now, count in zip(quick, counts, strict=True))
    for step, counted, now in zip(steps[1:], pairwise(counts), pairwise(quick), strict=True):
        if not step.restarts:
            assert 0 <= now[1] - now[0] <= counted[1] - counted[0]
    if all(exact):
        assert quick == truth


def test_numbers_are_read_as_floats_are_written() -> None:
    """The server's text of a count is not always that of a whole number."""
    assert answers.number("1e+06") == 1_000_000
    assert read(Conversions(), [histogram("1e+06", (0, "0.1", "0.2", "1e+06"))])[QUICK] == [1_000_000]
