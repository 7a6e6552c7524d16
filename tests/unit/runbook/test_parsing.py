"""Runbook files are read strictly: everything or, with every finding, nothing."""

import dataclasses

import pytest

from netsre import clock
from netsre.alerting import describe
from netsre.app import resources, runbooks, service_levels
from netsre.errors import SpecErrors
from netsre.model import linting
from netsre.model.alerts import AlertState
from netsre.model.conditions import Still
from netsre.model.directory import Directory, Person
from netsre.model.documents import Document
from netsre.model.levels import SLO
from netsre.model.runbooks import Approval, Limits, Runbook, Step, Trigger, Verification, Veto
from netsre.model.samples import labels
from netsre.runbook import bounds, codes, conditions, definition, parsing
from netsre.runbook.actions.catalogue import ACTIONS
from tests.unit.runbook import given

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


ACTS = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: act}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  limits: {cooldown: 15m, perHour: 3, maxTargets: 2, minHealthy: 60%}
  approval: {mode: auto}
  steps:
    - {action: evidence.collect, with: {what: [top-sources]}}
    - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
    - {action: conntrack.flush, with: {source: '2001:DB8::0001'}}
    - {action: conntrack.tune, if: 'still(alert)', with: {limit: x2, max: 1000, ttl: 1h}}
  verify: {slo: headroom, window: 15s, samples: 3, noData: fail, within: 90s}
  onFailure: stop
"""
PEOPLE = Directory((Person("ann"), Person("ben")), {"sre": ("ann", "ben")})
KNOWN = parsing.Known({"ErrorBudgetBurn", "ConntrackUtilization"}, {"headroom"}, PEOPLE)


def read(text: str) -> Runbook:
    """Return the only runbook of a text."""
    (found,) = parsing.parse({"look.yaml": text}, ACTIONS, KNOWN)
    return found


def findings(text: str) -> list[str]:
    """Return the findings as people see them."""
    with pytest.raises(SpecErrors) as refused:
        parsing.parse({"look.yaml": text}, ACTIONS, KNOWN)
    return [str(finding) for finding in refused.value.findings]


def test_a_runbook_is_read_completely() -> None:
    """Trigger, limits and steps arrive as values; `on` is a word here, not the YAML of old's true."""
    book = read(GOOD)

    assert book.triggers == (Trigger("ErrorBudgetBurn", AlertState.FIRING),)
    assert book.limits == Limits(5 * clock.MINUTE, 2)
    assert [(step.action, step.parameters) for step in book.steps] == [
        ("evidence.collect", {"what": ("flows",)})
    ]


@pytest.mark.parametrize(
    ("approval", "mode", "expected"),
    [
        ("{mode: observe}", "observe", None),
        ("{mode: auto}", "auto", None),
        ("{mode: propose}", "propose", Approval((), 1, 30 * clock.MINUTE)),
        (
            "{mode: propose, by: [sre, operator], quorum: 3, timeout: 1h}",
            "propose",
            Approval(("sre", "operator"), 3, clock.HOUR),
        ),
        ("{veto: 2m}", "veto", Approval((), 1, 2 * clock.MINUTE)),
        ("{veto: 2m, by: [ann]}", "veto", Approval(("ann",), 1, 2 * clock.MINUTE)),
    ],
)
def test_who_decides_is_read_with_its_defaults(approval: str, mode: str, expected: Approval | None) -> None:
    """Anybody who is known, one of them, within half an hour."""
    book = read(GOOD.replace("{mode: observe}", approval))

    assert (book.mode, book.approval) == (mode, expected)


def test_a_runbook_that_asks_others_is_another_runbook() -> None:
    """Its hash holds whose word was asked for, so that a run ends when the file asks for less."""
    asks = [
        "{mode: propose}", "{mode: propose, by: [sre]}", "{mode: propose, quorum: 2}", "{veto: 30m}",
        "{mode: propose, timeout: 31m}", "{mode: auto}",
    ]  # fmt: skip
    hashes = {definition.of(read(GOOD.replace("{mode: observe}", text))) for text in asks}

    assert len(hashes) == len(asks)


