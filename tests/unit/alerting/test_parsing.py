"""Claims about files of condition alerts."""

import pathlib
from decimal import Decimal

import pytest

from netsre import clock
from netsre.alerting import codes, describe, parsing
from netsre.app import resources, service_levels
from netsre.errors import SpecErrors
from netsre.model.alert_rules import AlertRule
from netsre.model.levels import Matcher, Origin, Selector

BAD = pathlib.Path(__file__).parent / "bad"
SHORTEST = """\
apiVersion: netsre.dev/v1
kind: Alert
metadata: {name: TableFull}
spec:
  metric: netsre_conntrack_utilization_ratio
  op: '>'
  value: 0.8
  severity: ticket
"""


def rule(text: str) -> AlertRule:
    """Return the one alert of a file."""
    (found,) = parsing.parse({"f": text})
    return found


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_bad_file_gets_exactly_its_messages(path: pathlib.Path) -> None:
    """The lines that begin with `#=` are all findings of the file, in order."""
    text = path.read_text()
    expected = [line.removeprefix("#= ") for line in text.splitlines() if line.startswith("#= ")]

    with pytest.raises(SpecErrors) as caught:
        parsing.parse({"f": text}, {"network-evidence"})

    assert [str(finding) for finding in caught.value.findings] == [f"f:{line}" for line in expected]


def test_every_code_has_a_bad_file_that_shows_it() -> None:
    """No code is documented that nothing can produce."""
    paths = [*BAD.glob("*.yaml"), *BAD.with_name("bad_clients").glob("*.yaml")]
    shown = {word for path in paths for word in path.read_text().split()}

    assert shown >= codes.CODES.keys()


def test_what_a_file_leaves_out_has_a_meaning() -> None:
    """At once, over when it is no longer true for half a minute, a service that is everybody's."""
    assert rule(SHORTEST) == AlertRule(
        name="TableFull",
        service="node-network",
        description="",
        labels=(),
        selector=Selector("netsre_conntrack_utilization_ratio"),
        group_by=(),
        op=">",
        value=Decimal("0.8"),
        hold=0,
        clear_value=Decimal("0.8"),
        clear_hold=30 * clock.SECOND,
        severity="ticket",
        runbook=None,
        origin=Origin("f", 1),
    )


def test_everything_that_can_be_written_is_read() -> None:
    """Matchers as in an SLO, numbers to the digit, lengths of time in milliseconds."""
    text = SHORTEST.replace("severity: ticket", "severity: page").replace("op: '>'", "op: '<'")
    text += (
        "  service: gateway\n  summary: It is full.\n"
        "  description: Nothing waits.\n  match: 'netns=~\"a|b\"'\n  groupBy: [netns]\n"
        "  for: 1m\n  clear: {above: 0.85, for: 0s}\n  runbook: look\n"
    )

    found = rule(text.replace("{name: TableFull}", "{name: TableFull, labels: {team: network}}"))

    assert found.selector.matchers == (Matcher("netns", "=~", "a|b"),)
    assert (found.service, found.description, found.group_by) == ("gateway", "Nothing waits.", ("netns",))
    assert found.summary == "It is full."
    assert (found.op, found.value, found.hold) == ("<", Decimal("0.8"), clock.MINUTE)
    assert (found.clear_value, found.clear_hold) == (Decimal("0.85"), 0)
    assert (found.severity, found.runbook, found.labels) == ("page", "look", (("team", "network"),))


@pytest.mark.parametrize("name", [describe.ALERT_NAME, describe.NEEDS_HUMAN])
def test_names_of_alerts_that_netsre_makes_are_taken(name: str) -> None:
    """A runbook that asks for one must not be started by the other."""
    with pytest.raises(SpecErrors, match="ALR002"):
        rule(SHORTEST.replace("TableFull", name))


def test_slos_policies_and_alerts_may_share_a_file_and_a_mistake_is_told_once(
    tmp_path: pathlib.Path,
) -> None:
    """Each reader takes its own kind and leaves the others alone."""
    flow = (resources.directory("slos") / "flow-success.yaml").read_text()
    (tmp_path / "all.yaml").write_text(f"{flow}---\n{SHORTEST}")
    (tmp_path / "bad.yaml").write_text(SHORTEST.replace("kind: Alert", "kind: Alarm"))

    with pytest.raises(SpecErrors) as caught:
        service_levels.load([tmp_path])
    (tmp_path / "bad.yaml").unlink()
    found = service_levels.load([tmp_path])

    assert [finding.code for finding in caught.value.findings] == ["SPEC008"]
    assert [slo.name for slo in found.slos] == ["flow-success"]
    assert [alert.name for alert in found.alerts] == ["TableFull"]
    assert found.alert_names == {"ErrorBudgetBurn", "TelemetryAbsent", "TableFull"}


def test_every_shipped_alert_says_in_words_what_is_wrong() -> None:
    """Whoever is woken reads no help text of a metric."""
    assert [rule.name for rule in service_levels.load().alerts if not rule.summary] == []


def shipped(name: str) -> AlertRule:
    """Return an alert that is shipped."""
    [found] = [rule for rule in service_levels.load().alerts if rule.name == name]
    return found


def test_the_shipped_alert_reads_as_designed() -> None:
    """One page per namespace, at once, with room between its beginning and its end."""
    found = shipped("ConntrackUtilization")

    assert (found.name, str(found.selector)) == (
        "ConntrackUtilization",
        'netsre_conntrack_utilization_ratio{table="kernel"}',
    )
    assert (found.group_by, found.op, found.value, found.hold) == (("node", "netns"), ">", Decimal("0.8"), 0)
    assert (found.clear_value, found.clear_hold) == (Decimal("0.7"), 30 * clock.SECOND)
    assert (found.severity, found.runbook) == ("page", "conntrack-exhaustion")


def test_the_table_of_policies_has_an_alert_and_a_runbook_of_its_own() -> None:
    """What helps the kernel's table does not help it."""
    found = shipped("PolicyConnections")

    assert str(found.selector) == 'netsre_conntrack_utilization_ratio{table="datapath"}'
    assert (found.group_by, found.op, found.value, found.hold) == (("node",), ">", Decimal("0.8"), 0)
    assert (found.severity, found.runbook) == ("page", "policy-connections")


def test_unexpected_egress_pages_where_it_got_through_and_is_a_ticket_where_it_was_denied() -> None:
    """By endpoint, from the first destination on."""
    egress = [shipped("UnexpectedEgress"), shipped("UnexpectedEgressDenied")]

    assert [(str(one.selector), one.severity) for one in egress] == [
        ('netsre_policy_unexpected_destinations{verdict="audited"}', "page"),
        ('netsre_policy_unexpected_destinations{verdict="denied"}', "ticket"),
    ]
    for one in egress:
        assert (one.group_by, one.op, one.value, one.hold) == (("node", "src"), ">", Decimal(0), 0)
        assert (one.clear_value, one.clear_hold) == (Decimal(0), 30 * clock.SECOND)
        assert one.runbook == "unexpected-egress"
