"""What a CPU remembers of the limit of a source: quicker than the tables, and never other than they are."""

import ipaddress
import os
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from bench.packet_cost import frame
from netsre.adapters.bpf.prefilter import BUCKETS, LATEST, RULES, STATE, Prefilter, Size
from netsre.datapath.block import source_key
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import (
    BUCKET,
    BUCKET_KEY,
    ENFORCED,
    FOR_EVER,
    MOST_LATEST,
    Action,
    Limit,
    Network,
    Rule,
    State,
    key_of,
)
from tests.kernel.block_link import soon
from tests.kernel.test_prefilter_packets import (
    AROUND,
    DROP,
    PASS,
    SOURCE,
    alone,
    around_end,
    asked,
    both_versions,
    network,
)

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

_LIMIT: Final = Limit(1, 1)
_HOUR_NS: Final = 3600 * 10**9
_MIX: Final = 0x9E3779B1


@pytest.fixture
def prefilter(prefilter_instructions: bytes) -> Iterator[Prefilter]:
    """Load one without rules, and stay on one CPU: each remembers for itself."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    made = Prefilter.load(prefilter_instructions, Size(12, 64))
    yield made
    made.close()
    os.sched_setaffinity(0, before)


def limited(about: Network, until_ns: int = FOR_EVER, mode: Setting = ENFORCED) -> Rule:
    """Return a rule that lets a packet pass, and then no other for long."""
    return Rule(about, Action.LIMIT, _LIMIT, until_ns, mode)


def spend(prefilter: Prefilter, version: int = 4, number: int = 1) -> None:
    """Leave the source no token for an hour, by the rule of this number."""
    key = BUCKET_KEY.pack(source_key(SOURCE[version]), number)
    prefilter.maps[BUCKETS].put(key, BUCKET.pack(0, soon(0) + _HOUR_NS))


def remembered(prefilter: Prefilter, version: int, rule: Rule) -> None:
    """Follow a rule by which the source is beyond its rate, and have the CPU remember that."""
    prefilter.put(rule)
    spend(prefilter, version)
    assert asked(prefilter, frame(SOURCE[version])) == DROP


def by_hand(prefilter: Prefilter, about: Network) -> None:
    """Take a rule out of the table of networks alone, as nobody may who follows rules."""
    prefilter.maps[RULES].delete(key_of(about))


@both_versions
def test_a_limit_that_was_found_is_not_looked_up_again(prefilter: Prefilter, version: int) -> None:
    """It is gone from the table unseen, and holds until another generation begins."""
    around = network(AROUND[version])
    remembered(prefilter, version, limited(around))
    by_hand(prefilter, around)
    unseen = asked(prefilter, frame(SOURCE[version]))
    prefilter.maps[STATE].put(bytes(4), prefilter.state().settled().packed())

    assert (unseen, asked(prefilter, frame(SOURCE[version]))) == (DROP, PASS)


def half(whole: Network) -> Network:
    """Return the half of a network that the source is in."""
    return ipaddress.ip_network((whole.network_address, whole.prefixlen + 1))


_CHANGES: Final[dict[str, Callable[[Prefilter, Network, int], object]]] = {
    "another action": lambda made, around, _: made.put(Rule(around, Action.PASS)),
    "a wider limit": lambda made, around, _: made.put(Rule(around, Action.LIMIT, Limit(1, 1000))),
    "its mode": lambda made, around, _: made.put(limited(around, mode=Setting(Mode.MONITOR))),
    "its end": lambda made, around, _: made.put(limited(around, soon(-1))),
    "one inside it": lambda made, around, _: made.put(Rule(half(around), Action.PASS)),
    "an address in it": lambda made, _, version: made.put(Rule(alone(version), Action.PASS)),
    "it is removed": lambda made, around, _: made.remove(around),
    "the mode of all": lambda made, _, __: made.set_mode(Setting(Mode.MONITOR)),
    "off": lambda made, _, __: made.set_mode(Setting(Mode.OFF)),
}


@both_versions
@pytest.mark.parametrize("change", _CHANGES)
def test_the_next_packet_follows_what_was_changed(prefilter: Prefilter, version: int, change: str) -> None:
    """Whatever the CPU remembers of the source; also where the rule is about it alone."""
    for about in (network(AROUND[version]), alone(version)):
        if change == "one inside it" and about == alone(version):
            continue
        prefilter.set_mode(ENFORCED)
        prefilter.put(limited(about))
        spend(prefilter, version, prefilter.state().last_number)
        before = asked(prefilter, frame(SOURCE[version]))
        _CHANGES[change](prefilter, about, version)

        assert (before, asked(prefilter, frame(SOURCE[version]))) == (DROP, PASS), about
        prefilter.remove(*(rule.network for rule in prefilter.rules()))


def test_a_limit_inside_another_rule_that_comes_and_goes_leaves_the_other(prefilter: Prefilter) -> None:
    """What was remembered of the inner one is over with it, each time."""
    prefilter.put(Rule(network(AROUND[4]), Action.PASS))
    verdicts = []
    for _ in range(3):
        prefilter.put(limited(alone(4)))
        spend(prefilter, number=prefilter.state().last_number)
        verdicts += [asked(prefilter, frame(SOURCE[4])) for _ in range(2)]
        prefilter.remove(alone(4))
        verdicts += [asked(prefilter, frame(SOURCE[4]))]

    assert verdicts == [DROP, DROP, PASS] * 3


@pytest.mark.parametrize("of", ["end", "mode", "all"])
def test_times_of_a_limit_that_is_remembered_come_by_themselves(prefilter: Prefilter, of: str) -> None:
    """They are compared packet by packet, with what is remembered."""

    def begin(end: int) -> None:
        mode = Setting(Mode.ENFORCE, end, Mode.MONITOR)
        until_ns = end if of == "end" else FOR_EVER
        prefilter.put(limited(network(AROUND[4]), until_ns, mode if of == "mode" else ENFORCED))
        prefilter.set_mode(mode if of == "all" else ENFORCED)
        spend(prefilter)

    assert around_end(prefilter, begin) == ({DROP}, {PASS})


def test_whoever_is_killed_while_changing_leaves_packets_to_the_tables(prefilter: Prefilter) -> None:
    """Nothing that is remembered counts until a change has come to its end."""
    around = network(AROUND[4])
    remembered(prefilter, 4, limited(around))
    prefilter.maps[STATE].put(bytes(4), prefilter.state().unsettled().packed())
    same = asked(prefilter, frame(SOURCE[4]))
    by_hand(prefilter, around)
    changed = asked(prefilter, frame(SOURCE[4]))
    opened = Prefilter.of(prefilter.maps, prefilter.program)
    left = opened.state()
    opened.put(Rule(network(AROUND[6]), Action.DROP))

    assert (same, changed, asked(prefilter, frame(SOURCE[4]))) == (DROP, PASS, PASS)
    assert left.unsettled() == left
    assert opened.state().generation == left.generation + 1


def test_sources_that_are_remembered_in_one_place_each_have_their_own(prefilter: Prefilter) -> None:
    """One is beyond its rate and the other one is under another rule, packet by packet in turn."""
    first = ipaddress.ip_address(SOURCE[4])
    network_of_others = network("172.16.0.0/12")
    other = next(each for each in network_of_others if _place(str(each)) == _place(str(first)))
    remembered(prefilter, 4, limited(network(AROUND[4])))
    prefilter.put(Rule(network_of_others, Action.LIMIT, Limit(1, 1000)))
    verdicts = [asked(prefilter, frame(str(each))) for _ in range(20) for each in (first, other)]

    assert verdicts == [DROP, PASS] * 20


def _place(text: str) -> int:
    """Return where a CPU remembers a source."""
    key = source_key(text)
    folded = 0
    for start in range(0, 16, 4):
        folded ^= int.from_bytes(key[start : start + 4], "little")
    return (folded * _MIX % 2**32) * MOST_LATEST >> 32


def test_one_without_rules_remembers_nothing(prefilter: Prefilter) -> None:
    """Not even of `::`, which is what stands in a place that nobody has been in."""
    assert State().unsettled() == State() == prefilter.state()
    assert asked(prefilter, frame("::")) == PASS
    assert not any(sum(value) for _, value in prefilter.maps[LATEST].entries())
