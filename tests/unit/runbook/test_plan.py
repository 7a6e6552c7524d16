"""A plan is exact, complete, named by its hash, and reads back as it was written."""

import dataclasses
import json

import pytest

from netsre.model.documents import Json, canonical
from netsre.model.effects import Block, Flush, Limit
from netsre.model.runbooks import Runbook, Step
from netsre.runbook import conditions, plan, references
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import NodeUnreachable
from netsre.runbook.plan import Kind, Plan
from tests.unit.runbook import given
from tests.unit.runbook.given import BOOK, NOISY, SOURCE, MemoryNode, MemoryViews


def make(evidence: Json = NOISY, node: MemoryNode | None = None, book: Runbook = BOOK) -> Plan:
    """Return the plan of a runbook by evidence that names a source."""
    return plan.make(
        book, given.SUBJECT, {0: {"top_source": evidence}}, MemoryViews(node or MemoryNode()), ACTIONS
    )


def test_a_plan_has_the_exact_effects() -> None:
    """Every number, also of the step that is only taken if the alert still stands."""
    steps = make().steps

    assert [step.effect for step in steps] == [
        None,
        Block("lab", "eth0", NOISY, 600_000),
        Flush("lab", NOISY),
        Limit(1000, 2000, 3_600_000),
    ]
    assert [step.kind for step in steps] == [Kind.OBSERVE, Kind.APPLY, Kind.APPLY, Kind.APPLY]
    assert [step.again for step in steps] == [False, False, False, True]
    assert steps[1].parameters == {"source": NOISY, "ttl": 600_000}


def test_a_plan_reads_back_as_it_was_written() -> None:
    """Through JSON, as the journal keeps it."""
    for made in (make(), make(""), make(node=MemoryNode(most=1))):
        back = plan.read(json.loads(canonical(made.document())))

        assert back.hash == made.hash
        assert [step.effect for step in back.steps] == [step.effect for step in made.steps]
        assert back.limits == BOOK.limits
        assert back.verify == BOOK.verify


@pytest.mark.parametrize(
    ("text", "kind", "kept"),
    [
        ("evidence.top_source == '10.0.0.9'", Kind.REFUSE, False),
        ("evidence.top_source != '10.0.0.9' and labels.netns == 'lab'", Kind.SKIP, True),
        ("annotations.summary == ''", Kind.REFUSE, True),
        ("still(alert)", Kind.REFUSE, True),
    ],
    ids=["holds", "does not", "can change", "is measured"],
)
def test_a_condition_that_nothing_changes_any_more_is_decided_in_the_plan(
    text: str, kind: Kind, *, kept: bool
) -> None:
    """So what it leaves out is not asked for, and what it does not is refused before people are asked."""
    manner = dataclasses.replace(BOOK.steps[1].manner, sees=(("top_source", 0),))
    step = dataclasses.replace(BOOK.steps[1], condition=conditions.parse(text), manner=manner)
    book = dataclasses.replace(BOOK, steps=(BOOK.steps[0], step, *BOOK.steps[2:]))
    made = make("10.0.0.9", MemoryNode(protected="own_address"), book)

    assert (made.steps[1].kind, made.steps[1].effect) == (kind, None)
    assert (made.steps[1].condition is not None) is kept
    assert (made.refused is not None and made.refused.step == 1) is not kept
    assert plan.read(json.loads(canonical(made.document()))).hash == made.hash


def test_the_hash_names_exactly_one_plan() -> None:
    """Any other source, limit, or runbook is another plan; making it again is the same one."""
    other_book = dataclasses.replace(BOOK, on_failure="stop")
    plans = [make(), make("10.0.0.2"), make(node=MemoryNode(limit_now=999)), make(book=other_book)]

    assert make().hash == make().hash
    assert len({made.hash for made in plans}) == len(plans)
    assert make().document()["hash"] == make().hash


@pytest.mark.parametrize(
    ("evidence", "node", "reason"),
    [
        ("", MemoryNode(), "no_source"),
        (None, MemoryNode(), "no_source"),
        ("${evidence.top_source}", MemoryNode(), "no_source"),
        (NOISY, MemoryNode(protected="own_address"), "source_protected"),
    ],
)
def test_a_plan_without_a_target_is_refused_by_its_first_step(
    evidence: Json, node: MemoryNode, reason: str
) -> None:
    """What evidence says is filled in once, and never read as a reference again."""
    refused = make(evidence, node).refused

    assert refused is not None
    assert (refused.step, refused.reason, refused.effect) == (1, reason, None)


def test_a_step_that_is_only_taken_if_does_not_refuse_the_plan() -> None:
    """Its turn may never come, and it is planned anew when it does."""
    step = Step("conntrack.flush", {"source": SOURCE}, BOOK.steps[3].condition)
    book = dataclasses.replace(BOOK, steps=(BOOK.steps[0], step))

    made = make("", book=book)

    assert made.steps[1].kind is Kind.REFUSE
    assert made.refused is None


def test_a_limit_at_its_bound_is_left_out_and_not_refused() -> None:
    """With its word."""
    step = make(node=MemoryNode(most=1000)).steps[3]

    assert (step.kind, step.reason, step.effect) == (Kind.SKIP, "at_bound", None)


def test_a_step_that_is_planned_again_goes_by_what_is_now() -> None:
    """The limit was raised by hand meanwhile."""
    node = MemoryNode()
    early = make(node=node).steps[3]
    node.limit_now = 1500

    late = plan.again(early, given.SUBJECT, MemoryViews(node), ACTIONS)

    assert late.effect == Limit(1500, 3000, 3_600_000)
    assert plan.read_step(late.line().data) == late


def test_an_action_that_is_gone_is_refused() -> None:
    """A runbook of a later version, or one that somebody renamed."""
    made = plan.make(BOOK, given.SUBJECT, {}, MemoryViews(), {})

    assert made.refused is not None
    assert made.refused.reason == "unknown_action"


def test_a_silent_node_has_no_plan() -> None:
    """Nobody guesses where packets come in."""
    with pytest.raises(NodeUnreachable):
        make(node=MemoryNode(silent=True))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"steps": "x", "onFailure": "undo"},
        {"steps": [7], "onFailure": "undo", "limits": {}},
        {**make().document(), "limits": None},
        {**make().document(), "onFailure": "maybe"},
        {**make().document(), "verify": {"slo": 7}},
        {**make().document(), "steps": [{"step": 0, "with": {}, "kind": "guess"}]},
    ],
)
def test_what_is_no_plan_is_not_read_as_one(document: dict[str, Json]) -> None:
    """Somebody wrote it by hand, or another version did."""
    with pytest.raises(ValueError, match=r"."):
        plan.read(document)


def test_only_a_whole_value_is_a_reference() -> None:
    """No template language: the rest of a text stays as it is."""
    parameters: dict[str, Json] = {"a": SOURCE, "b": f"x{SOURCE}", "c": "${evidence.A}", "d": 7, "e": "plain"}

    assert references.named(parameters) == (("a", "top_source"),)
    assert references.broken(parameters) == ("b", "c")
    assert references.resolved(parameters, {"top_source": "y"}) == {**parameters, "a": "y"}