def test_limits_that_are_left_out_have_safe_values() -> None:
    """No limit is never the default."""
    book = read(GOOD.replace("  limits: {cooldown: 5m, perHour: 2}\n", ""))

    assert book.limits == bounds.DEFAULT_LIMITS


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "mode: observe",
            "mode: proposed",
            "look.yaml:9: RUN004 spec.approval.mode 'proposed' does not exist; did you mean 'propose'?",
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
        (
            "mode: observe",
            "mode: auto, veto: 2m",
            "look.yaml:9: RUN004 spec.approval.mode does not go with veto",
        ),
        ("mode: observe", "veto: 2m, timeout: 1m", "RUN004 spec.approval.timeout does not go with veto"),
        ("mode: observe", "veto: 30s", "RUN004 spec.approval.veto 30s is outside 1m to 1d"),
        (
            "mode: observe",
            "mode: propose, timeout: 2d",
            "RUN004 spec.approval.timeout 2d is outside 1m to 1d",
        ),
        ("mode: observe", "mode: propose, quorum: 0", "RUN004 spec.approval.quorum 0 would ask nobody"),
        ("mode: observe", "mode: propose, by: []", "RUN004 spec.approval.by is empty"),
        ("mode: observe", "mode: observe, by: [sre]", "RUN004 spec.approval.by says who is asked"),
        ("mode: observe", "mode: propose, by: [sr]", "RUN019 spec.approval.by 'sr' is no person or group"),
        (
            "mode: observe",
            "mode: propose, by: [sre], quorum: 3",
            "RUN019 spec.approval.quorum 3 is more than",
        ),
        ("mode: observe", "mode: propose, quorum: 4", "RUN019 spec.approval.quorum 4 is more than"),
        (
            "when: '",
            "when: 'still(alert) and ",
            "look.yaml:6: RUN001 spec.when asks still(alert); that is for `if`",
        ),
        (
            "action: evidence.collect,",
            "action: evidence.collect, if: 'state == \"x\"',",
            "look.yaml:11: RUN001 spec.steps[0].if is for steps that change something",
        ),
        ("perHour: 2", "maxTargets: 0", "look.yaml:8: RUN009 spec.limits.maxTargets 0 would refuse"),
        ("perHour: 2", "minHealthy: 101%", "look.yaml:8: RUN009 spec.limits.minHealthy 101% is no whole"),
        ("perHour: 2", "minHealthy: 0.5%", "look.yaml:8: RUN009 spec.limits.minHealthy 0.5% is no whole"),
        ("perHour: 2", "minHealthy: 60", "look.yaml:8: SPEC009 spec.limits.minHealthy '60' is not a perc"),
    ],
)
def test_every_mistake_has_its_line_and_its_code(old: str, new: str, expected: str) -> None:
    """The finding names the file, the line, a stable code, and what to write instead."""
    assert any(expected in finding for finding in findings(GOOD.replace(old, new)))


VETO = "unless: [{alert: ErrorBudgetBurn"
UNLESS = f"{VETO}, match: {{severity: page}}, equal: [node]}}]"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("perHour: 2", "perDay: 0", "look.yaml:8: RUN009 spec.limits.perDay 0 would refuse every run"),
        ("perHour: 2", "perTarget: {perHour: 0}", "RUN009 spec.limits.perTarget.perHour 0 would refuse"),
        ("perHour: 2", "perTarget: {hour: 1}", "SPEC004 key spec.limits.perTarget.hour is unknown"),
        ("perHour: 2", "breaker: {failures: 0}", "RUN009 spec.limits.breaker.failures 0 is outside 1 to 20"),
        ("perHour: 2", "breaker: {failures: 21}", "RUN009 spec.limits.breaker.failures 21 is outside"),
        ("perHour: 2", "breaker: {retryAfter: 6}", "SPEC010 spec.limits.breaker.retryAfter '6' has no unit"),
        ("ErrorBudgetBurn, m", "ErrorBudgetBern, m", "RUN014 spec.unless[0].alert 'ErrorBudgetBern' does"),
        ("[node]", "[nodes]", "look.yaml:9: RUN015 spec.unless[0].alert is asked for the label 'nodes'"),
        ("{severity: page}", "{severty: page}", "RUN015 spec.unless[0].alert is asked for the label 'severt"),
        ("equal: [node]", "on: [node]", "SPEC004 key spec.unless[0].on is unknown"),
    ],
)
def test_every_mistake_of_a_gate_has_its_line_and_its_code(old: str, new: str, expected: str) -> None:
    """What would never refuse, or always, is a finding."""
    text = GOOD.replace("  approval:", f"  {UNLESS}\n  approval:")
    found = findings(text.replace(old, new, 1))

    assert any(expected in finding for finding in found), found


