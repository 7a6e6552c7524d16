"""Rules that no flow needed, as far as a log can tell."""

import pytest

from netsre.clock import DAY
from netsre.datapath import flow_lines
from netsre.datapath.policy import unused
from netsre.datapath.policy.observed import Observing
from netsre.datapath.policy.unused import Unused
from netsre.errors import BadInput
from netsre.model.policies import codes
from netsre.model.policies.values import Policy
from tests.unit.policy.cluster import ENDPOINTS, cilium, kubernetes, read
from tests.unit.policy.observations import observed, raw

SELECTOR = "podSelector: {matchLabels: {pod: a}}\n"
FROM_B = "{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80}]}"
FROM_C = "{from: [{podSelector: {matchLabels: {pod: c}}}], ports: [{port: 80}]}"
POLICY = kubernetes(f"{SELECTOR}ingress: [{FROM_B}, {FROM_C}]")
BEGIN = raw("192.0.2.1", "192.0.2.2", 1, time="2026-01-01T00:00:00")
END = raw("192.0.2.1", "192.0.2.2", 1, time="2026-01-09T00:00:00")
LATE = "2026-01-05T00:00:00"


def told(policies: tuple[Policy, ...], *lines: str, days: int = 7) -> Unused:
    """Return what is said after eight days of a log with these lines."""
    return unused.unused(policies, observed([BEGIN, *lines, END], ENDPOINTS), days * DAY)


def names(found: Unused) -> list[str]:
    """Return the rules that are found."""
    assert {one.code for one in found.findings} <= {codes.UNUSED}
    return [" ".join(one.message.split()[:2]) for one in found.findings]


@pytest.mark.parametrize("outcome", ["delivered", "failed", "denied"])
def test_a_rule_is_used_by_whatever_it_matches(outcome: str) -> None:
    """Whether it was delivered or not: somebody tries."""
    found = told(read(POLICY), raw("10.0.1.2", "10.0.1.1", 80, outcome=outcome, time=LATE))

    assert names(found) == ["x/p ingress[1]"]
    assert found.notes == ()


def test_what_was_before_that_time_does_not_count() -> None:
    """A rule whose last flow is older than asked for is found; another one of the endpoint's is not."""
    lines = (
        raw("10.0.1.2", "10.0.1.1", 80, time="2026-01-01T12:00:00"),
        raw("10.0.1.3", "10.0.1.1", 80, time=LATE),
    )

    assert names(told(read(POLICY), *lines)) == ["x/p ingress[0]"]
    assert names(told(read(POLICY), *lines, days=8)) == []


def test_a_log_that_does_not_reach_back_as_far_says_so() -> None:
    """And finds nothing; one without a line neither."""
    found = told(read(POLICY), raw("10.0.1.2", "10.0.1.1", 80, time=LATE), days=9)
    assert (found.findings, len(found.notes)) == ((), 1)
    assert "less than 9d" in found.notes[0]

    found = unused.unused(read(POLICY), observed([], ENDPOINTS), DAY)
    assert (found.findings, len(found.notes)) == ((), 1)


def test_of_several_logs_all_have_to_cover_the_time() -> None:
    """Or a rule of the node with the short one would seem unused."""
    taking = Observing(ENDPOINTS)
    for line in (BEGIN, raw("10.0.1.2", "10.0.1.1", 80, time=LATE), END):
        taking.take(flow_lines.parse(line.encode()), "one")
    for line in (raw("10.0.1.2", "10.0.1.1", 80, time=LATE), END):
        taking.take(flow_lines.parse(line.encode()), "other")

    assert unused.unused(read(POLICY), taking.done(), 7 * DAY).findings == ()
    assert len(unused.unused(read(POLICY), taking.done(), 4 * DAY).findings) == 1


def test_endpoints_that_the_log_does_not_know_are_named() -> None:
    """They may be on another node: nothing can be said about their rules."""
    found = told(read(POLICY), raw("10.0.2.1", "10.0.2.2", 80, time=LATE))

    assert found.findings == ()
    assert found.notes == ("of no endpoint in the flow log; whether rules are used is not said: x/p",)


def test_what_leaves_no_trace_is_not_called_unused() -> None:
    """ICMP and SCTP are not in a flow log; UDP only of clients, and only where it is there at all."""
    policies = read(
        cilium(
            "endpointSelector: {matchLabels: {pod: a}}\n"
            "ingress:\n"
            "- {icmps: [{fields: [{type: 8}]}]}\n"
            "- {toPorts: [{ports: [{port: '53', protocol: UDP}]}]}\n"
            "- {toPorts: [{ports: [{port: '53', protocol: TCP}]}]}\n"
            "egress:\n"
            "- {toPorts: [{ports: [{port: '53', protocol: UDP}]}]}\n"
            "- {toPorts: [{ports: [{port: '9', protocol: SCTP}]}]}\n"
        )
    )
    tcp = raw("10.0.1.1", "10.0.1.2", 80, time=LATE)
    udp = raw("10.0.1.1", "10.0.1.2", 80, protocol="udp", time=LATE)

    found = told(policies, tcp)
    assert names(found) == ["x/p ingress[2]"]
    assert found.notes[0].endswith("x/p ingress[0], x/p ingress[1], x/p egress[0], x/p egress[1]")
    assert names(told(policies, tcp, udp)) == ["x/p ingress[2]", "x/p egress[0]"]


def test_a_rule_that_denies_is_used_by_what_it_denies() -> None:
    """Its endpoint is in the log by the attempt."""
    policies = read(
        cilium(
            "endpointSelector: {matchLabels: {pod: a}}\n"
            "egressDeny: [{toCIDR: [192.0.2.0/24]}, {toCIDR: [198.51.100.0/24]}]"
        )
    )
    line = raw("10.0.1.1", "192.0.2.7", 443, outcome="denied", time=LATE)

    assert names(told(policies, line)) == ["x/p egressDeny[1]"]


def test_sampling_is_said_with_the_finding() -> None:
    """Where a line stands for many, what is rare may be missing."""
    (found,) = told(read(POLICY), raw("10.0.1.2", "10.0.1.1", 80, time=LATE, sampling=100)).findings

    assert "the 7d before 2026-01-09T00:00:00" in found.message
    assert "up to 100 attempts" in found.message


def test_an_impossible_time_is_bad_input() -> None:
    """Not a guess."""
    line = raw("10.0.1.2", "10.0.1.1", 80, time="2026-13-05T00:00:00")

    with pytest.raises(BadInput, match="impossible time"):
        unused.unused(read(POLICY), observed([line], ENDPOINTS), DAY)
