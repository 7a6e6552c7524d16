"""Conditions are parsed once, mean what they say, and never run anything."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies

from netsre.model.alerts import AlertState
from netsre.model.conditions import And, Condition, Equal, Field, In, Not, Or, Still, Text
from netsre.runbook import conditions
from tests.unit import burning

ALERT = burning.fired().alert


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('labels.severity == "page"', True),
        ("labels.severity == 'ticket'", False),
        ('labels.severity != "ticket"', True),
        ('labels.absent == ""', True),
        ('state == "firing"', True),
        ('labels.severity in ["page", "ticket"]', True),
        ('labels.severity not in ["page"]', False),
        ('not labels.severity == "page"', False),
        ('labels.node == "b" or labels.node == "a" and state == "firing"', True),
        ('(labels.node == "a" or labels.node == "b") and state == "resolved"', False),
        ('"page" in [labels.severity]', True),
        ('annotations.budget_remaining == "50%"', True),
    ],
)
def test_a_condition_means_what_it_says(text: str, expected: bool) -> None:
    """`and` binds closer than `or`, and `not` closer than both."""
    assert conditions.holds(conditions.parse(text), ALERT) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            'the end at column 1, where labels.NAME, annotations.NAME, evidence.NAME, state, or "text"',
        ),
        ("labels.severity", "the end at column 16, where ==, !=, in, or not in belongs"),
        ('labels.severity = "page"', "cannot read '= \"page\"' at column 17"),
        ('labels.a == "x" labels.b', "'labels.b' at column 17, where and, or, or the end belongs"),
        (
            '__import__("os")',
            "'__import__' at column 1, where labels.NAME, annotations.NAME, evidence.NAME, state",
        ),
        ("labels.a in []", "']' at column 14, where labels.NAME"),
        ('(labels.a == "x"', "the end at column 17, where ')' belongs"),
        ("not " * 30 + 'state == "x"', "at most 20 levels"),
        ("(" * 30 + 'state == "x"' + ")" * 30, "at most 20 levels"),
    ],
)
def test_what_is_no_condition_is_refused_with_its_place(text: str, message: str) -> None:
    """The column, what stands there, and what belongs there."""
    with pytest.raises(conditions.ConditionError) as refused:
        conditions.parse(text)

    assert message in str(refused.value)


@pytest.mark.parametrize("part", ["(", 'state == "x" or ', " "])
def test_a_condition_has_a_bound(part: str) -> None:
    """A file of a megabyte must not keep a controller from starting."""
    with pytest.raises(conditions.ConditionError, match="has 1000000 characters, at most 10000"):
        conditions.parse((part * 1_000_000)[:1_000_000])


def test_a_label_cannot_change_the_logic() -> None:
    """Values are compared, never read as text of the condition."""
    hostile = dataclasses.replace(ALERT, labels=(("severity", 'x" or state == "firing'),))

    assert conditions.holds(conditions.parse('labels.severity == "page"'), hostile) is False


def test_the_state_of_a_resolved_alert_is_resolved() -> None:
    """One word for one thing."""
    resolved = dataclasses.replace(ALERT, state=AlertState.RESOLVED)

    assert conditions.holds(conditions.parse('state == "resolved"'), resolved) is True


def test_still_is_what_is_measured_now() -> None:
    """It is no word of the alert, and is never so by itself."""
    condition = conditions.parse('still(alert) and labels.severity == "page"')

    assert conditions.holds(condition, ALERT, still=True)
    assert not conditions.holds(condition, ALERT, still=False)
    assert not conditions.holds(condition, ALERT)
    assert conditions.holds(conditions.parse("not still(alert)"), ALERT)


@pytest.mark.parametrize(
    ("text", "measured"),
    [("still(alert)", True), ('state == "x" or not (still(alert))', True), ('state in ["x"]', False)],
)
def test_who_asks_for_a_measurement_is_known(text: str, measured: bool) -> None:
    """However deep it stands."""
    assert conditions.measures(conditions.parse(text)) is measured


@pytest.mark.parametrize("text", ["still", "still()", "still(labels.a)", "still(alert"])
def test_still_is_asked_of_the_alert_only(text: str) -> None:
    """There is nothing else to ask it of."""
    with pytest.raises(conditions.ConditionError):
        conditions.parse(text)


_NAMES = strategies.from_regex("[a-z_][a-z0-9_]{0,5}", fullmatch=True)
_TEXTS = strategies.text(alphabet="ab '$#{", max_size=5).map(Text) | strategies.just(Text('say "x"'))
_OPERANDS = (
    _TEXTS
    | strategies.builds(Field, strategies.sampled_from(["labels", "annotations"]), _NAMES)
    | strategies.just(Field("state"))
)
_CONDITIONS = strategies.recursive(
    strategies.just(Still())
    | strategies.builds(Equal, _OPERANDS, _OPERANDS)
    | strategies.builds(In, _OPERANDS, strategies.lists(_OPERANDS, min_size=1, max_size=3).map(tuple)),
    lambda inner: (
        strategies.builds(Not, inner)
        | strategies.builds(And, strategies.lists(inner, min_size=2, max_size=3).map(tuple))
        | strategies.builds(Or, strategies.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


@hypothesis.given(_CONDITIONS)
def test_a_condition_that_was_written_reads_as_it_was(condition: Condition) -> None:
    """A plan keeps conditions as text; what comes back is the same condition."""
    assert conditions.parse(conditions.text(condition)) == condition


@hypothesis.given(strategies.text(alphabet="labestnodri.=!()[],\"' ", max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing but `ConditionError` ever leaves the parser."""
    try:
        condition = conditions.parse(text)
    except conditions.ConditionError:
        return
    assert conditions.holds(condition, ALERT) in (True, False)