def test_gates_are_read_completely() -> None:
    """Without a word about it, a veto is for the same node; of others' alerts any label may be asked."""
    more = "perDay: 9, perTarget: {perHour: 1, perDay: 4}, breaker: {failures: 5, retryAfter: 6h}"
    foreign = "{alert: Down, from: alertmanager, match: {rack: r1}, equal: []}"
    text = GOOD.replace("perHour: 2", f"perHour: 2, {more}")
    book = read(text.replace("  approval:", f"  {VETO}}}, {foreign}]\n  approval:"))

    assert book.limits == Limits(5 * clock.MINUTE, 2, 1, 0, 9, 1, 4, 5, 6 * clock.HOUR)
    assert book.unless == (Veto("ErrorBudgetBurn"), Veto("Down", (("rack", "r1"),), ()))


TUNE = "{limit: x2, max: 1000, ttl: 1h}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mode: auto", "mode: observe", "look.yaml:8: RUN012 spec.approval only observes, and its steps"),
        ("  approval: {mode: auto}\n", "", "look.yaml:5: RUN012 spec.approval only observes"),
        ("  verify:", "  verifi:", "look.yaml:5: RUN012 spec.verify is missing; what is changed must be"),
        ("transition: firing", "transition: resolved", "look.yaml:5: RUN012 spec.on starts changes by"),
        ("slo: headroom", "slo: headrom", "RUN013 spec.verify.slo 'headrom' does not exist; did you mean"),
        ("alert: ConntrackU", "alert: ConntrakU", "look.yaml:5: RUN014 spec.on[0].alert 'ConntrakUtil"),
        ("samples: 3", "samples: 0", "look.yaml:14: RUN011 spec.verify.samples 0 is outside 1 to 100"),
        (
            "window: 15s",
            "window: 2m",
            "look.yaml:14: RUN011 spec.verify.window 2m is longer than the 1m30s that a verdict may take",
        ),
        ("within: 90s", "within: 2h", "look.yaml:14: RUN011 spec.verify.within 2h is longer than 1h"),
        ("samples: 3", "samples: 4, need: 2", "RUN011 spec.verify.need 2 of 4 proves nothing; write more"),
        ("samples: 3", "samples: 3, need: 4", "RUN011 spec.verify.need 4 of 3 proves nothing"),
        (
            "slo: headroom",
            "slo: headroom, query: {}",
            "SPEC011 spec.verify has slo and query; write exactly",
        ),
        (
            "slo: headroom",
            "query: {metric: netsre_flows_totals, op: '<', value: 1}",
            "did you mean 'netsre_flo",
        ),
        (
            "slo: headroom",
            "query: {metric: netsre_flow_connect_seconds, op: '<', value: 1}",
            "is a histogram, not a gauge or counter",
        ),
        (
            "slo: headroom",
            "query: {metric: netsre_flows_total, op: '=', value: 1}",
            "query.op '=' is not one of",
        ),
        ("noData: fail", "noData: pass", "spec.verify.noData 'pass' is not one of inconclusive, fail"),
        ("onFailure: stop", "onFailure: retry", "spec.onFailure 'retry' is not one of undo, stop"),
        ("if: 'still(alert)'", "if: 'stil(alert)'", "look.yaml:13: RUN001 spec.steps[3].if cannot be read"),
        ("${evidence.top_source}", "x ${evidence.top_source}", "RUN003 spec.steps[1].with.source 'x ${ev"),
        ("${evidence.top_source}", "${evidence.top_sources}", "RUN010 spec.steps[1].with source refers to "),
        ("[top-sources]", "[conntrack]", "RUN010 spec.steps[1].with source refers to evidence.top_source"),
        ("ttl: 10m", "ttl: 2h", "look.yaml:11: RUN003 spec.steps[1].with.ttl is outside 1s to 1h"),
        ("ttl: 10m", "ttl: '${evidence.top_source}'", "SPEC010 spec.steps[1].with.ttl '${evidence.top_s"),
        (", ttl: 10m", "", "look.yaml:11: SPEC005 spec.steps[1].with.ttl is missing"),
        ("2001:DB8::0001", "10.0.0.0/8", "RUN003 spec.steps[2].with.source '10.0.0.0/8' is no address"),
        (TUNE, "{limit: x9, max: 1000, ttl: 1h}", "RUN003 spec.steps[3].with.limit 'x9' is no limit"),
        (TUNE, "{limit: 2000, max: 1000, ttl: 1h}", "limit 2000 is above max, which is 1000"),
        (TUNE, "{limit: x2, max: 0, ttl: 1h}", "RUN003 spec.steps[3].with.max 0 would allow no entry"),
        (TUNE, "{limit: x2, max: 9, ttl: 2d}", "RUN003 spec.steps[3].with.ttl is outside 1s to 1d"),
        (TUNE, "{limit: x2, max: 9, ttl: 1h, x: 1}", "SPEC004 key spec.steps[3].with.x is unknown"),
    ],
)
def test_every_mistake_of_a_runbook_that_acts_has_its_line_and_its_code(
    old: str, new: str, expected: str
) -> None:
    """What would be dangerous at night is a finding by day."""
    found = findings(ACTS.replace(old, new))

    assert any(expected in finding for finding in found), found


