"""What a person may choose is typed, bounded, judged by the action that takes it, and part of the plan."""

import dataclasses

import pytest
from hypothesis import given as drawn
from hypothesis import strategies

from netsre import clock
from netsre.app import runbooks
from netsre.errors import BadInput
from netsre.model.runbooks import JournalKind, Parameter, RunState
from netsre.runbook import definition, journal, parameters, plan
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.progress import Finish, MakePlan
from tests.unit.runbook import given, test_parsing
from tests.unit.runbook.given import MemoryNode
from tests.unit.runbook.machine import Machine
from tests.unit.runbook.test_progress import OBSERVED, ask

TEXT = (
    test_parsing.ACTS.replace(
        "  steps:\n",
        "  parameters:\n"
        "    - {name: ttl, type: duration, default: 10m, min: 1m, max: 30m}\n"
        "    - {name: most, type: integer, default: 1000}\n"
        "    - {name: whom, type: address, default: '2001:DB8::1'}\n"
        "    - {name: factor, type: choice, default: x2, choices: [x2, x4]}\n"
        "  steps:\n",
    )
    .replace("ttl: 10m", "ttl: '${param.ttl}'")
    .replace("max: 1000", "max: '${param.most}'")
    .replace("'2001:DB8::0001'", "'${param.whom}'")
    .replace("limit: x2", "limit: '${param.factor}'")
)
BOOK = test_parsing.read(TEXT)


def test_a_parameter_has_its_default_where_nobody_chose() -> None:
    """As if it were written there."""
    plain = test_parsing.read(test_parsing.ACTS.replace("0001", "1"))

    assert [step.parameters for step in BOOK.steps] == [step.parameters for step in plain.steps]
    assert parameters.bound(BOOK, {}, ACTIONS) is BOOK
    assert BOOK.parameters[0] == Parameter("ttl", "duration", "10m", "1m", "30m")
    assert parameters.bound(BOOK, {"ttl": "10m"}, ACTIONS) == BOOK


def test_a_value_that_was_chosen_is_read_by_the_action_and_is_another_runbook() -> None:
    """The plan holds it, and so does its hash."""
    chosen = parameters.bound(BOOK, {"ttl": "30m", "whom": "10.0.0.7", "factor": "x4"}, ACTIONS)

    assert chosen.steps[1].parameters["ttl"] == 30 * clock.MINUTE
    assert chosen.steps[2].parameters["source"] == "10.0.0.7"
    assert chosen.steps[3].parameters["limit"] == "x4"
    assert definition.of(chosen) != definition.of(BOOK)
    made = [
        plan.make(book, given.SUBJECT, {0: {"top_source": given.NOISY}}, given.MemoryViews(), ACTIONS)
        for book in (BOOK, chosen)
    ]
    assert made[0].hash != made[1].hash
    assert dict(made[1].parameters) == {"ttl": "30m", "most": "1000", "whom": "10.0.0.7", "factor": "x4"}
    assert plan.read(made[1].document()) == made[1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("tll", "5m", "runbook act has no parameter 'tll'; did you mean 'ttl'?"),
        ("ttl", "31m", "parameter ttl: 31m is more than max, which is 30m"),
        ("ttl", "59s", "parameter ttl: 59s is less than min, which is 1m"),
        ("ttl", "5", "parameter ttl: '5' has no unit"),
        ("most", "1e3", "parameter most: '1e3' is not a whole number"),
        ("most", "-1", "parameter most: '-1' is not a whole number"),
        ("most", "0", "0 would allow no entry"),
        ("whom", "all", "parameter whom: 'all' is no address"),
        ("whom", "${evidence.top_source}", "parameter whom: '${evidence.top_source}' is no address"),
        ("factor", "x3", "parameter factor: 'x3' is not one of x2, x4"),
        ("factor", "${secret.token}", "is no text of 1 to 200 printable characters without a reference"),
    ],
)
def test_what_may_not_be_chosen_is_refused_in_one_line(name: str, text: str, said: str) -> None:
    """By its type, by its bounds, or by the action that would take it."""
    with pytest.raises(BadInput) as refused:
        parameters.bound(BOOK, {name: text}, ACTIONS)

    assert said in str(refused.value)


