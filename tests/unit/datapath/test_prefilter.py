"""Rules of the prefilter: their bytes against the C header, what cannot be written, and the reference."""

import ipaddress
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from netsre.app.resources import directory
from netsre.datapath import prefilter
from netsre.datapath.block import DROPS, source_key
from netsre.datapath.policy.layouts import MODE
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import (
    ENFORCED,
    FOR_EVER,
    TOKEN,
    Action,
    BadRule,
    Event,
    Limit,
    Rule,
    State,
    Verdict,
    Written,
)
from netsre.datapath.prefilter_reference import Bucket, BucketKey, decide, take

network = ipaddress.ip_network

_PROGRAM = """
#include <stddef.h>
#include <stdio.h>
#include <linux/types.h>
#include "prefilter.h"
#define FIELD(type, field) printf("%s.%s %zu %zu\\n", #type, #field, offsetof(struct type, field), \\
    sizeof(((struct type *)0)->field))
#define SIZE(type) printf("%s %zu\\n", #type, sizeof(struct type))
int main(void) {
  FIELD(prefilter_key, bits); FIELD(prefilter_key, source); SIZE(prefilter_key);
  FIELD(prefilter_rule, until_ns); FIELD(prefilter_rule, mode); FIELD(prefilter_rule, fill_ns);
  FIELD(prefilter_rule, rate); FIELD(prefilter_rule, burst); FIELD(prefilter_rule, number);
  FIELD(prefilter_rule, counter); FIELD(prefilter_rule, bits); FIELD(prefilter_rule, action);
  SIZE(prefilter_rule);
  FIELD(policy_mode, until_ns); FIELD(policy_mode, mode); FIELD(policy_mode, afterwards); SIZE(policy_mode);
  FIELD(prefilter_state, mode); FIELD(prefilter_state, last_number); FIELD(prefilter_state, marks);
  FIELD(prefilter_state, generation); SIZE(prefilter_state); SIZE(prefilter_time);
  FIELD(prefilter_found, rule); SIZE(prefilter_found);
  FIELD(prefilter_bucket_key, source); FIELD(prefilter_bucket_key, rule); SIZE(prefilter_bucket_key);
  FIELD(prefilter_bucket, level); FIELD(prefilter_bucket, filled_ns); SIZE(prefilter_bucket);
  FIELD(drops, packets); FIELD(drops, bytes); SIZE(drops);
  printf("actions %d %d %d\\n", PREFILTER_PASS, PREFILTER_DROP, PREFILTER_LIMIT);
  printf("words %d %d %d\\n", POLICY_ENFORCE, POLICY_MONITOR, POLICY_OFF);
  printf("verdicts %d %d %d %d %d\\n", PREFILTER_PASSED, PREFILTER_DROPPED, PREFILTER_AUDITED,
    PREFILTER_MISSED, PREFILTER_VERDICTS);
  printf("events %d %d %d %d %d\\n", PREFILTER_UNREADABLE, PREFILTER_NESTED, PREFILTER_NO_BUCKET,
    PREFILTER_UNCOUNTED, PREFILTER_EVENTS);
  printf("marks %d %u %u\\n", PREFILTER_MARKS, PREFILTER_MARK_SHIFT,
    1 * PREFILTER_MARK_MIX >> PREFILTER_MARK_SHIFT);
  printf("most %d %d\\n", PREFILTER_MOST_BURST, PREFILTER_MOST_NESTED);
  printf("latest %d %d\\n", PREFILTER_LATEST, 1 << (32 - PREFILTER_LATEST_SHIFT));
  return 0;
}
"""

_EXPECTED = f"""\
prefilter_key.bits 0 4
prefilter_key.source 4 16
prefilter_key {prefilter.KEY.size}
prefilter_rule.until_ns 0 8
prefilter_rule.mode 8 16
prefilter_rule.fill_ns 24 8
prefilter_rule.rate 32 4
prefilter_rule.burst 36 4
prefilter_rule.number 40 4
prefilter_rule.counter 44 4
prefilter_rule.bits 48 4
prefilter_rule.action 52 4
prefilter_rule {prefilter.RULE.size}
policy_mode.until_ns 0 8
policy_mode.mode 8 1
policy_mode.afterwards 9 1
policy_mode {MODE.size}
prefilter_state.mode 0 16
prefilter_state.last_number 16 4
prefilter_state.marks 24 128
prefilter_state.generation 20 4
prefilter_state {prefilter.STATE.size}
prefilter_time {prefilter.TIME.size}
prefilter_found.rule 24 {prefilter.RULE.size}
prefilter_found {prefilter.FOUND.size}
prefilter_bucket_key.source 0 16
prefilter_bucket_key.rule 16 4
prefilter_bucket_key {prefilter.BUCKET_KEY.size}
prefilter_bucket.level 0 8
prefilter_bucket.filled_ns 8 8
prefilter_bucket {prefilter.BUCKET.size}
drops.packets 0 8
drops.bytes 8 8
drops {DROPS.size}
actions {Action.PASS} {Action.DROP} {Action.LIMIT}
words {" ".join(str(tuple(Mode).index(each)) for each in (Mode.ENFORCE, Mode.MONITOR, Mode.OFF))}
verdicts {Verdict.PASSED} {Verdict.DROPPED} {Verdict.AUDITED} {Verdict.MISSED} {len(Verdict)}
events {Event.UNREADABLE} {Event.NESTED} {Event.NO_BUCKET} {Event.UNCOUNTED} {len(Event)}
marks {prefilter.MARKS} 22 {0x9E3779B1 >> 22}
most {prefilter.MOST_BURST} {prefilter.MOST_NESTED}
latest {prefilter.MOST_LATEST} {prefilter.MOST_LATEST}
"""


