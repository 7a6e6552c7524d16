"""Silences and notices: what lint takes, what is refused, and exactly what is done and told."""

from dataclasses import replace

import pytest

from netsre import clock
from netsre.errors import SpecErrors
from netsre.model import deeds
from netsre.model.deeds import Silence
from netsre.model.documents import Document
from netsre.model.samples import labels
from netsre.runbook.actions.contract import NothingToDo, Subject
from netsre.runbook.actions.notify import Notify
from netsre.runbook.actions.silence import SilenceAlerts
from tests.unit.runbook import given
from tests.unit.runbook.test_parsing import ACTS, findings, read

SUBJECT = replace(given.SUBJECT, proof=given.HEADROOM)
TUNE = "{action: conntrack.tune, if: 'still(alert)', with: {limit: x2, max: 1000, ttl: 1h}}"
ALERT_LABELS = dict(given.ALERT.labels)


def with_step(text: str) -> str:
    """Return a runbook whose last step is this one."""
    return ACTS.replace(TUNE, text)


def planned(matchers: Document, subject: Subject = SUBJECT) -> Silence:
    """Return the silence that is planned."""
    parameters: Document = {"matchers": matchers, "ttl": 60_000, "comment": "c"}
    made = SilenceAlerts().plan(subject, parameters, given.MemoryViews())
    assert isinstance(made, Silence)
    return made


def test_a_silence_is_read_with_its_labels() -> None:
    """Each has one value, which a label of the alert or evidence may give."""
    step = (
        "{action: alertmanager.silence, with: {matchers: {alertname: Slow, node: '${labels.node}', "
        "source: '${evidence.top_source}'}, ttl: 30m}}"
    )
    taken = read(with_step(step)).steps[-1]

    assert taken.parameters == {
        "matchers": {"alertname": "Slow", "node": "${labels.node}", "source": "${evidence.top_source}"},
        "ttl": 30 * clock.MINUTE,
        "comment": "silenced by a runbook",
    }


@pytest.mark.parametrize(
    ("given_with", "expected"),
    [
        ("{matchers: {node: a}, ttl: 5m}", "RUN040 spec.steps[3].with.matchers would silence whatever else"),
        ("{matchers: {}, ttl: 5m}", "RUN040 spec.steps[3].with.matchers would silence"),
        ("{ttl: 5m}", "SPEC005 spec.steps[3].with.matchers is missing"),
        ("{matchers: {slo: x, severity: page}, ttl: 5m}", "RUN041 spec.steps[3].with.matchers.severity"),
        ("{matchers: {alertname: RunbookAwaitsApproval}, ttl: 5m}", "RUN041 spec.steps[3].with.matchers.al"),
        ("{matchers: {slo: x}, ttl: 5h}", "RUN003 spec.steps[3].with.ttl is outside 1s to 4h"),
        ("{matchers: {slo: x, 1y: a}, ttl: 5m}", "RUN003 spec.steps[3].with.matchers.1y is no name"),
        ("{matchers: {slo: ' '}, ttl: 5m}", "RUN003 spec.steps[3].with.matchers.slo is no value"),
        ("{matchers: {slo: 'a${labels.x}'}, ttl: 5m}", "RUN010 spec.steps[3].with matchers has a part"),
        ("{matchers: {slo: '${evidence.top_rule}'}, ttl: 5m}", "RUN010 spec.steps[3].with matchers refers"),
    ],
)
def test_a_silence_that_could_be_of_anything_is_a_finding(given_with: str, expected: str) -> None:
    """The reader says so at its line."""
    found = findings(with_step(f"{{action: alertmanager.silence, with: {given_with}}}"))

    assert any(expected in line for line in found), found


def test_what_labels_and_evidence_give_is_in_the_plan() -> None:
    """Exact by then, and the same after the journal."""
    silence = planned({"alertname": "Slow", "node": "${labels.node}"})

    assert silence.matchers == (("alertname", "Slow"), ("node", "a"))
    assert deeds.read(deeds.write(silence)) == silence
    assert deeds.reversible(silence)
    assert deeds.setting(silence) is None


