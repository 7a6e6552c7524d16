"""What a runbook may do about policies in force and the prefilter: planned exactly, or refused by a word."""

import dataclasses
from collections.abc import Mapping

import pytest

from netsre.clock import HOUR, MINUTE
from netsre.errors import SpecErrors
from netsre.model import effects
from netsre.model.deeds import Deed
from netsre.model.documents import Document, Json
from netsre.model.effects import (
    EVERYBODY,
    KINDS,
    Block,
    Effect,
    Flush,
    Limit,
    ModeFacts,
    PolicyMode,
    PolicyPrograms,
    PolicyRevision,
    PrefilterMode,
    RevisionFacts,
    Setting,
    SourceLimit,
)
from netsre.model.samples import labels
from netsre.runbook import parsing
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import ActionRefused, Change, NodeRefused, NothingToDo
from tests.unit.runbook import given
from tests.unit.runbook.given import MemoryNode, MemoryViews
from tests.unit.runbook.test_parsing import ACTS, KNOWN

WEB = "shop/web-1"
WATCHED = ModeFacts("monitor", "monitor", ends=False, enforced=False)
FOR_A_WHILE = ModeFacts("monitor", "enforce", ends=True, enforced=False)
OWN = ModeFacts("inherit", "inherit", ends=False, enforced=True)


def read(step: str) -> Document:
    """Return the parameters of a step, as they are read from a file."""
    text = ACTS.replace("conntrack.flush, with: {source: '2001:DB8::0001'}", step)
    (book,) = parsing.parse({"act.yaml": text}, ACTIONS, KNOWN)
    return book.steps[2].parameters


def plan(
    name: str,
    parameters: Document,
    node: MemoryNode | None = None,
    given_labels: Mapping[str, str] | None = None,
) -> Deed:
    """Return what an action would do about the alert, with further labels."""
    action, subject = ACTIONS[name], given.SUBJECT
    assert isinstance(action, Change)
    known = {**dict(subject.alert.labels), **(given_labels or {})}
    subject = dataclasses.replace(subject, alert=dataclasses.replace(subject.alert, labels=labels(known)))
    return action.plan(subject, parameters, MemoryViews(node or MemoryNode()))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("policy.mode, with: {mode: monitor, ttl: 10m}", {"mode": "monitor", "endpoint": EVERYBODY}),
        (
            "policy.mode, with: {mode: off, endpoint: shop/web-1, ttl: 10m}",
            {"mode": "off", "endpoint": WEB},
        ),
        (
            "policy.mode, with: {mode: off, endpoint: '{dst}', ttl: 10m}",
            {"mode": "off", "endpoint_of_alert": "{dst}"},
        ),
        (
            "policy.mode, with: {mode: off, endpoint: 'shop/{pod}', ttl: 10m}",
            {"mode": "off", "endpoint_of_alert": "shop/{pod}"},
        ),
        (
            "policy.mode, with: {mode: off, endpoint: '${evidence.top_source}', ttl: 10m}",
            {"mode": "off", "endpoint": given.SOURCE},
        ),
        ("prefilter.mode, with: {mode: monitor, ttl: 10m}", {"mode": "monitor"}),
        (
            "prefilter.limit_source, with: {source: '2001:DB8::0001', rate: 500, ttl: 10m}",
            {"source": "2001:db8::1", "rate": 500},
        ),
    ],
)
def test_parameters_are_read(step: str, expected: Document) -> None:
    """As they are written; who names no endpoint means all, and who names a label does not."""
    assert read(step) == {**expected, "ttl": 10 * MINUTE}


