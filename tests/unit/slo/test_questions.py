"""What a store is asked: one question for each name, and never for less than was meant."""

import itertools
import re
from decimal import Decimal

import pytest
from hypothesis import given as always
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import LatencyIndicator, Matcher, RatioIndicator, Selector, ThresholdIndicator
from netsre.slo import questions
from tests.unit.slo import given


def asked(
    *indicators: RatioIndicator | LatencyIndicator | ThresholdIndicator, label: str = "instance"
) -> list[str]:
    """Return what is asked about SLOs with these indicators, as PromQL."""
    slos = [given.slo(indicator, name=f"slo-{index}") for index, indicator in enumerate(indicators)]
    return [str(selector) for selector in questions.selectors(slos, label)]


def selector(metric: str, *matchers: Matcher) -> Selector:
    """Return a selector."""
    return Selector(metric, matchers)


def test_a_name_is_asked_for_once_however_many_need_it() -> None:
    """A thousand SLOs over one metric are one question."""
    many = [RatioIndicator(selector("flows", Matcher("outcome", "=", "failed")), selector("flows"))] * 1_000

    assert asked(*many) == ["flows"]


def test_only_what_all_agree_on_is_left_to_the_store() -> None:
    """One SLO about a service must not hide from another what it needs."""
    one = Matcher("job", "=", "agents")
    failed = selector("flows", one, Matcher("outcome", "=", "failed"))
    every = selector("flows", one, Matcher("outcome", "=~", "failed|delivered"))

    assert asked(RatioIndicator(failed, every)) == ['flows{job="agents"}']
    whole = RatioIndicator(failed, selector("flows"))
    assert asked(RatioIndicator(failed, every), whole) == ["flows"]
    assert asked(whole, RatioIndicator(failed, every)) == ["flows"]


def test_expressions_are_judged_here() -> None:
    """Engines of regular expressions differ, and what a store leaves out cannot be counted any more."""
    used = ThresholdIndicator(selector("used", Matcher("table", "=~", "ker.*")), "<", Decimal(1))

    assert asked(used) == ["used"]


def test_the_node_is_asked_for_by_the_label_that_names_it() -> None:
    """In a spec it is `node`, in a Prometheus the instance or whatever a person says."""
    used = ThresholdIndicator(selector("used", Matcher("node", "=", "n1")), "<", Decimal(1))

    assert asked(used) == ['used{instance="n1"}']
    assert asked(used, label="host") == ['used{host="n1"}']


def test_of_a_histogram_only_the_buckets_that_count_are_asked_for() -> None:
    """Two bounds of twenty, in one question."""
    quick = LatencyIndicator(selector("seconds"), Decimal("0.25"))
    slow = LatencyIndicator(selector("seconds"), Decimal(1))
    (buckets,) = [text for text in asked(quick, slow) if text.startswith("seconds_bucket")]

    assert asked(quick, slow) == ["seconds", buckets, "seconds_count"]
    expression = buckets.removeprefix('seconds_bucket{le=~"').removesuffix('"}')
    for bound in ("0.25", "0.250", "2.5e-01", "1", "1.0", "1e+00"):
        assert re.fullmatch(expression, bound), bound
    for bound in ("0.5", "10", "0.0025", "+Inf", "2.5", "1e+01", "11"):
        assert not re.fullmatch(expression, bound), bound


def test_a_histogram_may_be_a_native_one() -> None:
    """One question for all its buckets, which says which bounds count."""
    slow = LatencyIndicator(selector("seconds", Matcher("src", "=", "host")), Decimal(1))
    quick = LatencyIndicator(selector("seconds", Matcher("src", "=", "host")), Decimal("0.25"))
    slos = [given.slo(indicator, name=f"slo-{index}") for index, indicator in enumerate((slow, quick))]
    native, *_ = questions.selectors(slos, "instance")

    assert str(native) == 'seconds{src="host"}'
    assert isinstance(native, questions.NativeSelector)
    assert native.bounds == (Decimal("0.25"), Decimal(1))
    assert questions.names(slos[0]) == {"seconds", "seconds_count", "seconds_bucket"}


@always(st.integers(1, 10**6), st.integers(-6, 3))
def test_a_bound_is_found_however_an_exporter_writes_it(digits: int, power: int) -> None:
    """Python, Go and Prometheus write the same number in four ways."""
    bound = Decimal(digits).scaleb(power)
    slo = given.slo(LatencyIndicator(selector("seconds"), bound))
    (buckets,) = [one for one in questions.selectors([slo], "instance") if one.metric == "seconds_bucket"]
    expression = buckets.matchers[0].value

    for text in (
        f"{bound:f}",
        repr(float(bound)),
        f"{bound:f}".rstrip("0").rstrip(".") or "0",
        f"{bound.normalize():e}",
    ):
        if Decimal(text) == bound:
            assert re.fullmatch(expression, text), (expression, text)


@pytest.mark.parametrize(
    ("series", "length"), [(1, clock.DAY), (100, 500 * clock.MINUTE), (10**6, 10 * clock.MINUTE)]
)
def test_a_chunk_is_as_long_as_its_answer_stays_small(series: int, length: int) -> None:
    """Every moment is in exactly one chunk, oldest first, and the last one ends at the end."""
    whole = (given.START, Timestamp(given.START + 3 * clock.DAY + 7))
    chunks = questions.chunks(whole, series)

    assert chunks[0] == (whole[0], whole[0] + length)
    assert chunks[-1][1] == whole[1]
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(chunks))


def test_the_span_reaches_before_the_longest_window() -> None:
    """The scrape before its first minute is needed too: an increase has two ends."""
    slos = [given.slo(window=7 * clock.DAY), given.slo(window=clock.DAY, name="short")]
    since, until = questions.span(slos, given.after(90))

    assert until == given.after(90)
    assert since == given.after(120) - 7 * clock.DAY - questions.BEFORE


def test_values_are_matched_as_they_are() -> None:
    """A dot in the name of a host is no wildcard."""
    matcher = questions.any_of("instance", ["10.0.0.1:8601", "[::1]:8601", "a+b"])

    assert all(re.fullmatch(matcher.value, text) for text in ("10.0.0.1:8601", "[::1]:8601", "a+b"))
    assert not re.fullmatch(matcher.value, "10a0.0.1:8601")
