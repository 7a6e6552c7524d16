"""Whatever is sent to the controller, or written into its files, is refused and leaves no trace."""

import json
import pathlib
import random
from collections.abc import Iterator
from typing import Final

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests import thorough
from tests.unit.app import malformed, test_api
from tests.unit.app.malformed import FILES, Front, Sent, scribble

REQUESTS: Final = 1_500
SCRIBBLES: Final = 600
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture(name="front", scope="module")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Return a controller with a run that waits."""
    made = Front(tmp_path_factory.mktemp("front") / "data")
    yield made
    made.close()


def test_what_is_malformed_is_refused_and_leaves_no_trace(front: Front) -> None:
    """At every door; and the door is not simply shut."""
    before = front.record()

    found = malformed.attack(front, random.Random(20261128), REQUESTS)  # noqa: S311  the same in every run

    assert front.record() == before
    assert set(found) >= {400, 401, 404, 405, 422}
    alerts = front.doors[0]
    whole = Sent("POST", alerts.path, json.dumps(alerts.document).encode(), malformed.shown())
    (answer,) = front.answers([whole])
    assert (answer.status_code, answer.json()) == (200, {"kept": {"new": 2}})
    assert front.record() != before


@settings(max_examples=thorough.cases(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=JSON, number=st.integers(min_value=0, max_value=9))
def test_no_document_is_right_by_chance(front: Front, document: object, number: int) -> None:
    """Any JSON, at any door; some take nothing at all as well."""
    assume(document not in (None, {}))
    before = front.record()
    door = front.doors[number]
    one = Sent("POST", door.path, json.dumps(document).encode(), malformed.shown())

    malformed.refuse(one, *front.answers([one]))
    assert front.record() == before


def test_the_files_that_are_changed_are_right(tmp_path: pathlib.Path) -> None:
    """Otherwise their changes would prove nothing."""
    assert [one.findings(yaml.safe_dump(one.document), tmp_path) for one in FILES] == [[]] * len(FILES)


def test_no_reader_breaks_on_what_somebody_wrote(tmp_path: pathlib.Path) -> None:
    """Of every kind; most of it is refused, in one line for each thing that is wrong."""
    dice = random.Random(20261128)  # noqa: S311  the same in every run
    refused = sum(scribble(dice, tmp_path) for _ in range(SCRIBBLES))

    assert SCRIBBLES * 0.8 < refused < SCRIBBLES


@settings(max_examples=thorough.cases(200))
@given(text=st.text(), number=st.integers(min_value=0, max_value=len(FILES) - 1))
def test_any_text_is_read_or_refused(
    text: str, number: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever its characters are."""
    assert all(FILES[number].findings(text, tmp_path_factory.getbasetemp()))


def test_a_door_that_takes_what_is_wrong_is_found(front: Front) -> None:
    """The judge is judged."""
    whole = Sent("POST", "/api/v1/events", b'{"kind": "deploy", "text": "x"}', malformed.shown())

    with pytest.raises(AssertionError, match="201"):
        malformed.refuse(whole, *front.answers([whole]))
    assert test_api.SHOWN in malformed.shown()["Authorization"]