def test_a_rollback_takes_nothing() -> None:
    """Where to is planned when it runs, and named then."""
    assert read("policy.rollback, with: {}") == read("policy.program_rollback, with: {}") == {}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            "policy.mode, with: {mode: enforce, ttl: 10m}",
            "spec.steps[2].with.mode 'enforce' is not one of monitor, off",
        ),
        ("policy.mode, with: {mode: monitor, ttl: 61m}", "spec.steps[2].with.ttl is outside 1s to 1h"),
        ("policy.mode, with: {mode: monitor}", "spec.steps[2].with.ttl"),
        (
            "policy.mode, with: {mode: monitor, ttl: 1m, endpoint: web}",
            "endpoint 'web' is no endpoint; write namespace",
        ),
        ("policy.mode, with: {mode: monitor, ttl: 1m, endpoint: '*'}", "endpoint '*' is no endpoint"),
        ("policy.mode, with: {mode: monitor, ttl: 1m, endpoint: ''}", "is no endpoint"),
        ("policy.mode, with: {mode: monitor, ttl: 1m, endpoint: 'a/${evidence.x}'}", "is no endpoint"),
        ("policy.mode, with: {mode: monitor, ttl: 1m, endpoint: '${evidence.x}'}", "refers to evidence.x"),
        ("policy.mode, with: {mode: monitor, ttl: 1m, endpoints: a/b}", "did you mean 'endpoint'?"),
        ("policy.rollback, with: {to: 3}", "key spec.steps[2].with.to is unknown"),
        ("policy.program_rollback, with: {to: 3}", "key spec.steps[2].with.to is unknown"),
        ("prefilter.mode, with: {mode: off, ttl: 1m}", "spec.steps[2].with.mode 'off' is not one of monitor"),
        ("prefilter.limit_source, with: {source: web, rate: 5, ttl: 1m}", "source 'web' is no address"),
        (
            "prefilter.limit_source, with: {source: 10.0.0.1, rate: 0, ttl: 1m}",
            "rate 0 packets a second is no rate",
        ),
        (
            "prefilter.limit_source, with: {source: 10.0.0.1, rate: 4294967296, ttl: 1m}",
            "write 1 to 4294967295",
        ),
        ("prefilter.limit_source, with: {source: 10.0.0.1, rate: 5, ttl: 2h}", "ttl is outside 1s to 1h"),
        ("prefilter.limit_source, with: {source: 10.0.0.1, ttl: 1m}", "spec.steps[2].with.rate"),
    ],
)
def test_a_mistake_is_one_finding(step: str, expected: str) -> None:
    """With the key and what to write instead."""
    with pytest.raises(SpecErrors) as wrong:
        read(step)
    (finding,) = wrong.value.findings
    assert expected in str(finding)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"endpoint": EVERYBODY}, PolicyMode(EVERYBODY, "enforce", "off", HOUR)),
        ({"endpoint": WEB}, PolicyMode(WEB, "inherit", "off", HOUR)),
        ({"endpoint_of_alert": "{dst}"}, PolicyMode(WEB, "inherit", "off", HOUR)),
        ({"endpoint_of_alert": "shop/{pod}-1"}, PolicyMode(WEB, "inherit", "off", HOUR)),
    ],
)
def test_a_mode_names_whom_it_is_for_and_what_comes_again(parameters: Document, expected: Effect) -> None:
    """Labels of the alert are filled in once."""
    node = MemoryNode(modes={WEB: OWN})
    found = plan("policy.mode", {"mode": "off", "ttl": HOUR, **parameters}, node, {"dst": WEB, "pod": "web"})

    assert found == expected


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"endpoint": ""}, "no_endpoint"),
        ({"endpoint": None}, "no_endpoint"),
        ({"endpoint_of_alert": "{pod}"}, "no_endpoint"),
        ({"endpoint_of_alert": "{star}"}, "no_endpoint"),
        ({"endpoint": "shop/nobody"}, "unknown_endpoint"),
        ({"endpoint": "{dst}"}, "unknown_endpoint"),
    ],
)
def test_whom_nobody_named_is_not_everybody(parameters: Document, word: str) -> None:
    """Evidence without one, an alert without the label or with a star in it; values are no templates."""
    said = ""
    try:
        plan("policy.mode", {"mode": "off", "ttl": HOUR, **parameters}, None, {"star": "*", "dst": WEB})
    except (ActionRefused, NodeRefused) as refused:
        said = refused.reason

    assert said == word


@pytest.mark.parametrize("name", ["policy.mode", "prefilter.mode"])
def test_nothing_is_loosened_without_need(name: str) -> None:
    """Where nothing is dropped there is nothing to do; where somebody has seen to it, that stays."""
    parameters: Document = {"mode": "monitor", "endpoint": EVERYBODY, "ttl": HOUR}
    loose = dataclasses.replace(given.POLICIES, mode=WATCHED)
    with pytest.raises(NothingToDo) as nothing:
        plan(name, parameters, MemoryNode(policies=loose, filtering=WATCHED))
    seen_to = dataclasses.replace(given.POLICIES, mode=FOR_A_WHILE)
    with pytest.raises(ActionRefused) as refused:
        plan(name, parameters, MemoryNode(policies=seen_to, filtering=FOR_A_WHILE))

    assert (nothing.value.reason, refused.value.reason) == ("not_enforced", "mode_ends")
    assert not isinstance(refused.value, NothingToDo)


def test_a_rollback_names_both_revisions_by_their_content() -> None:
    """So that nobody goes on from another one, nor to another one of the same number."""
    expected = PolicyRevision(7, "7777aaaa", 5, "5555aaaa")

    assert plan("policy.rollback", {}) == expected
    assert effects.setting(expected) == Setting("policy.revision", "7777aaaa", "5555aaaa")


