"""Whose attempts are counted: what the probe's number of a role means."""

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
