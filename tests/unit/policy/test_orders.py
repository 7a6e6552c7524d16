"""Orders to deny an address: what the kernel is told comes back, and what finds no place is said."""

import json
from ipaddress import ip_network
from typing import Final

import hypothesis
import pytest
from hypothesis import strategies

from netsre.app.policing.state import State
from netsre.datapath.policy import orders
from netsre.datapath.policy.numbers import Numbering
from netsre.datapath.policy.orders import FIRST_RULE, KEY, NESTED, ORDER, Order
from netsre.errors import BadInput

_WORDS: Final = strategies.integers(0, (1 << 32) - 1)
_NETWORKS: Final = strategies.one_of(
    strategies.tuples(strategies.ip_addresses(v=4), strategies.integers(0, 32)),
    strategies.tuples(strategies.ip_addresses(v=6), strategies.integers(0, 128)),
).map(lambda pair: ip_network(pair, strict=False))


def order(network: str, endpoint: int = 0, until_ns: int = 0) -> Order:
    """Return an order."""
    return Order(endpoint, ip_network(network), until_ns, FIRST_RULE + 1)


@hypothesis.given(_WORDS, _NETWORKS, strategies.integers(0, (1 << 64) - 1), _WORDS)
def test_an_order_is_read_as_it_was_written(endpoint: int, network: object, until_ns: int, rule: int) -> None:
    """Of both families, also where an address of one looks like one of the other."""
    given = Order(endpoint, network, until_ns, rule)  # type: ignore[arg-type]  # of either family

    assert Order.of(given.key, given.value) == given


def test_bits_count_endpoint_and_family_first() -> None:
    """All of IPv4 lies under its own family, and the value says where a shorter one is looked for."""
    for network, bits in (("0.0.0.0/0", 160), ("10.0.0.1/32", 192), ("::/0", 64), ("::ffff:0:0/96", 160)):
        one = order(network, 7)
        assert KEY.unpack(one.key)[:2] == (bits, 7)
        assert ORDER.unpack(one.value)[2] == bits


def test_an_order_holds_until_its_end_and_without_one_for_ever() -> None:
    """At its end it holds no more."""
    assert [order("::/0", until_ns=5).holds(now) for now in (4, 5)] == [True, False]
    assert order("::/0").holds(1 << 63)


def test_as_many_may_lie_within_each_other_as_programs_look_for() -> None:
    """One more is refused on either side; the same again, others' and what lies beside do not count."""
    known = [order(f"10.0.0.0/{bits}") for bits in range(16, 16 + NESTED)]
    for fits in (known[0], order("10.0.0.0/32", 3), order("10.128.0.0/9"), order("a00::/8")):
        orders.check(known, fits)
    for crowded in ("10.0.0.0/32", "10.0.0.0/8"):
        with pytest.raises(BadInput, match=r"more than 8 orders would be about 10\.0\.0\.0/"):
            orders.check(known, order(crowded))


def test_a_table_that_is_full_takes_what_is_there_again_and_nothing_new() -> None:
    """The line says what to do."""
    known = [order(f"10.{n >> 8}.{n & 255}.0/24") for n in range(orders.MOST)]
    orders.check(known, known[5])
    with pytest.raises(BadInput, match="netsre policy deny lists them"):
        orders.check(known, order("192.0.2.0/24"))


def test_a_turn_is_never_that_of_nobody() -> None:
    """A connection that was never asked about orders has 0."""
    assert [orders.next_turn(turn) for turn in (0, 7, (1 << 32) - 1)] == [1, 8, 1]


def test_names_of_orders_stay_beside_those_of_rules() -> None:
    """Their numbers begin where those of policies never come; a state of before knows none."""
    numbering = Numbering().including(map(orders.rule_name, map(ip_network, ("192.0.2.1/32", "::/0"))))
    document = json.loads(json.dumps(State(orders=numbering).document()))
    before = {name: part for name, part in document.items() if name != "orders"}

    assert State.of(document).rules == {"deny 192.0.2.1": FIRST_RULE + 1, "deny ::/0": FIRST_RULE + 2}
    assert State.of(before).rules == {}
