"""What the datapath counts, as totals by name: never more than was counted, and never less than before."""

import re
from typing import Final

import pytest

from netsre.app import resources
from netsre.app.service_levels import load
from netsre.conventions import OTHER
from netsre.datapath.policy import compiles, conntrack
from netsre.datapath.policy.compiles import ERROR, OK, Kind, Took
from netsre.datapath.policy.conntrack import Connection, State, over, state_of
from netsre.datapath.policy.gains import NOWHERE, Gains
from netsre.datapath.policy.layouts import COUNT, COUNT_KEY
from netsre.datapath.policy.verdicts import DENIED as DENIED_REASON
from netsre.datapath.policy.verdicts import MOST, Drop, Names, Verdict, VerdictTotals, short, sums
from netsre.slo import indicators

ALLOWED, DENIED, AUDITED = range(3)
INGRESS, EGRESS = range(2)
RULE, DEFAULT_DENY = range(2)
WITHDRAWN: Final = 5
NAMES: Final = Names({7: "x/p egress[0]"}, {300: "x/a", 301: "x/b"})
SECOND: Final = 10**9


def key(
    verdict: int,
    rule: int = 0,
    *,
    reason: int = DEFAULT_DENY,
    way: int = EGRESS,
    src: int = 300,
    dst: int = 301,
) -> bytes:
    """Return a key of the map."""
    return COUNT_KEY.pack(rule, src, dst, verdict, way, reason, 0)


def totals(*counts: dict[bytes, tuple[int, int, int]], table: int = 1) -> VerdictTotals:
    """Return what is known after some looks, the first of which found nothing at all."""
    found = VerdictTotals()
    found.take(NOWHERE, {}, Names())
    for one in counts:
        found.take(table, one, NAMES)
    return found


@pytest.mark.parametrize(
    ("verdict", "reason", "expected"),
    [
        (ALLOWED, RULE, "yes"),
        (DENIED, RULE, "yes"),
        (DENIED, DEFAULT_DENY, "no"),
        (AUDITED, RULE, "yes"),
        (AUDITED, DEFAULT_DENY, "no"),
        (DENIED, WITHDRAWN, "no"),
        (AUDITED, WITHDRAWN, "no"),
    ],
)
def test_a_deny_is_expected_where_a_rule_says_so(verdict: int, reason: int, expected: str) -> None:
    """Default deny is nobody's word about this traffic."""
    found = totals({key(verdict, 0 if reason == DEFAULT_DENY else 7, reason=reason): (3, 300, 2)})

    [(one, count)] = found.connections.items()
    rule = {
        RULE: "x/p egress[0]",
        DEFAULT_DENY: "default deny",
        WITHDRAWN: "allowed before by x/p egress[0]",
    }[reason]
    assert one == Verdict(("allowed", "denied", "audited")[verdict], rule, expected, "egress", "x/a", "x/b")
    assert count == 2


def test_only_what_is_denied_is_dropped_at_the_hook_of_its_way() -> None:
    """What an endpoint sends is dropped where it comes in at the node."""
    found = totals(
        {
            key(ALLOWED, 7, reason=RULE): (5, 0, 1),
            key(AUDITED): (7, 0, 7),
            key(DENIED): (11, 0, 11),
            key(DENIED, 7, reason=RULE, way=INGRESS): (13, 0, 13),
        }
    )

    assert found.drops == {
        Drop("tc_ingress", "denied", "default deny"): 11,
        Drop("tc_egress", "denied", "x/p egress[0]"): 13,
    }


def test_a_drop_by_a_policy_costs_nothing_of_the_service_level_for_drops_without_a_rule() -> None:
    """It has one of its own; this one is about what no rule says."""
    levels = load([resources.directory("slos")])
    [level] = [one for one in levels.slos if one.name == "drops"]
    [allowed] = [
        matcher
        for part in indicators.parts(level)
        for matcher in part.selector.matchers
        if matcher.label == "reason"
    ]

    assert allowed.op == "!~"
    assert re.fullmatch(allowed.value, DENIED_REASON)


def test_a_datapath_that_is_older_than_the_agent_counts_from_now_on() -> None:
    """And another one that takes its place counts from its own beginning."""
    found = VerdictTotals()
    found.take(1, {key(DENIED): (100, 0, 100)}, NAMES)
    first = dict(found.connections)
    found.take(1, {key(DENIED): (103, 0, 103)}, NAMES)
    second = found.connections.total()
    found.take(NOWHERE, {}, Names())
    found.take(2, {key(DENIED): (50, 0, 50)}, NAMES)

    assert list(first.values()) == [0]
    assert (second, found.connections.total()) == (3, 53)


