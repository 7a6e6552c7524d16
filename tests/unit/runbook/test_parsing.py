"""Runbook files are read strictly: everything or, with every finding, nothing."""

import pytest

from netsre import clock
from netsre.app import resources
from netsre.errors import SpecErrors
from netsre.model import specs
from netsre.model.alerts import AlertState
from netsre.model.runbooks import Limits, Runbook, Trigger
from netsre.runbook import codes, parsing
from netsre.runbook.actions.catalogue import ACTIONS

GOOD = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: look}
spec:
  on: [{alert: ErrorBudgetBurn, transition: firing}]
  when: 'labels.severity == "page"'
  lock: 'network/{node}'
  limits: {cooldown: 5m, perHour: 2}
  approval: {mode: observe}
  steps:
    - {action: evidence.collect, with: {what: [flows]}}
"""


def read(text: str) -> Runbook:
    """Return the only runbook of a text."""
    (found,) = parsing.parse({"look.yaml": text}, ACTIONS)
    return found


def findings(text: str) -> list[str]:
    """Return the findings as people see them."""
    with pytest.raises(SpecErrors) as refused:
        parsing.parse({"look.yaml": text}, ACTIONS)
    return [str(finding) for finding in refused.value.findings]


def test_a_runbook_is_read_completely() -> None:
    """Trigger, limits and steps arrive as values; `on` is a word here, not the YAML of old's true."""
    book = read(GOOD)

    assert book.triggers == (Trigger("ErrorBudgetBurn", AlertState.FIRING),)
    assert book.limits == Limits(5 * clock.MINUTE, 2)
    assert [(step.action, step.parameters) for step in book.steps] == [
        ("evidence.collect", {"what": ("flows",)})
    ]


def test_limits_that_are_left_out_have_safe_values() -> None:
    """No limit is never the default."""
    book = read(GOOD.replace("  limits: {cooldown: 5m, perHour: 2}\n", ""))

    assert book.limits == parsing.DEFAULT_LIMITS


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "mode: observe",
            "mode: auto",
            "look.yaml:9: RUN004 spec.approval.mode 'auto': only observe is supported",
        ),
        ("{what: [flows]}", "{what: [flow]}", "look.yaml:11: RUN003 spec.steps[0].with.what has 'flow'"),
        (
            "evidence.collect",
            "evidence.colect",
            "look.yaml:11: RUN002 spec.steps[0].action 'evidence.colect'",
        ),
        ("severity ==", "severity =", "look.yaml:6: RUN001 spec.when cannot be read: cannot read"),
        ("{node}", "{node", "look.yaml:7: RUN005 spec.lock 'network/{node' has a bracket"),
        ("'network/{node}'", "' '", "look.yaml:7: RUN005 spec.lock is empty; write what two runs"),
        ("{node}", "{nodes}", "look.yaml:7: RUN005 spec.lock needs the label 'nodes', which no alert has"),
        ("perHour: 2", "perHour: 0", "look.yaml:8: RUN009 spec.limits.perHour 0 would refuse every run"),
        ("lock:", "locks:", "look.yaml:7: SPEC004 key spec.locks is unknown; did you mean 'lock'?"),
        (
            "transition: firing",
            "transition: fires",
            "spec.on[0].transition 'fires' is not one of firing, resolved",
        ),
        ("alert: ErrorBudgetBurn", "alert: ErrorBudgetBurns", "did you mean 'ErrorBudgetBurn'?"),
        ("[{alert: ErrorBudgetBurn, transition: firing}]", "[]", "look.yaml:5: RUN007 spec.on is empty"),
        ("steps:\n    -", "steps: []\n  x:", "look.yaml:10: RUN006 spec.steps is empty"),
    ],
)
def test_every_mistake_has_its_line_and_its_code(old: str, new: str, expected: str) -> None:
    """The finding names the file, the line, a stable code, and what to write instead."""
    assert any(expected in finding for finding in findings(GOOD.replace(old, new)))


def test_all_mistakes_of_a_file_are_reported_at_once() -> None:
    """One run shows everything."""
    text = GOOD.replace("mode: observe", "mode: auto").replace("[flows]", "[flow]")

    assert len(findings(text)) == 2


def test_two_runbooks_of_one_name_are_refused() -> None:
    """Otherwise the order of files would decide which one runs."""
    with pytest.raises(SpecErrors) as refused:
        parsing.parse({"a.yaml": GOOD, "b.yaml": GOOD}, ACTIONS)

    assert "runbook look already stands in a.yaml:" in str(refused.value)


def test_two_names_that_are_refused_are_not_called_one() -> None:
    """Each finding is true by itself, so that mending it helps."""
    bad = {"a.yaml": GOOD.replace("name: look", "name: A_"), "b.yaml": GOOD.replace("name: look", "name: B_")}

    with pytest.raises(SpecErrors) as refused:
        parsing.parse(bad, ACTIONS)

    assert [finding.code for finding in refused.value.findings] == [specs.NAME, specs.NAME]


def test_the_shipped_runbooks_are_right_and_have_a_page() -> None:
    """A runbook without a page for the person it wakes is half a runbook."""
    texts = resources.texts([resources.directory("runbooks")], ".yaml")

    names = {book.name for book in parsing.parse(texts, ACTIONS)}

    assert "network-evidence" in names
    assert names <= set(resources.runbook_pages())


def test_codes_are_unique_and_explained() -> None:
    """A code is stable, short, and has its sentence."""
    constants = {value for name, value in vars(codes).items() if name.isupper() and name != "CODES"}

    assert constants == set(codes.CODES)