def test_a_rollback_of_programs_names_both_by_what_they_were_made_of() -> None:
    """What was left so is not come back to by a later one."""
    policies = dataclasses.replace(given.POLICIES, programs="8c1f", kept_programs="71d6")
    expected = PolicyPrograms("8c1f", "71d6")
    setting = effects.setting(expected)

    assert plan("policy.program_rollback", {}, MemoryNode(policies=policies)) == expected
    assert setting == Setting("policy.programs", "8c1f", "71d6")
    assert setting.left == "policy.programs=8c1f"


@pytest.mark.parametrize("changes", [{"kept_programs": ""}, {"programs": ""}], ids=["none kept", "unknown"])
def test_a_rollback_of_programs_needs_to_know_both(changes: dict[str, str]) -> None:
    """Those that somebody went back from are not told as kept: nobody goes forward to them."""
    known = {"programs": "8c1f", "kept_programs": "71d6", **changes}
    policies = dataclasses.replace(given.POLICIES, **known)  # type: ignore[arg-type]  # as the cases have them
    with pytest.raises(ActionRefused) as refused:
        plan("policy.program_rollback", {}, MemoryNode(policies=policies))

    assert refused.value.reason == "no_earlier"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"earlier": None}, "no_earlier"),
        ({"on_trial": True}, "on_trial"),
        ({"stricter": "x/p"}, "stricter"),
        ({"earlier": RevisionFacts(5, "")}, "unknown_revision"),
        ({"revision": RevisionFacts(7, "")}, "unknown_revision"),
    ],
)
def test_a_rollback_needs_to_know_where_it_goes(changes: dict[str, object], word: str) -> None:
    """And leaves alone what ends by itself."""
    policies = dataclasses.replace(given.POLICIES, **changes)  # type: ignore[arg-type]  # as the cases have them
    with pytest.raises(ActionRefused) as refused:
        plan("policy.rollback", {}, MemoryNode(policies=policies))

    assert refused.value.reason == word


def test_the_prefilter_only_counts_for_a_while() -> None:
    """And is as strict as before afterwards."""
    assert plan("prefilter.mode", {"mode": "monitor", "ttl": HOUR}) == PrefilterMode(
        "enforce", "monitor", HOUR
    )


def test_a_limit_is_about_one_source() -> None:
    """In its shortest form."""
    parameters: Document = {"source": "2001:DB8:0::1", "rate": 500, "ttl": HOUR}

    assert plan("prefilter.limit_source", parameters) == SourceLimit("lab", "2001:db8::1", 500, HOUR)


@pytest.mark.parametrize(
    ("source", "node", "word"),
    [
        ("", MemoryNode(), "no_source"),
        ("10.0.0.0/8", MemoryNode(), "no_source"),
        (given.NOISY, MemoryNode(protected="gateway"), "source_protected"),
        (given.NOISY, MemoryNode(filtering=WATCHED), "not_enforced"),
        (given.NOISY, MemoryNode(filtering=FOR_A_WHILE), "not_enforced"),
    ],
)
def test_a_limit_that_must_not_be_or_would_be_none_is_refused(
    source: str, node: MemoryNode, word: str
) -> None:
    """As a block is; and where rules only count nobody would be limited."""
    with pytest.raises(ActionRefused) as refused:
        plan("prefilter.limit_source", {"source": source, "rate": 5, "ttl": HOUR}, node)

    assert refused.value.reason == word


EACH: tuple[Effect, ...] = (
    Block("a", "eth0", "10.0.0.1", 1),
    Flush("a", "10.0.0.1"),
    Limit(1, 2, 3),
    PolicyMode(WEB, "inherit", "off", 1),
    PolicyRevision(7, "a", 5, "b"),
    PolicyPrograms("a", "b"),
    PrefilterMode("enforce", "monitor", 1),
    SourceLimit("a", "10.0.0.1", 5, 1),
)


def test_every_effect_is_read_as_it_was_written() -> None:
    """By its kind; a part that is missing, empty or of another type makes it none."""
    assert {type(effect) for effect in EACH} <= {*KINDS.values()}
    bad: tuple[Json, ...] = (None, "", 0, -1, True, [], {})
    for effect in EACH:
        document = effects.write(effect)
        assert effects.read(document) == effect
        for key in document:
            for wrong in bad:
                with pytest.raises(ValueError, match=f"{key} is|is no kind"):
                    effects.read({**document, key: wrong})
