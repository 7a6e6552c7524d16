"""Where a source comes in, and which sources must not be blocked: answers of the kernel's own routes."""

import functools
from collections.abc import Callable, Iterator

import pytest

from netsre.adapters import conntrack, namespaces
from netsre.errors import BadInput
from netsre.model.effects import Route
from tests.kernel import tracked_link
from tests.kernel.tracked_link import CLIENTS, IPV4, IPV6, Link

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


@pytest.mark.parametrize(
    "source", ["", "198.18.91", "198.18.91.0/24", "fe80::1%eth0", "client", "0x7f000001"]
)
@pytest.mark.parametrize("work", [conntrack.flush, conntrack.route])
def test_what_is_no_address_is_refused(work: Callable[[str], object], source: str) -> None:
    """Nothing is deleted or looked up for it."""
    with pytest.raises(BadInput, match="source"):
        work(source)


ROUTES = """
route add default nexthop via 198.18.91.3 nexthop via 198.18.91.4
route add 203.0.113.0/24 via 198.18.91.2
route add blackhole 192.0.2.0/25
route add unreachable 192.0.2.128/25
route add prohibit 198.51.100.0/24
route add default via 198.18.91.5 table 77
"""
ROUTES_OF_IPV6 = """
route add 2001:db8::/48 via fd4e:7372:655b::2
route add default via fd4e:7372:655b::3
route add blackhole 2001:db8:1::/48
"""


@pytest.mark.parametrize(
    ("source", "route"),
    [
        (CLIENTS[0], Route("eth0", "")),
        (CLIENTS[3], Route("eth0", "")),
        ("203.0.113.9", Route("eth0", "")),
        ("8.8.8.8", Route("eth0", "")),
        ("2001:db8::9", Route("eth0", "")),
        (CLIENTS[1], Route("eth0", "gateway")),
        (CLIENTS[2], Route("eth0", "gateway")),
        ("198.18.91.5", Route("eth0", "gateway")),
        (CLIENTS[4], Route("eth0", "gateway")),
        (IPV4, Route("lo", "own_address")),
        (IPV6, Route("lo", "own_address")),
        ("198.18.91.255", Route("eth0", "broadcast")),
        ("127.0.0.1", Route("", "loopback")),
        ("127.9.9.9", Route("", "loopback")),
        ("::1", Route("", "loopback")),
        ("0.0.0.0", Route("", "unspecified")),
        ("::", Route("", "unspecified")),
        ("224.0.0.5", Route("", "multicast")),
        ("ff02::1", Route("", "multicast")),
        ("fe80::1", Route("", "link_local")),
        ("192.0.2.1", Route("", "unroutable")),
        ("192.0.2.129", Route("", "unroutable")),
        ("198.51.100.1", Route("", "unroutable")),
        ("2001:db8:1::1", Route("", "unroutable")),
    ],
)
def test_where_a_source_comes_in_and_why_it_must_not_be_blocked(
    routed: Link, source: str, route: Route
) -> None:
    """Clients may be blocked, near and far; what the namespace itself lives by may not."""
    assert namespaces.inside(routed.server, lambda: conntrack.route(source)) == route


@pytest.fixture(scope="module")
def routed() -> Iterator[Link]:
    """Make one link for all lookups, whose server has routes of every kind."""
    with tracked_link.link("routed") as one:
        namespaces.run(one.server, ["ip", "-batch", "-"], ROUTES).check_returncode()
        namespaces.run(one.server, ["ip", "-6", "-batch", "-"], ROUTES_OF_IPV6).check_returncode()
        yield one


def test_without_a_route_there_is_nobody_to_block() -> None:
    """An address that nothing leads to is unroutable, of either family."""
    with tracked_link.link("bare") as link:
        for source in ("8.8.8.8", "2001:db8::1"):
            found = namespaces.inside(link.server, functools.partial(conntrack.route, source))
            assert found == Route("", "unroutable")
