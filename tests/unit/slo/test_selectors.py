"""Claims about label matchers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.model.levels import Matcher, Selector
from netsre.slo import selectors

LABELS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
MATCHERS = st.lists(
    st.builds(
        Matcher, LABELS, st.sampled_from(["=", "!="]), st.text(st.characters(exclude_categories=["Cs"]))
    ),
    min_size=1,
    max_size=4,
).map(tuple)


@given(matchers=MATCHERS)
def test_what_a_selector_writes_reads_back_the_same(matchers: tuple[Matcher, ...]) -> None:
    """Quotes, backslashes and line breaks survive the way to PromQL and back."""
    written = str(Selector("m", matchers)).removeprefix("m{").removesuffix("}")

    assert selectors.parse_matchers(written) == matchers


@given(text=st.text())
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    """Nothing but `ValueError` leaves the parser."""
    matchers: tuple[Matcher, ...] | str
    try:
        matchers = selectors.parse_matchers(text)
    except ValueError as error:
        matchers = str(error)

    assert matchers


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ('a="x"', "x", True),
        ('a="x"', "", False),
        ('a!="x"', "", True),
        ('a=~"x|y"', "y", True),
        ('a=~"x"', "xx", False),
        ('a=~".*"', "", True),
        ('a=~"a.b"', "a\nb", True),
        ('a!~"x.*"', "xx", False),
        ('a!~"x"', "xx", True),
        (r'a="q\"\\\n"', 'q"\\\n', True),
        ("a='x', ", "x", True),
        (r"a=~`\d+`", "42", True),
    ],
)
def test_a_matcher_means_what_prometheus_says(text: str, value: str, *, expected: bool) -> None:
    """Expressions are anchored, a missing label is the empty text, a trailing comma is allowed."""
    (matcher,) = selectors.parse_matchers(text)

    assert selectors.matches(matcher, value) is expected


@pytest.mark.parametrize("expression", ["(?=x)", "(?<!x)y", r"(a)\1", "a*+", "(?P=a)"])
def test_expressions_that_prometheus_lacks_are_refused(expression: str) -> None:
    """A spec must mean the same here and in generated rules."""
    with pytest.raises(ValueError, match=r"Prometheus does not have|does not compile"):
        selectors.parse_matchers(f"a=~`{expression}`")


@pytest.mark.parametrize("expression", [r"\(?x", "(?:a|b)", "(?i)x", "(?P<n>x)", r"a\++"])
def test_expressions_that_prometheus_has_are_taken(expression: str) -> None:
    """Escaped parentheses, groups, flags and names are common to both."""
    assert len(selectors.parse_matchers(f"a=~`{expression}`")) == 1
