"""Claims about expressions in files: what a Prometheus would take is taken, and a mistake has its words."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.errors import SpecErrors
from netsre.model.levels import SLO, PromqlIndicator
from netsre.slo import parsing, promql_specs
from tests.unit.slo import expressions

TEXT = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: asked}
spec:
  service: shop
  objective: 99.9
  window: 30d
  groupBy: [team, node]
  indicator:
    promql:
      bad: 'sum by (team, node) (rate(x{code=~"5.."}[$window]))'
      total: |
        # All of them.
        sum by (team, node) (rate(x[$window]))
      every: 5m
  alerting: {policy: none}
"""


def read(text: str) -> SLO:
    """Return the service level of a file."""
    (found,) = parsing.parse({"f": text}, {}).slos
    return found


def wrong(expression: str) -> str | None:
    """Return what is said of an expression; None where it is taken."""
    text = TEXT.replace("""'sum by (team, node) (rate(x{code=~"5.."}[$window]))'""", json.dumps(expression))
    try:
        read(text)
    except SpecErrors as errors:
        (finding,) = errors.findings
        assert finding.line == 12
        return finding.message
    return None


def test_expressions_are_kept_as_they_are_written() -> None:
    """With how long a piece is; labels of anybody's series may make groups."""
    found = read(TEXT)

    assert found.indicator == PromqlIndicator(
        'sum by (team, node) (rate(x{code=~"5.."}[$window]))',
        "# All of them.\nsum by (team, node) (rate(x[$window]))\n",
        5 * clock.MINUTE,
    )
    assert found.group_by == ("team", "node")


def test_a_piece_is_a_minute_unless_told_otherwise() -> None:
    """The length at which other engines work is the first that one would write."""
    indicator = read(TEXT.replace("      every: 5m\n", "")).indicator

    assert isinstance(indicator, PromqlIndicator)
    assert indicator.every == clock.MINUTE


@pytest.mark.parametrize("expression", [*expressions.TAKEN, *expressions.NEWER])
def test_what_some_prometheus_takes_is_taken(expression: str) -> None:
    """Of 2.42 and later, and what only a newer one or another server knows: it has the last word."""
    assert wrong(expression) is None


NO_PROMQL: Mapping[str, str] = {
    "sum(rate(x[$window])": "is no PromQL: unclosed left parenthesis",
    "rate(x[$window])))": "is no PromQL: unexpected right parenthesis ')'",
    "sum by team (rate(x[$window]))": "is no PromQL: invalid promql query",
    "sum(rate(x{a=5}[$window]))": "is no PromQL: unexpected character inside braces: '5'",
    "rate(x) + rate(y[$window])": "is no PromQL: expected type matrix in call to function 'rate', got vector",
    "rate(x[$windows])": "has no $window",
    "rate(x[$__rate_interval])": "has no $window",
    'rate(x{a="$window"}[5m])': "has no $window",
    "rate(x[5m]) # [$window]": "has no $window",
    "x[$window]": "is a range vector, not an instant vector",
    "(rate(x[$window]))[$window:1m]": "is a range vector, not an instant vector",
    "scalar(rate(x[$window]))": "is a scalar, not an instant vector",
    "-(1 + scalar(rate(x[$window])))": "is a scalar, not an instant vector",
    "rate(x[$window]) + $1": "is no PromQL: unexpected character: '$'",
}


@pytest.mark.parametrize("expression", NO_PROMQL)
def test_what_no_prometheus_takes_has_one_line(expression: str) -> None:
    """The parser's own words, and what to write instead."""
    said = wrong(expression)

    assert said is not None
    assert said.startswith(f"spec.indicator.promql.bad {NO_PROMQL[expression]}; write ")


@given(text=st.text(alphabet="x(){}[]$window\"'`#,=~ rate10m+-\n\\\x00é", max_size=60))
def test_any_text_is_taken_or_refused_in_one_line(text: str) -> None:
    """The parser is another's: whatever it makes of a text is no end of the process."""
    said = promql_specs.problem(text)

    assert said is None or said


@pytest.mark.parametrize("deep", ["({})", "-{}", "x^{}", "sum({})"])
def test_the_deepest_expression_that_is_read_does_not_end_the_process(deep: str) -> None:
    """The parser goes down with its text; a text that is longer is refused before."""
    once = len(deep) - 2
    count = (promql_specs.LONGEST - 20) // once
    head, _, tail = deep.partition("{}")

    expression = head * count + "rate(x[$window])" + tail * count

    assert promql_specs.problem(expression) is None
    assert "is longer than 4000 characters" in str(promql_specs.problem(expression + " " * 50))
