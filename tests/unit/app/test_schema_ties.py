"""What ties schemas and readers: both are asked for the keys and words they know, and about bad files."""

import copy
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netsre.app.schemas import parts, published
from netsre.model import linting, literals
from tests.unit.app import test_schemas as both
from tests.unit.app.test_schemas import Node, Path
from tests.unit.gameday import test_parsing as gamedays
from tests.unit.runbook import test_parsing as runbooks

UNIT: Final = pathlib.Path(__file__).resolve().parents[1]
BAD: Final = sorted([*UNIT.glob("slo/bad/*.yaml"), *UNIT.glob("alerting/bad/*.yaml")])
UNKNOWN: Final = "?"
"""A key and a word that nothing reads and nothing is like, so that the reader lists those it knows."""
LABELS: Final = ("metadata", "labels")
CHOSEN: Final = frozenset({("match",), ("matchers",), ("values",), ("headers",), ("body",)})
"""Whose keys people choose."""

BEYOND: Final = frozenset(
    {
        # Not a matter of values: how the text is written, and numbers by their spelling.
        "alias", "python-tag", "not-yaml", "empty-file", "duplicate-key",
        "objective-exponent", "objective-nan",
        # What is elsewhere: other documents, other files, a table of time zones.
        "duplicate", "duplicate-policy", "duplicate-slo", "policy-unknown", "runbook-unknown",
        "calendar-in-no-zone", "calendar-in-an-offset",
        # What two values mean together.
        "bad-outside-total", "broken-policy-spares-its-slos", "clear-beyond", "clear-beyond-downwards",
        "group-by-unknown-label", "match-unknown-label", "policy-never-fires", "reserved-label",
        "rule-short-not-shorter", "slices-longer-than-a-window", "window-lets-rules-fire-always",
        "window-shorter-than-policy", "promql-absent-too-early", "promql-every-beyond-a-slice",
        "promql-every-beyond-a-window",
        # Sums: how much a text says, and whether that is a bound of a bucket.
        "absent-for-a-moment", "latency-above-bounds", "latency-between-bounds", "rule-seconds",
        "slices-of-seven-minutes", "slices-that-must-be-perfect", "window-not-minutes", "window-of-a-year",
        "promql-every-seven-minutes", "promql-too-long",
        # A language inside of a value.
        "match-does-not-compile", "match-not-of-prometheus", "match-unknown-escape", "promql-range-vector",
        "promql-scalar", "promql-syntax", "promql-types", "promql-unclosed", "promql-without-window",
    }
)  # fmt: skip
"""Bad files that only a reader can refuse, by what it takes to see it."""
BEYOND_INLINE: Final = frozenset(
    {
        # What is elsewhere.
        "alert: ErrorBudgetBurns", "alert: ConntrakU", "alert: ConntrackUtilisation", "slo: headrom",
        "slo: headroom", "runbook: reboot", "${evidence.top_sources}", "[conntrack]", "{nodes}",
        # Sums, and what two values mean together.
        "window: 2m", "within: 2h", "ttl: 2h", "{limit: x2, max: 9, ttl: 2d}",
        "samples: 4, need: 2", "samples: 3, need: 4",
        "{limit: 2000, max: 1000, ttl: 1h}", "duration: 11m", "duration: 90500ms", "detected: 4m",
        "verified: 39s", "veto: 30s", "mode: propose, timeout: 2d",
        # Whom a file of people names.
        "mode: propose, by: [sr]", "mode: propose, by: [sre], quorum: 3", "mode: propose, quorum: 4",
        # A language inside of a value.
        "severity =", "when: 'still(alert) and ", "if: 'stil(alert)'",
    }
)  # fmt: skip
"""The same for mistakes that tests make in a good text, by what they write."""


def mistakes(test: Callable[..., None], text: str) -> list[tuple[str, str]]:
    """Return what a test writes into a good text, and the text that is bad then."""
    (mark,) = (mark for mark in vars(test)["pytestmark"] if mark.name == "parametrize")
    return [(new, text.replace(old, new, 1)) for old, new, *_ in mark.args[1]]


