"""Who no rule allows, counted by names: what a reader may rely on while entries come, go and come again."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from netsre.datapath.policy.refused import Refused, Service
from netsre.datapath.policy.unexpected import IDLE_NS, MOST, WINDOW_NS, Pair, RefusedTotals, Unexpected
from netsre.model.policies.values import Direction

NAMES: Final = {1: "shop/web", 2: "shop/db"}
SECOND: Final = 10**9
NOW: Final = 10**6 * SECOND
_TABLE: Final = 7


def seen(
    address: str = "203.0.113.7",
    port: int = 443,
    endpoint: int = 1,
    *,
    denied: int = 0,
    passed: int = 0,
    at: int = NOW,
) -> Refused:
    """Return what was noted of a TCP service that an endpoint asked for."""
    service = Service(ip_address(address), port, 6)
    times = at, at if denied else 0, at if passed else 0
    return Refused(endpoint, Direction.EGRESS, service, *times, denied, passed, denied + passed)


def looked(totals: RefusedTotals, *entries: Refused, gone: int = 0, now: int = NOW) -> None:
    """Have it look."""
    totals.take(_TABLE, entries, gone, NAMES, now)


def test_packets_count_by_endpoint_and_address_from_the_first_look_on() -> None:
    """Denied and let pass apart; what was there before counts nowhere."""
    totals = RefusedTotals()
    looked(totals, seen(denied=5))
    looked(totals, seen(denied=7, passed=3), seen("2001:db8::7", denied=2, endpoint=2))

    assert totals.packets == {
        Pair("denied", "egress", "shop/web", "203.0.113.7:443/TCP"): 2,
        Pair("audited", "egress", "shop/web", "203.0.113.7:443/TCP"): 3,
        Pair("denied", "egress", "shop/db", "[2001:db8::7]:443/TCP"): 2,
    }


def test_who_asks_an_endpoint_is_counted_with_what_it_asked_for() -> None:
    """The address is the source, and no destination of the endpoint."""
    totals = RefusedTotals()
    looked(totals)
    looked(totals, replace(seen(denied=4, port=22), direction=Direction.INGRESS))

    assert totals.packets == {Pair("denied", "ingress", "203.0.113.7", "shop/web 22/TCP"): 4}
    assert not totals.destinations()


def test_an_entry_that_was_evicted_and_came_again_counts_from_its_beginning() -> None:
    """Whether somebody looked while it was gone or not."""
    totals = RefusedTotals()
    looked(totals)
    for entries in ([seen(denied=5)], [], [seen(denied=2)], [seen(denied=1)]):
        looked(totals, *entries)

    assert totals.packets.total() == 5 + 2 + 1


def test_destinations_are_those_of_the_last_minutes() -> None:
    """Each address and service once, by what became of it; an endpoint that once had one has 0."""
    totals = RefusedTotals()
    old = NOW - WINDOW_NS - 1
    entries = [
        seen(denied=5),
        seen(port=80, denied=1, passed=1),
        seen("198.51.100.1", denied=1, at=NOW - WINDOW_NS),
        seen("198.51.100.2", passed=9, at=old),
        seen(endpoint=2, denied=1, at=old),
    ]
    looked(totals, *entries)

    assert totals.destinations() == {
        Unexpected("shop/web", "denied"): 3,
        Unexpected("shop/web", "audited"): 1,
        Unexpected("shop/db", "denied"): 0,
        Unexpected("shop/db", "audited"): 0,
    }


def test_pairs_are_bounded_and_none_is_lost() -> None:
    """A scan fills the names; what is counted under others is as much as was sent."""
    totals = RefusedTotals()
    looked(totals)
    looked(totals, *(seen(port=port, denied=1) for port in range(1, 2 * MOST + 1)))

    assert len(totals.packets) == MOST + 1
    assert totals.packets[Pair("denied", "egress", "~other", "~other")] == MOST
    assert totals.packets.total() == 2 * MOST


def test_a_pair_that_was_idle_for_an_hour_gives_its_place_away() -> None:
    """To whoever comes; one that goes on keeps it."""
    totals = RefusedTotals()
    looked(totals)
    ports = range(1, MOST + 1)
    looked(totals, *(seen(port=port, denied=1) for port in ports))
    later = NOW + IDLE_NS + 1
    looked(totals, seen(port=1, denied=2), now=later)
    looked(totals, seen(port=1, denied=2), seen("198.51.100.9", denied=1), now=later)

    assert set(totals.packets) == {
        Pair("denied", "egress", "shop/web", "203.0.113.7:1/TCP"),
        Pair("denied", "egress", "shop/web", "198.51.100.9:443/TCP"),
    }


def test_endpoints_are_bounded_as_well() -> None:
    """Those that there is no place for are counted together."""
    totals = RefusedTotals()
    names = {number: f"shop/{number}" for number in range(1, MOST + 11)}
    totals.take(_TABLE, [seen(endpoint=number, denied=1) for number in names], 0, names, NOW)

    assert len(totals.destinations()) == 2 * (MOST + 1)
    assert totals.destinations()[Unexpected("~other", "denied")] == 10


def test_what_made_room_is_a_total_that_only_grows() -> None:
    """From the first look on; the kernel's sum may be a little late, and is another table's later."""
    totals = RefusedTotals()
    counts = []
    for table, gone in ((7, 100), (7, 110), (7, 108), (7, 112), (0, 0), (8, 5)):
        totals.take(table, (), gone, NAMES, NOW)
        counts.append(totals.gone)

    assert counts == [0, 10, 10, 12, 12, 17]


def test_a_datapath_that_comes_later_counts_from_its_beginning() -> None:
    """As all counters do that somebody already looks for."""
    totals = RefusedTotals()
    totals.take(0, (), 0, NAMES, NOW)
    looked(totals, seen(denied=3), gone=4)

    assert (totals.packets.total(), totals.gone) == (3, 4)