@drawn(
    text=strategies.text(max_size=12) | strategies.sampled_from(["1m", "30m", "7", "10.0.0.1", "x4", "${"])
)
def test_no_text_gets_past_its_type(text: str) -> None:
    """Whatever is taken is within its bounds, and never a reference."""
    for parameter in BOOK.parameters:
        try:
            chosen = parameters.bound(BOOK, {parameter.name: text}, ACTIONS)
        except BadInput:
            continue
        assert "${" not in text
        ttl = chosen.steps[1].parameters["ttl"]
        assert isinstance(ttl, int)
        assert clock.MINUTE <= ttl <= 30 * clock.MINUTE


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: ttl", "name: Ttl", "RUN023 spec.parameters[0].name 'Ttl' is no name"),
        ("name: most", "name: ttl", "RUN023 spec.parameters[1].name 'ttl' is declared twice"),
        ("type: duration", "type: time", "spec.parameters[0].type 'time' is not one of duration, integer"),
        ("default: 10m, ", "", "spec.parameters[0].default is missing"),
        ("default: 10m", "default: 31m", "RUN023 spec.parameters[0].default 31m is more than max"),
        ("default: 10m", "default: ten", "RUN023 spec.parameters[0].default 'ten' is not a length of time"),
        ("min: 1m", "min: 1", "RUN023 spec.parameters[0].min '1' has no unit"),
        ("max: 30m", "max: 2h", "RUN023 with ttl=2h, which is allowed: spec.steps[1].with.ttl is outs"),
        ("choices: [x2, x4]", "choices: [x2, x9]", "RUN023 with factor=x9, which is allowed: spec.ste"),
        ("type: choice", "type: text", "RUN023 spec.parameters[3].choices are the values of type choice"),
        (", choices: [x2, x4]", "", "RUN023 spec.parameters[3].choices are the values of type choice"),
        ("default: x2", "default: x3", "RUN023 spec.parameters[3].default 'x3' is not one of x2, x4"),
        ("default: 1000}", "default: 1000, maximum: 2}", "SPEC004 key spec.parameters[1].maximum is unkn"),
        ("type: address,", "type: address, min: 1,", "RUN023 spec.parameters[2].min does not go with type"),
        ("${param.ttl}", "${param.tll}", "RUN024 spec.steps[1].with refers to param.tll, which the"),
        ("'${param.ttl}'", "10m", "RUN024 spec.parameters declare 'ttl', which no step uses"),
        ("'${param.whom}'", "'${param.whom}/32'", "RUN024 spec.steps[2].with has a part of a reference in"),
    ],
)  # fmt: skip
def test_every_mistake_of_a_parameter_has_its_code(old: str, new: str, expected: str) -> None:
    """What could be chosen and would then be refused at night is a finding by day."""
    found = test_parsing.findings(TEXT.replace(old, new, 1))

    assert any(expected in finding for finding in found), found


ASKED = journal.requested("ann", "api", "r1", {"ttl": "5m"})


def test_a_run_goes_by_what_was_chosen_for_it_alone() -> None:
    """Its journal says it, over every restart; the plan is made with it."""
    judged = definition.of(parameters.bound(BOOK, {"ttl": "5m"}, ACTIONS))
    gates = dataclasses.replace(journal.recovered(-1, ""), kind=JournalKind.GATES)
    told = [ASKED, dataclasses.replace(gates, data={"accepted": True, "definition": judged}), OBSERVED]

    assert ask(told, BOOK) == MakePlan({0: {}}, {"ttl": "5m"})
    other = dataclasses.replace(BOOK, parameters=(dataclasses.replace(BOOK.parameters[0], most="4m"),))
    assert ask(told, other) == Finish(RunState.FAILED, "runbook_changed")
    assert ask(told[1:], BOOK) == Finish(RunState.FAILED, "runbook_changed")


def test_people_see_what_they_may_choose() -> None:
    """In the list of what a runbook says, and as JSON."""
    said = [text for key, text in runbooks.lines(BOOK) if "a duration" in text or "a choice" in text]

    assert said == ["ttl: 10m, a duration, from 1m to 30m", "factor: x2, a choice, one of x2, x4"]
    assert runbooks.describe(BOOK)["parameters"][1]["value"] == "1000"


def test_a_run_with_parameters_ends_like_any_other() -> None:
    """On a node that it cures."""
    chosen = parameters.bound(BOOK, {"whom": given.NOISY}, ACTIONS)
    book = dataclasses.replace(chosen, verify=given.VERIFY, limits=given.BOOK.limits)

    assert Machine(MemoryNode(), book).live() == Finish(RunState.SUCCEEDED, "verified")
