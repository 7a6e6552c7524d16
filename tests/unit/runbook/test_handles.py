"""A secret is a handle everywhere but in what goes out."""

import pytest
from hypothesis import given as drawn
from hypothesis import strategies

from netsre.errors import SpecErrors
from netsre.model import values
from netsre.model.documents import Document
from netsre.runbook import handles, parsing, references
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import Subject, Views
from tests.unit.runbook import test_parsing


class Ring:
    """An action that sends a secret along with what it says."""

    name = "test.ring"
    secrets = frozenset({"headers"})

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take headers and a body."""
        headers = parameters.mapping("headers")
        return {"headers": {} if headers is None else headers.pairs(), "body": parameters.text("body")}

    def provides(self, parameters: Document) -> frozenset[str]:
        """Return nothing."""
        del parameters
        return frozenset()

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Send nothing."""
        del subject, parameters, views
        return {}


RINGS = test_parsing.GOOD.replace(
    "{action: evidence.collect, with: {what: [flows]}}",
    "{action: test.ring, with: {headers: {Authorization: 'Bearer ${secret.pager}'}, body: x}}",
)
WITH_IT = {**ACTIONS, Ring.name: Ring()}


def test_a_handle_may_stand_where_the_action_takes_one_and_stays_one() -> None:
    """Also as a part of a text, at any depth."""
    (book,) = parsing.parse({"x.yaml": RINGS}, WITH_IT, test_parsing.KNOWN)

    assert book.steps[0].parameters["headers"] == {"Authorization": "Bearer ${secret.pager}"}
    assert handles.named(book.steps[0].parameters) == {"pager"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("body: x", "body: 'x ${secret.pager}'", "RUN025 spec.steps[0].with.body has ${secret.pager}, "),
        ("'Bearer ${secret.pager}'", "'Bearer ${secret.}'", "RUN025 spec.steps[0].with.headers has a part"),
        ("body: x", "body: '${secret.a/b}'", "RUN025 spec.steps[0].with.body has a part of a handle"),
    ],
)  # fmt: skip
def test_a_handle_elsewhere_is_a_finding(old: str, new: str, expected: str) -> None:
    """And so is what only looks like one."""
    with pytest.raises(SpecErrors) as refused:
        parsing.parse({"x.yaml": RINGS.replace(old, new)}, WITH_IT, test_parsing.KNOWN)

    assert any(expected in str(finding) for finding in refused.value.findings), refused.value.findings


def test_a_shipped_action_takes_no_secret_where_it_does_not_say_so() -> None:
    """Whatever its parameter is about."""
    found = test_parsing.findings(test_parsing.ACTS.replace("'2001:DB8::0001'", "'${secret.source}'"))

    assert any("RUN025 spec.steps[2].with.source has ${secret.source}, and" in line for line in found), found


@drawn(
    said=strategies.text(max_size=20)
    | strategies.just("${secret.pager}")
    | strategies.just("a ${evidence.x}")
)
def test_what_was_seen_is_never_a_handle_nor_a_reference(said: str) -> None:
    """A source can call itself whatever it likes."""
    found = references.resolved({"source": "${evidence.top_source}"}, {"top_source": said})

    assert "${" not in str(found["source"])
    assert found["source"] in (said, "")


def test_what_a_secret_says_is_no_handle() -> None:
    """It is filled in once."""
    held = {"a": "${secret.b}", "b": "no"}

    assert handles.filled("x ${secret.a} ${secret.b}", held.__getitem__) == "x ${secret.b} no"