def test_a_name_that_is_forgotten_stays_for_as_long_as_something_counts_under_it() -> None:
    """A number that never had a name is nobody in particular."""
    found = totals({key(ALLOWED, 7, reason=RULE): (1, 0, 1)})
    found.take(1, {key(ALLOWED, 7, reason=RULE): (4, 0, 4), key(ALLOWED, 8, reason=RULE): (2, 0, 2)}, Names())

    assert {one.rule: count for one, count in found.connections.items()} == {"x/p egress[0]": 4, OTHER: 2}


def test_beyond_so_many_kinds_all_are_counted_together() -> None:
    """None is lost, and none that was told apart falls."""
    counts = {key(DENIED, way=INGRESS, src=n): (1, 0, 1) for n in range(1000, 1000 + MOST + 50)}
    names = Names({}, {n: f"x/n={n}" for n in range(1000, 1000 + MOST + 50)})
    found = VerdictTotals()
    found.take(NOWHERE, {}, Names())
    found.take(1, counts, names)

    assert found.connections.total() == MOST + 50
    assert found.connections[Verdict("denied", OTHER, "no", "ingress", OTHER, OTHER)] == 50


def test_sums_are_over_all_cpus() -> None:
    """Each CPU has a slot of three numbers."""
    assert sums(COUNT.pack(1, 10, 100) + COUNT.pack(2, 20, 200) + COUNT.pack(4, 40, 400)) == (7, 70, 700)


def test_a_counter_that_fell_began_anew() -> None:
    """Of several that are counted together one is enough to tell."""
    gains = Gains[str]()
    looks = [{"a": (5, 5)}, {"a": (7, 5)}, {"a": (7, 5)}, {"a": (3, 6)}, {}, {"a": (1, 1)}]

    assert [dict(gains.take(1, one)) for one in looks] == [
        {"a": (0, 0)},
        {"a": (2, 0)},
        {},
        {"a": (3, 6)},
        {},
        {"a": (1, 1)},
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (
            "endpoint k8s:app=web k8s:tier=front namespace:=shop namespace-label:team=a port:http=80/tcp",
            "shop/app=web,tier=front",
        ),
        ("world reserved:world= cidr:10.0.0.0/8 family:4", "world cidr:10.0.0.0/8 family:4"),
        ("host reserved:host=", "host"),
    ],
)
def test_an_identity_is_called_as_people_write_it(key: str, name: str) -> None:
    """A namespace and labels; whoever is no endpoint by what he is."""
    assert short(key) == name


def test_a_long_name_is_cut_and_still_its_own() -> None:
    """Two that begin alike stay apart."""
    long = "a" * 500
    names = Names.of({long + "1": 1, long + "2": 2}, {})

    assert names.rule(1, RULE) != names.rule(2, RULE)
    assert len(names.rule(1, RULE)) < 130


def test_compiles_are_kept_as_they_were_written() -> None:
    """Each stage in the bucket whose bound it does not exceed, the slowest beyond all of them."""
    known = compiles.including({}, {"total": 0.001, "load": 31.0}, OK)
    known = compiles.including(known, {"total": 5.0}, ERROR)
    known = compiles.including(known, {"total": 0.0011}, OK)

    assert compiles.of(compiles.document(known)) == known
    assert known[Kind("total", OK)].counts[:3] == (1, 1, 0)
    assert known[Kind("load", OK)].counts[-1] == 1
    assert known[Kind("total", ERROR)] == Took().including(5.0)
    assert known[Kind("total", ERROR)].counts[8] == 1


@pytest.mark.parametrize(
    ("protocol", "forward", "back", "state"),
    [
        (6, 0x02, 0, State.TCP_SYN),
        (6, 0x12, 0x12, State.TCP_ESTABLISHED),
        (6, 0x13, 0x12, State.TCP_CLOSING),
        (6, 0x13, 0x13, State.TCP_CLOSED),
        (6, 0x12, 0x04, State.TCP_CLOSED),
        (17, 0x10, 0, State.UDP_ASKED),
        (17, 0x10, 0x10, State.UDP_ANSWERED),
        (1, 0x10, 0x10, State.ICMP),
        (58, 0x10, 0, State.ICMP),
        (132, 0x10, 0, State.OTHER_ASKED),
        (132, 0x10, 0x10, State.OTHER_ANSWERED),
    ],
)
def test_a_connection_is_over_when_its_state_has_lasted_so_long(
    protocol: int, forward: int, back: int, state: State
) -> None:
    """To the nanosecond, as the programs have it."""
    seen = 5000 * SECOND
    one = Connection(seen, 1, 0, 0, 0, 0, 0, 0, 0, 0, forward, back)
    timeouts = {each: seconds * SECOND for each, seconds in conntrack.SECONDS.items()}
    entry = (conntrack.KEY.pack(b"", b"", b"", b"", protocol), one.packed())
    end = seen + timeouts[state]

    assert state_of(one, protocol) is state
    assert over([entry], timeouts, end - 1) == []
    assert over([entry], timeouts, end) == [entry[0]]