INLINE: Final = [
    *mistakes(runbooks.test_every_mistake_has_its_line_and_its_code, runbooks.GOOD),
    *mistakes(runbooks.test_every_mistake_of_a_runbook_that_acts_has_its_line_and_its_code, runbooks.ACTS),
    *mistakes(gamedays.test_what_is_wrong_has_its_place_and_code, gamedays.RIGHT),
]


@pytest.fixture(scope="module", name="schemas")
def _schemas() -> dict[str, Any]:
    """Return every schema by its file."""
    return dict(published.schemas())


@pytest.fixture(scope="module", name="validator")
def _validator(schemas: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """Return what checks a file of any kind."""
    return both.validator_of(schemas)


def inside(document: Node, path: Path) -> Node:
    """Return what stands in a place of a document."""
    for key in path:
        document = document[key]
    return document


def dotted(path: Path) -> str:
    """Return a place as messages name it; of what stands in a list at its end, the list."""
    named = path if isinstance(path[-1], str) else path[:-1]
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in named).removeprefix(".")


def mappings() -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield every place of every whole document where keys stand that a reader knows."""
    for document in both.DOCUMENTS:
        for path in ((), *both.places(document)):
            chosen = path == LABELS or path[-1:] in CHOSEN or of_people(path)
            if isinstance(inside(document, path), dict) and not chosen:
                yield document, path


def of_people(path: Path) -> bool:
    """Tell whether keys are what people choose: series, labels, addresses, fields of effects and the like."""
    chosen = {"series", "groups", "firing", "resolved"}
    of_effect = path[-2:-1] in (("effects",), ("undone",), ("inForce",))
    address = path[-2:] == ("others", "http")
    return (path[-1:] and path[-1] in chosen) or "facts" in path or of_effect or address


def strict_parts(schema: object) -> Iterator[dict[str, Any]]:
    """Yield every part of a schema that says which keys a mapping may have."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            yield schema
        for below in schema.values():
            yield from strict_parts(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from strict_parts(below)


def refused(text: str, validator: jsonschema.Draft202012Validator) -> bool:
    """Tell whether an editor marks anything in a text; what is no YAML it marks by itself."""
    try:
        documents = list(yaml.load_all(text, both.Yaml12))
    except yaml.YAMLError:
        return False
    return not all(validator.is_valid(document) for document in documents if document is not None)


def flat(errors: Iterator[Any]) -> Iterator[Any]:
    """Yield errors and those of the alternatives that they stand for."""
    for error in errors:
        yield error
        yield from flat(iter(error.context or ()))


def test_both_know_the_same_keys_everywhere(
    schemas: dict[str, Any], validator: jsonschema.Draft202012Validator, tmp_path: pathlib.Path
) -> None:
    """Asked by an unknown key in every mapping; and no part of any schema is left out of the question."""
    seen: dict[int, set[str]] = {}
    for document, path in mappings():
        asked = copy.deepcopy(document)
        inside(asked, path)[UNKNOWN] = "x"
        known = (
            re.findall(r"^key .* is unknown(?:; known: (.*))?$", message)
            for _, message in both.told(yaml.safe_dump(asked), document["kind"], tmp_path)
        )
        (listed,) = itertools.chain(*known)
        strict = (
            e.schema for e in flat(validator.iter_errors(asked)) if e.validator == "additionalProperties"
        )
        written = {*inside(document, path)}
        (part,) = (p for p in strict if {*p["required"]} <= written <= {*p["properties"]})
        assert set(part["properties"]) == set(filter(None, listed.split(", "))), (both.title(document), path)
        seen.setdefault(id(part), set()).update(written)

    for schema in schemas.values():
        for part in strict_parts(schema):
            assert seen.get(id(part)) == set(part["properties"]), part["description"]


def test_both_know_the_same_words(validator: jsonschema.Draft202012Validator, tmp_path: pathlib.Path) -> None:
    """Asked by a wrong word in every place: what the reader lists, the schema lists, and nothing else.

    What depends on another value is wider in a schema: the kinds of one directory, the labels of one metric.
    """
    asked = set()
    for document in both.DOCUMENTS:
        for path in both.places(document):
            spoilt = copy.deepcopy(document)
            inside(spoilt, path[:-1])[path[-1]] = UNKNOWN
            errors = flat(validator.iter_errors(spoilt))
            enums = (
                e.validator_value for e in errors if e.validator == "enum" and [*e.absolute_path] == [*path]
            )
            lists = {str(word).lower() for word in itertools.chain(*enums)}
            if not lists:
                continue
            found = both.told(yaml.safe_dump(spoilt), document["kind"], tmp_path)
            about = (message for _, message in found if message.startswith(f"{dotted(path)} "))
            said = (re.findall(r"(?:is not one of|known:|write) ([^;]+)(?:;|$)", line) for line in about)
            words = {word.lower() for word in re.split(", | or ", next(itertools.chain(*said)))}
            assert words == lists or (words < lists and (path == ("kind",) or "groupBy" in path)), path
            asked.add(path[-1])

    assert asked >= {"severity", "action", "metric", "transition", "profile", "method", "op", "mode"}


def test_bad_files_are_bad_to_an_editor_unless_only_a_reader_can_see_it(
    validator: jsonschema.Draft202012Validator,
) -> None:
    """Exactly these are left to `netsre slo validate`."""
    assert {path.stem for path in BAD if not refused(path.read_text(), validator)} == BEYOND


def test_bad_runbooks_and_game_days_are_bad_to_an_editor_unless_only_a_reader_can_see_it(
    validator: jsonschema.Draft202012Validator,
) -> None:
    """Exactly these are left to `netsre runbook lint` and to the reader of game days."""
    assert {new for new, text in INLINE if not refused(text, validator)} == BEYOND_INLINE


def test_no_bad_value_passes_an_editor_but_for_the_spelling_of_a_number() -> None:
    """Which is lost before an editor checks it; the rest takes more than one value to see."""
    codes = {
        path.stem: {line.split()[2] for line in path.read_text().splitlines() if line.startswith("#= ")}
        for path in BAD
    }
    by_value = {*both.SHAPE, linting.NUMBER, linting.DURATION, linting.CHOICE, linting.NAME}

    assert {stem for stem in BEYOND if codes[stem] & by_value} == {"objective-exponent", "objective-nan"}


@given(text=st.text(alphabet="0123dhms", max_size=9))
def test_a_length_of_time_is_one_to_both(text: str) -> None:
    """Up to the longest that netsre takes, which is beyond a pattern."""
    try:
        literals.parse_duration(text)
    except ValueError as error:
        taken = "is outside" in str(error) and re.search("[1-9]", text) is not None
    else:
        taken = True

    assert (re.search(parts.duration("")["pattern"], text) is not None) == taken


@given(
    text=st.one_of(
        st.text(alphabet="+-019.%", max_size=8),
        st.from_regex("[+-]?0{0,2}([0-9]{1,2}|100)([.][01]{1,3})?%", fullmatch=True),
    )
)
def test_a_share_is_one_to_both(text: str) -> None:
    """From 0 % to 100 %, above 0 %, whole ones, and those above 50 % that leave something."""
    try:
        share = literals.parse_percent(text)
    except ValueError:
        taken = [False] * 4
    else:
        within = 0 <= share <= 1
        whole = within and (share * 100).denominator == 1
        taken = [within, within and share > 0, whole, Fraction(1, 2) < share < 1]

    forms = (parts.share, parts.positive_share, parts.whole_share, parts.majority)
    patterns = [form("")["pattern"] for form in forms]
    assert [re.search(pattern, text) is not None for pattern in patterns] == taken
