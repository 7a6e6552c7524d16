"""Scenarios are read strictly: every mistake has its line, its code, and a way out."""

import pytest

from netsre.errors import SpecErrors
from netsre.runbook import scenario_files
from netsre.runbook.scenario_codes import CODES
from tests.unit.rehearsing.written import SERIES

GOOD = f"""
apiVersion: netsre.dev/v1
kind: Scenario
metadata: {{name: good}}
spec:
  runbook: conntrack-exhaustion
  given:
    people: [maria]
    groups: {{network: [maria]}}
    series:
      {SERIES}: 0.92
    facts:
      table: {{entries: 920, limit: 1000, sources: [{{source: 10.0.0.9, entries: 900}}]}}
    runs: [{{ago: 5m, state: failed, reason: verify_failed}}]
    others: {{alertmanager: ok, http: {{'https://tools.example': lost}}}}
  while:
    - effects: [block]
      facts: {{limit: {{limit: 2000}}}}
  events:
    - {{at: 10s, approve: maria}}
    - {{after: apply 1, kill: controller}}
    - {{at: 20s, firing: {{alertname: Other}}}}
  expect:
    - {{at: 30s, runs: [{{state: succeeded}}]}}
    - {{samples: [pass]}}
"""
MISTAKES = [
    ("runbook: conntrack-exhaustion", "runbook: conntrack-exhaustoin", "SCN002", 6, "did you mean"),
    ("    people: [maria]", "    interval: 2m", "SCN010", 8, "is longer than 1m"),
    ("groups: {network: [maria]}", "groups: {network: [tom]}", "SCN009", 9, "'tom', who is no person"),
    (f"{SERIES}: 0.92", f"{SERIES}: high", "SCN003", 11, "write 0.92, 100/s or gone"),
    (SERIES, "netsre_conntrack_utilisation", "SCN003", 11, "did you mean"),
    (SERIES, 'netsre_flows_total{outcome="failed"', "SCN003", 11, "is no series"),
    (SERIES, 'netsre_flows_total{outcome=~"failed"}', "SCN003", 11, "each is written as"),
    (SERIES, "netsre_flows_total{outcome}", "SCN003", 11, "has no operator"),
    ("table: {entries: 920", "tabel: {entries: 920", "SCN004", 13, "did you mean 'table'"),
    ("table: {entries: 920", "table: {entrys: 920", "SCN004", 13, "did you mean 'entries'"),
    ("entries: 900", "entries: []", "SCN004", 13, "is a list"),
    ("{source: 10.0.0.9, entries: 900}", "{source: 10.0.0.9}", "SCN004", 13, "has no entries"),
    ("sources: [{source: 10.0.0.9, entries: 900}]", "sources: 10.0.0.9", "SCN004", 13, "is a single value"),
    ("state: failed", "state: executing", "SPEC011", 14, "is not one of"),
    ("effects: [block]", "effects: []", "SCN008", 17, "is empty"),
    ("effects: [block]", "effects: [[block]]", "SCN008", 17, "write a kind"),
    ("approve: maria", "approve: mara", "SCN009", 20, "did you mean 'maria'"),
    ("approve: maria", "aprove: maria", "SPEC004", 20, "did you mean 'approve'"),
    ("at: 10s", "at: soon", "SPEC010", 20, "is not a length of time"),
    ("at: 10s", "at: 25h", "SCN005", 20, "later than 1d"),
    ("at: 10s, approve", "at: 10s, before: plan, approve", "SPEC011", 20, "has at and before"),
    ("apply 1", "aply 1", "SCN006", 21, "did you mean 'apply'"),
    ("apply 1", "apply one", "SCN006", 21, "no number of a step"),
    ("after: apply 1, kill: controller", "before: plan, approve: maria", "SCN006", 21, "write after"),
    ("kill: controller", "kill: agent", "SPEC011", 21, "is not one of controller"),
    ("kill: controller", "kill: controller, answer: yes", "SCN005", 21, "nobody says"),
    ("alertname: Other", "severity: page", "SCN005", 22, "has no alertname"),
    ("at: 30s, runs", "runs", "SCN007", 24, "only the last is at the end"),
    ("    - {samples: [pass]}", "    - {at: 20s, samples: [pass]}", "SCN007", 25, "in the order of time"),
    ("{samples: [pass]}", "{at: 40s}", "SCN007", 25, "expects nothing"),
    ("samples: [pass]", "samples: [good]", "SCN007", 25, "no verdict"),
    ("'https://tools.example': lost", "tools.example: lost", "SCN011", 15, "is no plain address"),
    ("alertmanager: ok", "alertmanager: fine", "SPEC011", 15, "not one of ok"),
    ("alertmanager: ok", "alertmanger: ok", "SPEC004", 15, "did you mean"),
]  # fmt: skip


def test_what_is_right_is_read() -> None:
    """With everything in it."""
    (scenario,) = scenario_files.parse({"a.yaml": GOOD}, {"conntrack-exhaustion"})

    assert (scenario.name, len(scenario.events), len(scenario.looks)) == ("good", 3, 2)


@pytest.mark.parametrize(("old", "new", "code", "line", "said"), MISTAKES)
def test_every_mistake_has_its_line_and_its_code(old: str, new: str, code: str, line: int, said: str) -> None:
    """And says what to write."""
    assert old in GOOD
    with pytest.raises(SpecErrors) as caught:
        scenario_files.parse({"a.yaml": GOOD.replace(old, new, 1)}, {"conntrack-exhaustion"})

    found = [one for one in caught.value.findings if (one.code, one.line) == (code, line)]
    assert found, caught.value.findings
    assert said in found[0].message


def test_two_of_one_name_are_refused() -> None:
    """Whoever reads of one that failed must know which."""
    with pytest.raises(SpecErrors) as caught:
        scenario_files.parse({"a.yaml": GOOD, "b.yaml": GOOD}, {"conntrack-exhaustion"})

    (found,) = caught.value.findings
    assert (found.code, found.file) == ("SCN001", "b.yaml")


def test_every_code_is_tried_here() -> None:
    """None is promised that nothing tells."""
    tried = {code for _, _, code, _, _ in MISTAKES if code in CODES} | {"SCN001"}

    assert tried == set(CODES)