def test_evidence_after_a_change_is_nothing_to_plan_by() -> None:
    """The plan is whole before the first change."""
    collect = "    - {action: evidence.collect, with: {what: [top-sources]}}\n"
    flush = "    - {action: conntrack.flush, with: {source: '2001:DB8::0001'}}\n"
    text = ACTS.replace(collect, "").replace("  steps:\n", f"  steps:\n{flush}{collect}")

    assert any("RUN010 spec.steps[2].with source refers to" in finding for finding in findings(text))


def test_a_runbook_that_acts_is_read_completely() -> None:
    """Conditions are trees, times are milliseconds, addresses have one form, references stay as they are."""
    book = read(ACTS)

    assert (book.mode, book.on_failure) == ("auto", "stop")
    assert book.limits == Limits(15 * clock.MINUTE, 3, 2, 60)
    assert book.verify == Verification("headroom", 15_000, 3, "fail", 90_000)
    assert book.steps[1:] == (
        Step("datapath.block_source", {"source": "${evidence.top_source}", "ttl": 600_000}),
        Step("conntrack.flush", {"source": "2001:db8::1"}),
        Step("conntrack.tune", {"limit": "x2", "max": 1000, "ttl": 3_600_000}, Still()),
    )


def test_a_runbook_that_only_looks_needs_neither_approval_nor_verification() -> None:
    """It observes unless it says otherwise."""
    assert read(GOOD.replace("  approval: {mode: observe}\n", "")).mode == "observe"
    assert read(GOOD).verify is None


TUNE = "{action: conntrack.tune, if: 'still(alert)', with: {limit: x2, max: 1000, ttl: 1h}}"