@pytest.mark.requires("cc")
def test_layouts_match_the_header(tmp_path: Path) -> None:
    """Offsets, sizes and numbers of the C structures are those that are written and read."""
    source = tmp_path / "layout.c"
    source.write_text(_PROGRAM)
    include = directory("bpf") / "include"
    subprocess.run(
        ["cc", "-Wall", "-Werror", f"-I{include}", "-o", tmp_path / "layout", source],
        check=True,
        timeout=60,
    )
    printed = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True, timeout=10)

    assert printed.stdout == _EXPECTED


@pytest.mark.parametrize(
    "rule",
    [
        Rule(network("10.0.0.0/8"), Action.DROP),
        Rule(network("0.0.0.0/0"), Action.LIMIT, Limit(1, 1), 2**64 - 1, Setting(Mode.MONITOR, 5, Mode.OFF)),
        Rule(network("192.0.2.7/32"), Action.PASS, until_ns=7, mode=Setting(Mode.OFF)),
        Rule(network("::/0"), Action.DROP),
        Rule(network("fd09::/16"), Action.LIMIT, Limit(prefilter.MOST_RATE, prefilter.MOST_BURST)),
        Rule(network("::1/128"), Action.DROP),
    ],
)
def test_a_rule_is_read_as_it_was_written(rule: Rule) -> None:
    """Both families, every action, every end."""
    keys = [prefilter.key_of(rule.network)]
    if rule.is_host:
        keys.append(prefilter.host_key_of(rule.network))
    for key in keys:
        assert Written.of(key, rule.packed(3, 9)) == Written(rule, 3, 9)


def test_what_holds_for_all_rules_is_read_as_it_was_written() -> None:
    """And of a map that nobody has written, all is enforced."""
    state = State(Setting(Mode.MONITOR, 7, Mode.OFF), 2**32 - 1, 2**32 - 2, 1 << 1023 | 5)

    assert State.of(state.packed()) == state
    assert State.of(bytes(prefilter.STATE.size)) == State()


def test_generations_of_rules_are_even_while_rules_are_changed_and_new_afterwards() -> None:
    """Also after one who never came to the end of a change."""
    state = State()
    seen = []
    for is_killed in (False, True, False, True, True, False):
        state = state.unsettled()
        seen.append(state.generation)
        state = state if is_killed else state.settled()
        seen.append(state.generation)

    assert seen == [0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 4, 5]
    assert State(generation=2**32 - 1).unsettled().settled().generation == 1


def test_an_ipv4_network_is_written_as_one_of_ipv6() -> None:
    """With 96 bits in front of its own."""
    assert prefilter.key_of(network("10.9.0.0/16")) == bytes([112, 0, 0, 0]) + source_key("10.9.0.0")


@pytest.mark.parametrize(
    ("rate", "burst", "fill_ns"), [(1, 1, TOKEN), (3, 1, 333_333_334), (2**32 - 1, 1, 1), (7, 14, 2 * TOKEN)]
)
def test_the_time_to_fill_a_bucket_is_rounded_up(rate: int, burst: int, fill_ns: int) -> None:
    """After it the bucket is full, and not before."""
    value = Rule(network("::/0"), Action.LIMIT, Limit(rate, burst)).packed(1, 1)

    assert prefilter.RULE.unpack(value)[2] == fill_ns
    assert (fill_ns - 1) * rate < burst * TOKEN <= fill_ns * rate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("10.0.0.0/8", Action.LIMIT), "limit: write a rate for a limit"),
        (("10.0.0.0/8", Action.DROP, Limit(1, 1)), "drop: write a rate for a limit"),
        (("10.0.0.0/8", Action.LIMIT, Limit(0, 1)), "write a rate of 1 to"),
        (("10.0.0.0/8", Action.LIMIT, Limit(2**32, 1)), "write a rate of 1 to"),
        (("10.0.0.0/8", Action.LIMIT, Limit(1, 0)), "a burst of 1 to"),
        (("10.0.0.0/8", Action.LIMIT, Limit(1, prefilter.MOST_BURST + 1)), "a burst of 1 to"),
        (("::ffff:10.0.0.0/104", Action.DROP), "write the network as IPv4"),
        (("::ffff:0:0/96", Action.DROP), "write the network as IPv4"),
        (("::/0", Action.DROP, None, -1), "write 0 for ever"),
        (("::/0", Action.DROP, None, 2**64), "write 0 for ever"),
        (("::/0", Action.DROP, None, 0, Setting(Mode.INHERIT)), "write enforce, monitor or off"),
        (("::/0", Action.DROP, None, 0, Setting(Mode.OFF, 2**64)), "write 0 for ever"),
    ],
)
def test_what_cannot_be_written_down_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    """In one line that says what to write."""
    with pytest.raises(BadRule, match=words) as refused:
        Rule(network(arguments[0]), *arguments[1:])

    assert "\n" not in str(refused.value)


