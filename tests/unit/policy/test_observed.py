"""What a flow log says, as policies see it."""

from netsre.model.policies import endpoints
from tests.unit.policy.observations import NODE_ENTRIES, observed, raw

KNOWN = endpoints.parse({"e.yaml": "- {name: a, namespace: x, ips: [10.0.0.1, 'fe80::1']}\n" + NODE_ENTRIES})


def test_ends_are_endpoints_nodes_or_the_world() -> None:
    """Whatever dress an address wears: IPv4 within IPv6, or with a zone."""
    lines = [
        raw("::ffff:10.0.0.1", "::ffff:192.0.2.1", 80),
        raw("fe80::1%2", "2001:db8::1", 80),
        raw("127.0.0.1", "192.168.0.2", 80),
    ]

    assert {
        (str(one.source), one.source.kind.value, str(one.destination), one.destination.kind.value)
        for one in observed(lines, KNOWN).flows
    } == {
        ("x/a (10.0.0.1)", "endpoint", "192.0.2.1", "world"),
        ("x/a (fe80::1)", "endpoint", "2001:db8::1", "world"),
        ("127.0.0.1", "host", "nodes/there (192.168.0.2)", "remote-node"),
    }


def test_attempts_are_counted_once_though_both_ends_tell() -> None:
    """Of what the client's node and the server's node logged, the larger count; each outcome by itself."""
    lines = [
        raw("10.0.0.1", "192.0.2.1", 80, sampling=100, time="2026-01-02T00:00:00"),
        raw("10.0.0.1", "192.0.2.1", 80, sampling=100, time="2026-01-03T00:00:00"),
        raw("10.0.0.1", "192.0.2.1", 80, sampling=100, direction="ingress", time="2026-01-01T00:00:00"),
        raw("10.0.0.1", "192.0.2.1", 80, outcome="failed", time="2026-01-04T00:00:00"),
    ]
    (flow,) = observed(lines, KNOWN).flows

    assert {outcome: one.count for outcome, one in flow.tallies.items()} == {"delivered": 200, "failed": 1}
    assert (flow.all.count, flow.all.first[:10], flow.all.last[:10]) == (201, "2026-01-01", "2026-01-04")


def test_what_has_no_address_is_counted_and_no_flow() -> None:
    """The span of the log has it all the same."""
    found = observed([raw(None, "10.0.0.1", 53, sampling=100), raw("10.0.0.1", None, None)], KNOWN)

    assert (found.flows, found.without_address, found.sampling) == ((), 101, 100)
    assert {*found.spans} == {"log"}