def test_what_makes_room_is_read_completely() -> None:
    """Times are milliseconds, a number of entries is a number."""
    wanted: tuple[tuple[str, Document], ...] = (
        (
            "conntrack.timeouts, with: {state: udp_stream, to: 1m, ttl: 1h}",
            {"state": "udp_stream", "to": 60_000, "ttl": 3_600_000},
        ),
        (
            "policy.connections, with: {max: 131072, most: 200000, ttl: 1h}",
            {"max": 131_072, "most": 200_000, "ttl": 3_600_000},
        ),
        ("policy.stagger, with: {every: 10s, ttl: 30m}", {"every": 10_000, "ttl": 1_800_000}),
    )
    for written, parameters in wanted:
        (*_, step) = read(ACTS.replace(TUNE, f"{{action: {written}}}")).steps
        assert step == Step(written.partition(",")[0], parameters)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("conntrack.timeouts, with: {state: syn_send, to: 1m, ttl: 1h}", "did you mean 'syn_sent'?"),
        ("conntrack.timeouts, with: {state: established, to: 1h, ttl: 1h}", "at least 2h4m"),
        ("conntrack.timeouts, with: {state: udp, to: 10500ms, ttl: 1h}", "write whole seconds"),
        ("conntrack.timeouts, with: {state: udp, to: 10s, ttl: 25h}", "is outside 1s to 1d"),
        ("policy.connections, with: {max: x9, most: 5, ttl: 1h}", "write x2 to x8, or a number of entries"),
        ("policy.connections, with: {max: 6, most: 5, ttl: 1h}", "6 is above most, which is 5"),
        ("policy.connections, with: {max: x2, most: 0, ttl: 1h}", "0 would allow no entry"),
        ("policy.stagger, with: {every: 10ms, ttl: 1h}", "is outside 1s to 5m"),
        ("policy.stagger, with: {every: 2m, ttl: 1m}", "or longer than ttl"),
        ("policy.stagger, with: {every: 10s, ttl: 2h}", "is outside 1s to 1h"),
    ],
)
def test_what_would_cut_what_lives_or_has_no_end_is_one_finding(written: str, said: str) -> None:
    """With what to write instead."""
    (found,) = findings(ACTS.replace(TUNE, f"{{action: {written}}}"))

    assert said in found


def test_what_is_left_out_of_a_verification_is_careful() -> None:
    """No data is never a pass, and the time is limited."""
    book = read(ACTS.replace(", noData: fail, within: 90s", "").replace("  onFailure: stop\n", ""))

    assert book.verify == Verification("headroom", 15_000, 3, "inconclusive", 2 * clock.MINUTE)
    assert book.on_failure == "undo"


def test_game_days_may_stand_beside_runbooks() -> None:
    """They are read by somebody else."""
    gameday = "---\napiVersion: netsre.dev/v1\nkind: GameDay\nmetadata: {name: look}\nspec: {x: 1}\n"

    assert read(GOOD + gameday).name == "look"


def test_all_mistakes_of_a_file_are_reported_at_once() -> None:
    """One run shows everything."""
    text = GOOD.replace("mode: observe", "mode: proposed").replace("[flows]", "[flow]")

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

    assert [finding.code for finding in refused.value.findings] == [linting.NAME, linting.NAME]


def test_the_shipped_runbooks_are_right_and_have_a_page() -> None:
    """A runbook without a page for the person it wakes is half a runbook."""
    books = {book.name: book for book in runbooks.read(())}

    assert {"network-evidence", "conntrack-exhaustion"} <= set(books)
    assert set(books) <= set(resources.runbook_pages())
    shipped = dataclasses.replace(books["conntrack-exhaustion"], origin=given.ORIGIN)
    assert shipped == given.BOOK, "the engine's tests are about the runbook that ships"


def test_every_shipped_alert_starts_the_runbook_that_it_leads_to() -> None:
    """Or the page would tell of a run that never was."""
    books = {book.name: book for book in runbooks.read(())}
    found = service_levels.load()
    alerts = [
        (rule.name, {"alertname": rule.name, "severity": "page"}, rule.runbook) for rule in found.alerts
    ]
    levels = [
        (
            describe.ALERT_NAME,
            # The most urgent that there is: a slow burn may be left to people.
            {"alertname": describe.ALERT_NAME, "slo": slo.name, "severity": min(_severities(slo))},
            slo.runbook,
        )
        for slo in found.slos
        if slo.runbook
    ]

    assert len(levels) > 5 < len(alerts)
    for name, pairs, book in (*alerts, *levels):
        about = books[book or ""]
        fired = dataclasses.replace(given.ALERT, labels=labels(pairs))
        assert any(trigger.starts(fired) for trigger in about.triggers), f"{name}: {about.name}"
        assert about.when is None or conditions.holds(about.when, fired), f"{pairs}: {about.name}"