SOURCE = source_key("10.1.2.3")
WIDE = Rule(network("10.0.0.0/8"), Action.DROP)
NARROW = network("10.1.2.3/32")
NOW = 1000


def _decided(
    narrow: Rule | None, for_all: Setting = ENFORCED, wide: Rule = WIDE
) -> tuple[bool, list[tuple[int, str]]]:
    rules = [wide, narrow] if narrow else [wide]
    decision = decide(rules, for_all, {}, SOURCE, NOW)
    return decision.dropped, [(each.prefixlen, verdict.name) for each, verdict in decision.counts]


@pytest.mark.parametrize(
    ("narrow", "expected"),
    [
        (None, (True, [(8, "DROPPED")])),
        (Rule(NARROW, Action.PASS), (False, [(32, "PASSED")])),
        (Rule(NARROW, Action.PASS, until_ns=NOW + 1), (False, [(32, "PASSED")])),
        (Rule(NARROW, Action.PASS, until_ns=NOW), (True, [(8, "DROPPED")])),
        (Rule(NARROW, Action.DROP, until_ns=NOW), (True, [(8, "DROPPED")])),
        (Rule(NARROW, Action.DROP), (True, [(32, "DROPPED")])),
        (Rule(NARROW, Action.PASS, mode=Setting(Mode.MONITOR)), (True, [(32, "PASSED"), (8, "DROPPED")])),
        (Rule(NARROW, Action.DROP, mode=Setting(Mode.MONITOR)), (True, [(32, "AUDITED"), (8, "DROPPED")])),
        (Rule(NARROW, Action.PASS, mode=Setting(Mode.OFF)), (True, [(8, "DROPPED")])),
        (Rule(NARROW, Action.PASS, mode=Setting(Mode.OFF, NOW)), (False, [(32, "PASSED")])),
        (Rule(NARROW, Action.LIMIT, Limit(1, 1)), (False, [(32, "PASSED")])),
    ],
)
def test_the_longest_prefix_in_force_decides(
    narrow: Rule | None, expected: tuple[bool, list[object]]
) -> None:
    """One that is over, off or only watches makes no hole in the one around it."""
    assert _decided(narrow) == expected


def test_a_mode_for_all_goes_before_that_of_a_rule_where_it_is_less_strict() -> None:
    """Monitor counts what would be dropped, once; off counts nothing."""
    narrow = Rule(NARROW, Action.DROP)

    assert _decided(narrow, Setting(Mode.MONITOR)) == (False, [(32, "AUDITED")])
    assert _decided(narrow, Setting(Mode.OFF)) == (False, [])
    assert _decided(narrow, Setting(Mode.OFF, NOW)) == (True, [(32, "DROPPED")])


def test_a_bucket_lets_pass_what_arithmetic_says_over_years() -> None:
    """Three packets a second, asked a thousand times a second: never one too many, never one too few."""
    limit, bucket, passed = Limit(3, 5), None, 0
    for tick in range(3003):
        conforms, bucket = take(limit, bucket, tick * 999_000)
        passed += conforms
    assert passed == 5 + 3 * 3002 * 999_000 // TOKEN

    year = 365 * 86_400 * TOKEN
    conforms, bucket = take(limit, bucket, 3 * year)
    assert (conforms, bucket) == (True, Bucket(Fraction(4), 3 * year))
    assert take(limit, bucket, year) == (True, Bucket(Fraction(3), 3 * year))


def test_each_source_has_a_bucket_for_each_rule() -> None:
    """Whoever is held back there is not held back elsewhere."""
    rule = Rule(network("10.0.0.0/8"), Action.LIMIT, Limit(1, 1))
    first = decide([rule], ENFORCED, {}, SOURCE, NOW)

    assert list(first.buckets) == [BucketKey(rule.network, SOURCE)]
    assert decide([rule], ENFORCED, first.buckets, SOURCE, NOW).dropped
    assert not decide([rule], ENFORCED, first.buckets, source_key("10.1.2.4"), NOW).dropped
    assert rule.until_ns == FOR_EVER
