"""Claims about the strict reader of files that people write."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.errors import SpecErrors
from netsre.model import linting, literals, specs, values, yamltree
from netsre.model.levels import Origin

HEAD = "apiVersion: netsre.dev/v1\nkind: Thing\nmetadata: {name: a}\nspec:\n"


def read(body: str) -> tuple[values.Mapping, linting.Findings]:
    """Return the spec of a well-formed document around this body."""
    findings = linting.Findings()
    (document,) = specs.documents(HEAD + body, "f", {"Thing"}, findings)
    return document.spec, findings


def lines(findings: linting.Findings) -> list[str]:
    """Return the findings as people see them."""
    return [str(finding) for finding in findings.sorted()]


def test_takers_return_exact_values() -> None:
    """Every kind of value arrives without a guess: `no` is a text, 0.1 is one tenth."""
    spec, findings = read(
        "  text: no\n  exact: 0.1\n  percent: 2.5%\n  integer: 7\n  duration: 1h30m\n  choice: b\n"
        "  list: [x, '']\n  labels: {team: 007}\n"
    )
    labels, items = spec.mapping("labels"), spec.sequence("list")

    assert labels is not None
    assert items is not None
    assert (spec.text("text"), spec.exact("exact"), spec.percent("percent"), spec.integer("integer")) == (
        "no",
        Fraction(1, 10),
        Fraction(1, 40),
        7,
    )
    assert (spec.duration("duration"), spec.choice("choice", "a", "b")) == (90 * clock.MINUTE, "b")
    assert (items.texts(), labels.pairs()) == (("x", ""), {"team": "007"})
    spec.end()
    findings.raise_if_any()


def test_an_absent_optional_value_is_none_and_no_finding() -> None:
    """Only a required key is missed."""
    spec, findings = read("  a: 1\n")

    assert spec.text("b", required=False) is None
    assert spec.text("c") is None
    assert lines(findings) == ["f:5: SPEC005 spec.c is missing; write it"]


def test_every_finding_is_raised_at_once_in_order() -> None:
    """A person corrects a file once, not once for each mistake."""
    spec, findings = read("  b: x\n  a: y\n  z: 1\n")
    spec.exact("a")
    spec.duration("b")
    spec.end()

    with pytest.raises(SpecErrors) as caught:
        findings.raise_if_any()
    assert [(finding.line, finding.code) for finding in caught.value.findings] == [
        (5, linting.DURATION),
        (6, linting.NUMBER),
        (7, linting.UNKNOWN_KEY),
    ]


def test_the_same_finding_twice_counts_once() -> None:
    """Asking for one value in two ways does not shout."""
    spec, findings = read("  a: x\n")
    spec.exact("a")
    spec.exact("a")

    assert len(findings) == 1


def test_a_key_with_a_line_break_stays_on_one_line() -> None:
    """What a person reads is one line for each finding, whatever the file holds."""
    spec, findings = read('  "a\\nb\\e[31m": 1\n')
    spec.end()

    assert lines(findings) == [r"f:5: SPEC004 key spec.a\nb\x1b[31m is unknown"]


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("a: [", 1, linting.SYNTAX),
        ("a: b\n c: d\n", 2, linting.SYNTAX),
        ("a: 1\nb: \x01\n", 2, linting.SYNTAX),
        ("a: 1\nb: &x 2\n", 2, linting.REFUSED_YAML),
        ("a: 1\nb: *x\n", 2, linting.REFUSED_YAML),
        ("a: &a [*a]", 1, linting.REFUSED_YAML),
        ("a: !!python/object/apply:os.system [true]", 1, linting.REFUSED_YAML),
        ("a: !secret x", 1, linting.REFUSED_YAML),
        ("? [a]\n: b", 1, linting.REFUSED_YAML),
        ("[" * 5000, 1, linting.REFUSED_YAML),
        ("--- \n---\n# nothing\n", 1, linting.EMPTY),
        ("text", 1, linting.SHAPE),
    ],
)
def test_yaml_that_is_broken_or_refused_is_one_finding_at_its_line(text: str, line: int, code: str) -> None:
    """No exception of the YAML library and no value from such a file gets out."""
    findings = linting.Findings()

    assert specs.documents(text, "f", {"Thing"}, findings) == []
    assert [(finding.line, finding.code) for finding in findings.sorted()] == [(line, code)]


def test_documents_before_a_syntax_error_are_still_read() -> None:
    """What can be checked is checked, beside the line where reading ended."""
    findings = linting.Findings()

    found = specs.documents(HEAD + "  a: 1\n---\n]\n", "f", {"Thing"}, findings)

    assert [document.name for document in found] == ["a"]
    assert [finding.code for finding in findings.sorted()] == [linting.SYNTAX]


def test_a_file_holds_several_documents_with_lines_of_their_own() -> None:
    """Lines count from the top of the file."""
    findings = linting.Findings()

    found = specs.documents(f"{HEAD}  a: 1\n---\n{HEAD}  a: 1\n", "f", {"Thing"}, findings)

    assert [document.spec.origin for document in found] == [Origin("f", 5), Origin("f", 11)]


def test_unknown_keys_at_the_top_are_found() -> None:
    """The head is as strict as the rest."""
    findings = linting.Findings()
    specs.documents(HEAD + "  a: 1\nspecs: {}\n", "f", {"Thing"}, findings)

    assert lines(findings) == ["f:6: SPEC004 key specs is unknown; did you mean 'spec'?"]


@given(text=st.text())
def test_any_text_is_read_or_becomes_findings(text: str) -> None:
    """The reader has no crash for anybody to find."""
    findings = linting.Findings()
    found = specs.documents(HEAD + "  a: " + text, "f", {"Thing"}, findings)

    assert found or len(findings)


@given(text=st.text(alphabet="[]{}&*!|>-?:,'\"#% \n\tab01"))
def test_any_punctuation_is_read_or_refused_without_a_crash(text: str) -> None:
    """The tree of a text is there, or the place where reading ended."""
    roots, unreadable = yamltree.documents(text)

    assert unreadable is None or unreadable.line >= 1
    assert all(root.line >= 1 for root in roots)


@given(units=st.lists(st.integers(0, 59), min_size=5, max_size=5).filter(any))
def test_a_length_of_time_is_written_and_read_alike(units: list[int]) -> None:
    """`clock.duration_text` and the reader are inverse."""
    days, hours, minutes, seconds, rest = units
    length = days * clock.DAY + hours * clock.HOUR + minutes * clock.MINUTE + seconds * clock.SECOND + rest

    assert literals.parse_duration(clock.duration_text(length)) == length


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**9), max_value=10**9)
)
def test_a_number_is_read_exactly(number: object) -> None:
    """The value is the text's own, digit for digit."""
    text = format(number, "f")

    assert literals.parse_exact(text) == Fraction(text)


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1_000", "1e3", ".5", "5.", "inf", "٣", "0x10", "1/3", "9" * 40]
)
def test_what_is_not_plainly_a_number_is_refused(text: str) -> None:
    """No spelling is accepted that two programs could read differently."""
    with pytest.raises(ValueError, match="is not a decimal number; write "):
        literals.parse_exact(text)


@pytest.mark.parametrize(
    "text", ["", "5", "-5m", "m", "5 m", "1m1h", "1.5h", "5min", "0s", "٣m", "99999999d"]
)
def test_what_is_not_plainly_a_length_of_time_is_refused(text: str) -> None:
    """Units stand in order, each once, and something must remain."""
    with pytest.raises(ValueError, match="; write "):
        literals.parse_duration(text)


def test_a_long_wrong_value_is_shown_shortened() -> None:
    """A message stays a line that a person can read."""
    assert len(literals.shown("x" * 10_000)) < 70


@given(st.text())
def test_what_is_shown_to_people_is_one_printable_line(text: str) -> None:
    """What can be read as it is stays so."""
    shown = literals.printable(text)

    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_a_finding_does_not_repeat_a_page() -> None:
    """Its place is said first; what is wrong with a text of a megabyte shows in its beginning."""
    findings = linting.Findings()

    findings.add(Origin("f", 5), "A001", "spec.match '" + "x" * 1_000_000)

    (line,) = lines(findings)
    assert line.startswith("f:5: A001 spec.match 'xxx")
    assert len(line) < 5_000
