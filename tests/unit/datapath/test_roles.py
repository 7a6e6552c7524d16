"""Whose attempts are counted: what the probe's number of a role means."""

import pytest

from netsre import conventions as c
from netsre.datapath import flows
from netsre.datapath.attribution import Amount
from netsre.metrics.node import put_flows
from netsre.metrics.readings import Readings


def test_a_slot_of_the_overflow_is_of_one_role_and_outcome() -> None:
    """The number is role times outcomes plus outcome, as the probe computes it."""
    slots = [
        flows.decode_overflow(slot, flows.FLOW_VALUE.pack(slot, 0)) for slot in range(len(flows.ROLES) * 4)
    ]

    assert [count.count for count in slots] == list(range(12))
    assert [count.role for count in slots] == [role for role in flows.ROLES for _ in range(4)]
    assert [count.outcome for count in slots] == ["delivered", "failed", "failed", "denied"] * 3


def test_the_client_is_the_source_wherever_it_is() -> None:
    """Who is here is the destination of what comes from elsewhere."""
    readings = Readings()
    kinds = [
        flows.FlowKind("delivered", "none", "private", flows.UNKNOWN_BUCKET, role) for role in flows.ROLES
    ]
    put_flows(readings, [Amount("web", kind, 1, 0) for kind in kinds])

    ends = {labels["direction"]: (labels["src"], labels["dst"]) for labels, _ in readings.numbers[c.FLOWS]}
    assert ends == {"egress": ("web", "private"), "ingress": ("private", "web")}


@pytest.mark.parametrize(("age_ns", "found"), [(flows.REFUSAL_NS - 1, 0), (flows.REFUSAL_NS, 1)])
def test_a_refused_syn_is_nobodys_here_when_it_has_waited_long_enough(age_ns: int, found: int) -> None:
    """Before that its client may still turn out to be on this node."""
    ends = bytes(range(16)), bytes(range(16, 32))
    value = flows.REFUSAL.pack(50, *ends, 77, 5, 443, 40_000, 2)
    waited = list(flows.refused([(b"key", value)], 50 + age_ns))

    wanted = flows.Refusal(50, *ends, 77, 5, 443, 40_000, "private")
    assert waited == [(b"key", wanted)] * found
    assert wanted.kind == flows.FlowCount(
        *(77, "failed", "refused", "private", flows.UNKNOWN_BUCKET, 0, 0),
        workload=5,
        role=flows.TCP_SERVER,
    )


def test_roles_are_series_of_their_own() -> None:
    """The same ends, reason and outcome: apart by direction and protocol."""
    readings = Readings()
    amounts = [
        Amount("web", flows.FlowKind("failed", "refused", "private", flows.UNKNOWN_BUCKET, role), number, 0)
        for number, role in enumerate(flows.ROLES, 1)
    ]

    put_flows(readings, amounts)

    found = {(labels["direction"], labels["protocol"]): value for labels, value in readings.numbers[c.FLOWS]}
    assert found == {("egress", "tcp"): 1, ("egress", "udp"): 2, ("ingress", "tcp"): 3}
