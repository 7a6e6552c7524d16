"""Calls: what lint takes, and exactly what is planned to be sent."""

from dataclasses import replace

import pytest

from netsre.model import deeds
from netsre.model.deeds import Call, Request
from netsre.model.documents import Document
from netsre.model.samples import labels
from netsre.runbook.actions.contract import ActionRefused
from netsre.runbook.actions.http_call import HttpCall
from tests.unit.runbook import given
from tests.unit.runbook.test_outside_actions import SUBJECT, with_step
from tests.unit.runbook.test_parsing import findings, read

URL = "https://tools.example/drain"


def planned(parameters: Document, *, allow: str = URL) -> Call:
    """Return the call that is planned."""
    made = HttpCall((allow,)).plan(
        SUBJECT, {"method": "POST", "timeout": 5_000, **parameters}, given.MemoryViews()
    )
    assert isinstance(made, Call)
    return made


def test_a_call_is_read_with_what_was_written_as_json() -> None:
    """What stands in quotes is a text; without, it may be a number or a truth value."""
    step = (
        f"{{action: http.call, with: {{url: {URL}, headers: {{X-Team: 'net ${{secret.x}}'}}, timeout: 2s, "
        "expect: [202], "
        "body: {n: 5, t: '5', yes: true, list: [a, -1], deep: {node: '${labels.node}'}}}}"
    )
    taken = read(with_step(step)).steps[-1]

    assert taken.parameters == {
        "url": URL,
        "method": "POST",
        "headers": {"X-Team": "net ${secret.x}"},
        "body": {"n": 5, "t": "5", "yes": True, "list": ("a", -1), "deep": {"node": "${labels.node}"}},
        "expect": (202,),
        "timeout": 2_000,
    }


@pytest.mark.parametrize(
    ("given_with", "expected"),
    [
        ("{method: POST}", "SPEC005 spec.steps[3].with.url is missing"),
        ("{url: 'ftp://x/'}", "RUN043 spec.steps[3].with.url is no plain address"),
        ("{url: 'https://u:p@x/'}", "RUN043 spec.steps[3].with.url is no plain address"),
        ("{url: 'https://x/a/../b'}", "RUN043 spec.steps[3].with.url has a path that leads elsewhere"),
        ("{url: 'https://x/${labels.node}'}", "RUN0"),
        ("{url: 'https://x/', method: GET}", "spec.steps[3].with.method 'GET' is not one of POST"),
        ("{url: 'https://x/', timeout: 1m}", "RUN003 spec.steps[3].with.timeout is outside 1s to 15s"),
        ("{url: 'https://x/', headers: {Host: y}}", "RUN003 spec.steps[3].with.headers.Host is no header"),
        ("{url: 'https://x/', headers: {'X Y': y}}", "RUN003 spec.steps[3].with.headers.X Y is no header"),
        (
            '{url: "https://x/", headers: {X: "a\\r\\nY: b"}}',
            "RUN003 spec.steps[3].with.headers.X has a value",
        ),
        ("{url: 'https://x/', expect: [500]}", "RUN003 spec.steps[3].with.expect is no list of statuses"),
        ("{url: 'https://x/', expect: []}", "RUN003 spec.steps[3].with.expect is no list of statuses"),
        ("{url: 'https://x/', body: {a: 1.5}}", "spec.steps[3].with.body.a '1.5' is not a whole number"),
        ("{url: 'https://x/', body: {a: 'x ${labels.node}'}}", "RUN010 spec.steps[3].with body has a part"),
        ("{url: 'https://x/', body: {a: ['${evidence.x}']}}", "RUN010 spec.steps[3].with body refers to"),
        ("{url: 'https://x/', body: {a: '${secret.x}'}}", "RUN025 spec.steps[3].with.body has ${secret.x}"),
        ("{url: 'https://x/', undo: {url: 'https://x/', body: ['${secret.x}']}}", "RUN025 spec.steps[3]"),
        ("{url: 'https://x/', headers: {A: '${labels.node}'}}", "RUN003 spec.steps[3].with.headers.A has a"),
        ("{url: 'https://x/', headers: {A: '${evidence.x}'}}", "RUN003 spec.steps[3].with.headers.A has a"),
        ("{url: 'https://x/', look: {url: y}}", "RUN043 spec.steps[3].with.look.url is no plain address"),
        (
            "{url: 'https://x/', look: {url: 'https://x/', body: 1}}",
            "SPEC004 key spec.steps[3].with.look.body",
        ),
        ("{url: 'https://x/', undo: {method: POST}}", "SPEC005 spec.steps[3].with.undo.url is missing"),
    ],
)
def test_a_call_that_cannot_be_made_as_it_stands_is_a_finding(given_with: str, expected: str) -> None:
    """At its line."""
    found = findings(with_step(f"{{action: http.call, with: {given_with}}}"))

    assert any(expected in line for line in found), found


def test_values_are_bound_by_structure() -> None:
    """A label that looks like JSON, or like a reference, is a text in it."""
    odd = labels({**dict(given.ALERT.labels), "node": '"}, "x": "${labels.netns}'})
    subject = replace(SUBJECT, alert=replace(given.ALERT, labels=odd))
    body: Document = {"node": "${labels.node}", "list": ("${labels.netns}", 1)}
    parameters: Document = {"url": URL, "method": "POST", "timeout": 5_000, "body": body}
    made = HttpCall((URL,)).plan(subject, parameters, given.MemoryViews())

    assert isinstance(made, Call)
    assert made.request.body == r'{"list":["lab",1],"node":"\"}, \"x\": \"${labels.netns}"}'


def test_a_call_is_the_same_after_the_journal() -> None:
    """With what looks for it and what takes it back, which alone makes it reversible."""
    look: Document = {"url": URL, "method": "GET", "expect": (200,)}
    whole = planned({"url": URL, "look": look, "undo": {"url": URL, "method": "DELETE"}})
    bare = planned({"url": URL})

    assert whole.look == Request("GET", URL, expect=(200,))
    for call in (whole, bare):
        assert deeds.read(deeds.write(call)) == call
        assert (deeds.setting(call), deeds.lasting(call)) == (None, None)
    assert (deeds.reversible(whole), deeds.observable(whole)) == (True, True)
    assert (deeds.reversible(bare), deeds.observable(bare)) == (False, False)


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"url": "https://elsewhere.example/"}, "not_allowed"),
        ({"url": URL, "undo": {"url": "https://elsewhere.example/", "method": "POST"}}, "not_allowed"),
        ({"url": URL, "look": {"url": "https://elsewhere.example/", "method": "GET"}}, "not_allowed"),
        ({"url": URL, "body": {"x": "${labels.team}"}}, "no_label"),
        ({"url": URL, "body": {"x": "y" * 20_000}}, "too_large"),
    ],
)
def test_what_may_not_be_called_refuses_the_plan(parameters: Document, word: str) -> None:
    """Also where only taking it back would lead elsewhere."""
    with pytest.raises(ActionRefused) as refused:
        planned(parameters)

    assert refused.value.reason == word


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "http_call"},
        {"kind": "http_call", "request": {"headers": {}}, "timeout": 0},
        {"kind": "http_call", "request": 3, "timeout": 1},
        {"kind": "silence", "matchers": {}, "ttl": 1},
        {"kind": "silence", "matchers": {"a": "b"}, "ttl": True},
        {"kind": "other"},
    ],
)
def test_a_document_that_is_no_deed_is_refused(document: Document) -> None:
    """It was written by another version, or by hand."""
    with pytest.raises(ValueError, match=r"no |write |everything"):
        deeds.read(document)