def _severities(slo: SLO) -> set[str]:
    return {"page"} if slo.policy is None else {rule.severity for rule in slo.policy.rules}


def test_codes_are_unique_and_explained() -> None:
    """A code is stable, short, and has its sentence."""
    constants = {value for name, value in vars(codes).items() if name.isupper() and name != "CODES"}

    assert constants == set(codes.CODES)


def test_a_trigger_may_ask_for_labels() -> None:
    """One name is that of every burn; whoever means one service level says so."""
    burns = "{alert: ErrorBudgetBurn, match: {slo: drops, severity: page}, transition"
    (trigger,) = read(GOOD.replace("{alert: ErrorBudgetBurn, transition", burns)).triggers
    fired = dataclasses.replace(
        given.ALERT, labels=labels({"alertname": "ErrorBudgetBurn", "slo": "drops", "severity": "page"})
    )
    ticket = dataclasses.replace(fired, labels=labels(dict(fired.labels) | {"severity": "ticket"}))

    assert trigger.match == (("severity", "page"), ("slo", "drops"))
    assert (trigger.starts(fired), trigger.starts(ticket)) == (True, False)
    assert not trigger.starts(dataclasses.replace(fired, state=AlertState.RESOLVED))
    (finding,) = findings(GOOD.replace("{alert: ErrorBudgetBurn, transition", burns.replace("slo", "slos")))
    assert finding.endswith(
        "RUN050 spec.on[0].match asks for the label 'slos', which no alert has; did you mean 'slo'?"
    )


FOREIGN = GOOD.replace(
    "{alert: ErrorBudgetBurn, transition", "{alert: PodNetworkDown, from: alertmanager, transition"
).replace("{node}", "{instance}")


def test_an_alert_of_somebody_else_is_a_trigger_by_its_name_and_labels() -> None:
    """Nobody here knows which alerts and labels others have; `from` says that the name is no mistake."""
    book = read(FOREIGN)

    assert book.triggers == (Trigger("PodNetworkDown", AlertState.FIRING),)
    assert book.lock == "network/{instance}"


def test_a_verification_may_ask_the_readings_and_need_some_of_its_samples() -> None:
    """The file says what and how many; the hash of the runbook holds it."""
    query = "query: {metric: netsre_conntrack_utilization_ratio, op: '<', value: 0.5, groupBy: [node, netns]}"
    asks = ACTS.replace("slo: headroom", query).replace("samples: 3", "samples: 5, need: 4")
    book = read(asks)

    assert book.verify is not None
    assert (book.verify.slo, book.verify.samples, book.verify.needed) == ("", 5, 4)
    assert book.verify.proof == "netsre_conntrack_utilization_ratio by node, netns < 0.5"
    assert len({definition.of(read(text)) for text in (ACTS, asks, asks.replace("need: 4", "need: 5"))}) == 3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("PodNetworkDown", "ErrorBudgetBurn", "RUN014 spec.on[0].from is for alerts of others, and 'Err"),
        ("from: alertmanager", "from: prometheus", "spec.on[0].from 'prometheus' is not one of alertmanager"),
        (
            "action: evidence.collect,",
            "action: evidence.collect, if: 'still(alert)',",
            "RUN001 spec.steps[0].if asks still(alert); that is for `if` of a step, and",
        ),
    ],
)
def test_what_cannot_be_asked_of_an_alert_of_somebody_else_is_named(
    old: str, new: str, expected: str
) -> None:
    """One of ours needs no `from`, and no reading of ours says whether what others say is still so."""
    assert any(expected in finding for finding in findings(FOREIGN.replace(old, new)))
