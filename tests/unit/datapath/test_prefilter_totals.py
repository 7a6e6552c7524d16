"""Totals of the prefilter's rules: what was gained since somebody looks, and under which name."""

import ipaddress

import pytest

from netsre.app.prefiltering import limit_of, network_of, networks_in
from netsre.conventions import OTHER
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import MOST_BURST, Action, Limit, Rule, Written
from netsre.datapath.prefilter_totals import (
    KEPT_SECONDS,
    MOST,
    Counted,
    Drop,
    Kind,
    RuleTotals,
    counts_of,
    in_force,
)
from netsre.errors import BadInput


def rule(
    text: str,
    dropped: int = 0,
    action: Action = Action.DROP,
    counter: int = 0,
    passed: int = 0,
    audited: int = 0,
) -> Counted:
    """Return a rule that has counted packets of a hundred bytes."""
    limit = Limit(1, 1) if action is Action.LIMIT else None
    written = Written(Rule(ipaddress.ip_network(text), action, limit), 1, counter)
    counts = (passed, 100 * passed, dropped, 100 * dropped, audited, 100 * audited, 0, 0)
    return Counted(text, written, counts)


def test_what_was_counted_before_the_first_look_counts_nowhere_and_is_there_at_nothing() -> None:
    """A counter that is not there before its first packet would lose it."""
    totals = RuleTotals()
    totals.take(7, [rule("10.0.0.0/8", 5)], 0.0)
    first = dict(totals.drops), dict(totals.packets)
    totals.take(7, [rule("10.0.0.0/8", 8, audited=2)], 1.0)

    assert first[0] == {Drop("blocked_source", "10.0.0.0/8"): 0}
    assert first[1] == {Kind("10.0.0.0/8", "drop", word): 0 for word in ("dropped", "audited")}
    assert totals.drops == {Drop("blocked_source", "10.0.0.0/8"): 3}
    assert totals.packets[Kind("10.0.0.0/8", "drop", "audited")] == 2
    assert totals.octets == {"passed": 0, "dropped": 300, "audited": 200}


def test_what_somebody_waited_for_is_told_by_rule_and_counted_once() -> None:
    """It is dropped like the rest; a rule that limits drops of connections on purpose."""
    totals = RuleTotals()
    totals.take(7, [rule("10.0.0.0/8"), rule("11.0.0.0/8", 0, Action.LIMIT, 1)], 0.0)
    dropped = rule("10.0.0.0/8", 5)
    missed = dropped._replace(counts=(*dropped.counts[:-2], 2, 200))
    totals.take(7, [missed, rule("11.0.0.0/8", 9, Action.LIMIT, 1)], 1.0)

    assert totals.missed == {"10.0.0.0/8": 2}
    assert totals.packets[Kind("10.0.0.0/8", "drop", "dropped")] == 5
    assert {kind.verdict for kind in totals.packets} == {"passed", "dropped", "audited"}
    totals.take(7, [], 1.0 + KEPT_SECONDS + 1)
    assert totals.missed == {}


def test_a_rule_that_becomes_another_one_counts_under_what_it_is_now() -> None:
    """Its counts go on in the kernel, and what was counted stays where it was."""
    totals = RuleTotals()
    totals.take(7, [rule("10.0.0.0/8")], 0.0)
    totals.take(7, [rule("10.0.0.0/8", 4)], 1.0)
    totals.take(7, [rule("10.0.0.0/8", 9, Action.LIMIT, passed=1)], 2.0)

    assert totals.drops == {Drop("blocked_source", "10.0.0.0/8"): 4, Drop("rate_limited", "10.0.0.0/8"): 5}
    assert totals.packets[Kind("10.0.0.0/8", "limit", "passed")] == 1


def test_a_rule_that_was_added_again_and_another_prefilter_count_from_their_own_beginning() -> None:
    """Neither is taken for the one before."""
    totals = RuleTotals()
    totals.take(7, [rule("10.0.0.0/8", 4)], 0.0)
    totals.take(7, [rule("10.0.0.0/8", 6, counter=1)], 1.0)
    totals.take(8, [rule("10.0.0.0/8", 7, counter=1)], 2.0)

    assert totals.drops == {Drop("blocked_source", "10.0.0.0/8"): 13}


def test_rules_beyond_the_bound_are_one_until_others_are_gone_for_long() -> None:
    """Nothing is lost by it."""
    totals = RuleTotals()
    for dropped in (0, 2):
        many = [rule(f"10.{n >> 8}.{n & 255}.0/24", dropped, counter=n) for n in range(MOST + 5)]
        totals.take(7, many, float(dropped))
    names = {drop.rule for drop in totals.drops}
    totals.take(7, [], 3.0 + KEPT_SECONDS)
    totals.take(7, [rule("192.0.2.0/24", 1)], 4.0 + KEPT_SECONDS)

    assert len(names) == MOST + 1
    assert OTHER in names
    assert totals.drops == {Drop("blocked_source", "192.0.2.0/24"): 1}
    assert totals.octets["dropped"] == 200 * (MOST + 5) + 100


def test_rules_in_force_are_those_that_are_not_over_by_the_mode_of_now() -> None:
    """With every kind that there could be at nothing."""
    network = ipaddress.ip_network("10.0.0.0/8")
    rules = [
        Rule(network, Action.DROP, until_ns=5),
        Rule(network, Action.DROP, until_ns=6, mode=Setting(Mode.MONITOR, 5)),
        Rule(network, Action.LIMIT, Limit(1, 1), mode=Setting(Mode.MONITOR, 6)),
    ]
    counts = in_force(rules, 5)

    assert len(counts) == 9
    assert {kind: count for kind, count in counts.items() if count} == {
        ("drop", "enforce"): 1,
        ("limit", "monitor"): 1,
    }


def test_a_rate_without_a_burst_lets_a_second_of_it_come_at_once() -> None:
    """No more than a burst may be."""
    assert limit_of("1000") == Limit(1000, 1000)
    assert limit_of("1000/5") == Limit(1000, 5)
    assert limit_of("4294967295").burst == MOST_BURST


@pytest.mark.parametrize("text", ["", "-1", "1/", "/5", "1/2/3", "1.5", "ten", "¹", "1 / 2"])
def test_what_is_no_rate_is_refused_with_one_that_is(text: str) -> None:
    """In one line."""
    with pytest.raises(ValueError, match="write packets per second, and a burst: 1000/2000"):
        limit_of(text)


def test_a_list_may_have_remarks_and_is_refused_by_the_line() -> None:
    """Addresses alone stand for themselves."""
    assert networks_in("list", "# ours\n10.0.0.0/8 # all\n\n  2001:db8::1\n") == [
        network_of("10.0.0.0/8"),
        network_of("2001:db8::1/128"),
    ]
    with pytest.raises(BadInput, match=r"^list:2: '10.0.0.1/8' is no network; .*write 10.0.0.0/8$"):
        networks_in("list", "10.0.0.0/8\n10.0.0.1/8")


def test_counts_are_sums_over_cpus_by_counter_and_verdict() -> None:
    """Two counters of four verdicts on two CPUs, each number another one."""
    words = list(range(1, 33))
    expected = [
        tuple(
            words[(at * 4 + verdict) * 4 + f] + words[(at * 4 + verdict) * 4 + 2 + f]
            for verdict in range(4)
            for f in (0, 1)
        )
        for at in range(2)
    ]

    assert counts_of(words, 2) == expected
