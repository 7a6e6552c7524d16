"""Packets that are cut, forged and noise: the programs answer each, and count it once."""

import random

import pytest

from bench.policy_hostile import attack
from bench.policy_rig import loaded
from netsre.adapters.bpf.policy import Template

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

PACKETS = 100_000
"""`make soak` runs ten times as many."""


def test_hostile_packets_pass_or_are_dropped_and_each_is_counted_once(policy_template: Template) -> None:
    """Whatever they are made of; nothing is dropped that has no isolated endpoint in it."""
    with loaded(policy_template) as rig:
        outcome = attack(rig, random.Random(11), PACKETS)  # noqa: S311  the same packets in every run

    # Enough of each kind for the claim to mean something.
    assert outcome.ran > PACKETS * 0.8
    assert outcome.known > PACKETS // 4
    assert outcome.dropped > PACKETS // 20
    assert outcome.unreadable > PACKETS // 20
    assert outcome.forged > PACKETS // 50