@pytest.mark.parametrize(
    ("matchers", "word"),
    [
        ({"alertname": "Slow", "team": "${labels.team}"}, "no_label"),
        ({"alertname": "Slow", "source": ""}, "no_matchers"),
        ({"alertname": "ConntrackUtilization", "node": "a"}, "own_alert"),
        ({"service": "node-conntrack"}, "own_alert"),
        ({"slo": "conntrack-headroom"}, "proof_alert"),
        ({"service": "node-conntrack", "severity": "ticket"}, "proof_alert"),
        ({"alertname": "ErrorBudgetBurn", "node": "a"}, "proof_alert"),
        ({"alertname": "TelemetryAbsent"}, "proof_alert"),
    ],
)
def test_whoever_is_called_is_still_told_whether_it_helped(matchers: Document, word: str) -> None:
    """Neither the alert of the run nor those of the level that judges it."""
    with pytest.raises(NothingToDo) as refused:
        planned(matchers)

    assert refused.value.reason == word


@pytest.mark.parametrize(
    "matchers",
    [
        {"alertname": "ErrorBudgetBurn", "slo": "another"},
        {"alertname": "ConntrackUtilization", "node": "b"},
        {"service": "shop"},
    ],
)
def test_collateral_can_be_silenced(matchers: Document) -> None:
    """What is clearly of something else."""
    assert dict(planned(matchers).matchers) == matchers


def told(parameters: Document) -> str:
    """Return what people are told."""
    return str(Notify().observe(SUBJECT, {"values": {}, **parameters}, given.MemoryViews())["notice"])


def test_a_notice_is_filled_in_once_and_is_one_line() -> None:
    """What a label says is text, whatever it looks like; what is not known is said to be so."""
    odd = labels({**ALERT_LABELS, "node": "{netns} ${labels.x}\x1b[2J\n<!channel>"})
    subject = replace(SUBJECT, alert=replace(given.ALERT, labels=odd))
    line = Notify().observe(subject, {"text": "{node}/{team}", "values": {}}, given.MemoryViews())["notice"]

    assert "{netns} ${labels.x}" in str(line)
    assert str(line).isprintable()
    assert str(line).endswith("/unknown")
    assert told({"text": "full", "values": {"source": "10.0.0.9", "rule": "", "count": 3}}) == (
        "full (source: 10.0.0.9, rule: unknown, count: 3)"
    )


@pytest.mark.parametrize(
    ("given_with", "expected"),
    [
        ("{text: ' '}", "RUN042 spec.steps[3].with.text is empty"),
        ("{text: '{node'}", "RUN042 spec.steps[3].with.text '{node' has a bracket"),
        ('{text: "a\\nb"}', "RUN003 spec.steps[3].with.text is no line"),
        ("{text: 'a ${evidence.top_source}'}", "RUN0"),
        ("{text: a, values: {x: 10.0.0.1}}", "RUN042 spec.steps[3].with.values.x is no reference"),
        ("{text: a, values: {x: '${evidence.top_rule}'}}", "RUN010 spec.steps[3].with values refers"),
        ("{text: a, more: b}", "SPEC004 key spec.steps[3].with.more is unknown"),
    ],
)
def test_a_notice_that_cannot_be_filled_in_is_a_finding(given_with: str, expected: str) -> None:
    """At its line."""
    found = findings(with_step(f"{{action: notify, with: {given_with}}}"))

    assert any(expected in line for line in found), found


def test_a_runbook_that_only_looks_may_tell() -> None:
    """A notice changes nothing, so that nothing must be verified."""
    text = ACTS.partition("  approval:")[0] + (
        "  approval: {mode: observe}\n  steps:\n"
        "    - {action: evidence.collect, with: {what: [top-sources]}}\n"
        "    - {action: notify, with: {text: x, values: {source: '${evidence.top_source}'}}}\n"
    )
    assert [step.action for step in read(text).steps] == ["evidence.collect", "notify"]
    with pytest.raises(SpecErrors):
        read(text.replace("notify, with: {text: x", "notify, if: 'still(alert)', with: {text: x"))
