"""The balancer of services, with real sockets: who is given to whom, and what is answered back."""

import errno
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from netsre.adapters.bpf.balance import NOTHING, Balance
from netsre.datapath.balance import layouts, maglev
from tests.kernel import balanced
from tests.kernel.balanced import ADDRESSES, SERVICE_PORT, Site, backend, both

pytestmark = [pytest.mark.requires("ip", "nft", "netns")]

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
FAMILIES = {"ipv4": (socket.AF_INET, 4), "ipv6": (socket.AF_INET6, 6), "ipv4 in ipv6": (socket.AF_INET6, 4)}
BACKENDS = 5
families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def placed() -> Iterator[tuple[Site, Balance]]:
    """Make five backends of each family and a cgroup that is balanced: once, for it takes long."""
    with balanced.site(BACKENDS) as site, balanced.balancing(site) as balance:
        yield site, balance


@pytest.fixture
def site(placed: tuple[Site, Balance]) -> Site:
    """Return where backends and sockets are."""
    return placed[0]


@pytest.fixture
def balance(placed: tuple[Site, Balance]) -> Iterator[Balance]:
    """Return the balancer with nothing in force and nothing counted, and leave it so."""
    _, balance = placed
    yield balance
    active = balance.active
    balance.switch(NOTHING)
    if active != NOTHING:
        balance.drop(active)
    events = balance.maps["balance_events"]
    for number in range(len(layouts.EVENTS)):
        events.put(layouts.NUMBER.pack(number), bytes(events.stride))
    for table in (balance.maps["balance_peers"], balance.maps["balance_counts"]):
        for key, _ in list(table.entries()):
            table.delete(key)


def target(family: str, number: int = 1) -> tuple[str, int]:
    """Return where a service is asked for, as a socket of the family writes it."""
    of, version = FAMILIES[family]
    mapped = "::ffff:" if (of, version) == (socket.AF_INET6, 4) else ""
    return mapped + ADDRESSES[version].format(number), SERVICE_PORT


def open_socket(site: Site, family: str, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of the cgroup."""
    return site.socket(FAMILIES[family][0], kind)


def expected(of: socket.socket, family: str, numbers: tuple[int, ...] = (1, 2, 3, 4, 5)) -> str:
    """Return the backend that the pure table has for a socket, by its cookie."""
    (cookie,) = struct.unpack("=Q", of.getsockopt(socket.SOL_SOCKET, balanced.COOKIE, 8))
    names = dict.fromkeys((backend(number, FAMILIES[family][1]) for number in numbers), 1)
    return maglev.table(names)[maglev.slot(cookie)]


def asked(client: socket.socket, to: tuple[str, int] | None = None) -> str:
    """Ask whoever answers for its name."""
    if to is None:
        client.send(b"?")
        return client.recv(100).decode()
    client.sendto(b"?", to)
    answer, peer = client.recvfrom(100)
    assert (ip_address(peer[0]), peer[1]) == (ip_address(to[0]), to[1])
    return answer.decode()


def force(balance: Balance, *backends: int, draining: tuple[int, ...] = ()) -> None:
    """Put a revision in force, and drop the one before."""
    before = balance.active
    balance.switch(balanced.write(balance, both(*backends, draining=draining)))
    if before:
        balance.drop(before)


def peers(balance: Balance) -> int:
    """Return how many translations are kept."""
    return len(list(balance.maps["balance_peers"].entries()))


def troubles(balance: Balance) -> dict[str, int]:
    """Return the events that should not be; what a connected socket sends may pass by its hook once more."""
    return {event: count for event, count in balance.events().items() if event != "passed"}


@families
@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_a_socket_is_connected_to_the_backend_that_its_cookie_has_in_the_table(
    site: Site, balance: Balance, family: str, kind: socket.SocketKind
) -> None:
    """Each of forty, exactly; it says that it is connected to the service, and all is counted, and freed."""
    force(balance, 1, 2, 3, 4, 5)
    given = Counter[str]()
    clients = [open_socket(site, family, kind) for _ in range(40)]
    for client in clients:
        client.connect(target(family))
        given[asked(client)] += 1
        peer = client.getpeername()
        assert (ip_address(peer[0]), peer[1]) == (ip_address(target(family)[0]), SERVICE_PORT)
    wanted = Counter(expected(client, family) for client in clients)
    kept = peers(balance)
    for client in clients:
        client.close()

    assert given == wanted
    assert len(given) == BACKENDS
    assert {one.backend: one.connections for one in balance.counts()} == wanted
    assert {(one.service, one.datagrams) for one in balance.counts()} == {("default/s1", 0)}
    assert (kept, peers(balance)) == (40, 0)
    assert set(troubles(balance).values()) == {0}


@families
def test_a_datagram_goes_to_the_backend_that_the_cookie_has_in_the_table(
    site: Site, balance: Balance, family: str
) -> None:
    """Each socket to one, however often it sends; the answer comes from the service."""
    force(balance, 1, 2, 3, 4, 5)
    clients = [open_socket(site, family, DATAGRAM) for _ in range(40)]
    for client in clients:
        assert {asked(client, target(family)) for _ in range(3)} == {expected(client, family)}
    wanted = Counter(expected(client, family) for client in clients)
    kept = peers(balance)
    for client in clients:
        client.close()

    assert {one.backend: one.datagrams for one in balance.counts()} == {
        name: 3 * count for name, count in wanted.items()
    }
    assert {one.connections for one in balance.counts()} == {0}
    assert (kept, peers(balance)) == (40, 0)


@families
def test_who_is_asked_by_their_own_address_answers_by_it(site: Site, balance: Balance, family: str) -> None:
    """Also through a socket that has asked services: each answer comes from whom it asked."""
    of, version = FAMILIES[family]
    mapped = "::ffff:" if (of, version) == (socket.AF_INET6, 4) else ""
    direct = mapped + balanced.BACKENDS[version].format(3), balanced.PORT
    balance.switch(balanced.write(balance, [*both(1), *both(2, number=2)]))
    with open_socket(site, family, DATAGRAM) as client:
        for _ in range(2):
            assert asked(client, target(family, 1)) == backend(1, version)
            assert asked(client, direct) == backend(3, version)
            assert asked(client, target(family, 2)) == backend(2, version)


@families
@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_a_connection_keeps_its_backend_whatever_becomes_of_the_service(
    site: Site, balance: Balance, family: str, kind: socket.SocketKind
) -> None:
    """Also where that is taken out, or the service is; who comes anew is given another."""
    force(balance, 1)
    with open_socket(site, family, kind) as old:
        old.connect(target(family))
        for numbers in ((2, 3), ()):
            force(balance, *numbers)
            assert asked(old) == backend(1, FAMILIES[family][1])
            assert old.getpeername()[:2] == target(family)
        force(balance, 2, 3)
        with open_socket(site, family, kind) as new:
            new.connect(target(family))
            assert asked(new) == expected(new, family, (2, 3))


@families
def test_a_socket_that_sends_keeps_its_backend_while_that_is_a_member(
    site: Site, balance: Balance, family: str
) -> None:
    """Where the table would give it another, and where it is draining; not where it is gone."""
    force(balance, 1)
    version = FAMILIES[family][1]
    with open_socket(site, family, DATAGRAM) as old, open_socket(site, family, DATAGRAM) as new:
        assert asked(old, target(family)) == backend(1, version)
        force(balance, 1, 2, 3, 4, 5)
        assert asked(old, target(family)) == backend(1, version)
        force(balance, 2, 3, draining=(1,))
        assert asked(old, target(family)) == backend(1, version)
        assert asked(new, target(family)) == expected(new, family, (2, 3))
        force(balance, 2, 3)
        assert asked(old, target(family)) == expected(old, family, (2, 3))
        kept = expected(old, family, (2, 3))
        force(balance, 1, 2, 3, 4, 5)
        assert asked(old, target(family)) == kept
        assert peers(balance) == 2


@families
def test_what_a_backend_answered_before_it_was_taken_out_comes_from_the_service(
    site: Site, balance: Balance, family: str
) -> None:
    """Read only when the socket has been given another one already."""
    force(balance, 1)
    version = FAMILIES[family][1]
    with open_socket(site, family, DATAGRAM) as client:
        client.sendto(b"?", target(family))
        assert client.recv(1, socket.MSG_PEEK)
        force(balance, 2)
        client.sendto(b"?", target(family))
        answers = [client.recvfrom(100) for _ in range(2)]

    assert [answer.decode() for answer, _ in answers] == [backend(1, version), backend(2, version)]
    assert {peer[:2] for _, peer in answers} == {target(family)}
    assert peers(balance) == 0


@families
def test_a_connection_that_failed_is_made_anew_to_who_takes_newcomers(
    site: Site, balance: Balance, family: str
) -> None:
    """By the same socket of TCP: there is nothing to be kept, as there is with UDP."""
    force(balance, 99)
    with open_socket(site, family, STREAM) as client:
        assert client.connect_ex(target(family)) == errno.ENETUNREACH
        force(balance, 2, draining=(99,))
        client.connect(target(family))
        assert asked(client) == backend(2, FAMILIES[family][1])
        assert client.getpeername()[:2] == target(family)

    assert peers(balance) == 0


@families
@pytest.mark.parametrize("drained", [(), (1, 2)])
def test_a_service_without_a_backend_for_newcomers_is_refused(
    site: Site, balance: Balance, family: str, drained: tuple[int, ...]
) -> None:
    """At once, as a host that nobody can reach; it is counted, and nothing is sent."""
    force(balance, draining=drained)
    with open_socket(site, family, STREAM) as stream, open_socket(site, family, DATAGRAM) as datagram:
        assert stream.connect_ex(target(family)) == errno.EHOSTUNREACH
        assert datagram.connect_ex(target(family)) == errno.EHOSTUNREACH
        with pytest.raises(OSError, match="No route to host"):
            datagram.sendto(b"?", target(family))
        force(balance, 3)
        stream.connect(target(family))
        assert asked(stream) == backend(3, FAMILIES[family][1])

    refused = [one for one in balance.counts() if not one.backend]
    assert sorted((one.connections, one.datagrams) for one in refused) == [(1, 0), (1, 1)]


def test_what_is_no_service_passes(site: Site, balance: Balance) -> None:
    """A backend itself, and a port beside the service's; uncounted before anything is in force."""
    where = balanced.BACKENDS[4].format(2), balanced.PORT
    for _ in range(2):
        with open_socket(site, "ipv4", STREAM) as client, open_socket(site, "ipv4", DATAGRAM) as sender:
            client.connect(where)
            assert asked(client) == asked(sender, where) == backend(2, 4)
            assert client.getpeername() == where
            assert sender.connect_ex((ADDRESSES[4].format(1), SERVICE_PORT + 1)) in {0, errno.ENETUNREACH}
        passed = balance.events()["passed"]
        force(balance, 1)

    assert passed == 3
    assert (balance.counts(), peers(balance)) == ([], 0)


def test_only_the_cgroup_is_balanced(site: Site, balance: Balance) -> None:
    """A socket of the same namespace that was made outside is not."""
    force(balance, 1)
    outside: list[socket.socket] = []
    site.place.run(lambda: outside.append(socket.socket()))
    with outside[0] as client:
        assert client.connect_ex(target("ipv4")) == errno.ENETUNREACH

    assert balance.counts() == []


def test_a_socket_that_asks_many_services_is_answered_by_the_first_eight(
    site: Site, balance: Balance
) -> None:
    """All get what it sends; the others answer by the addresses of their backends, and are counted."""
    first, last = range(1, layouts.PLACES + 1), range(layouts.PLACES + 1, layouts.PLACES + 3)
    listed = [*(both(1, number=number) for number in first), *(both(2, number=number) for number in last)]
    balance.switch(balanced.write(balance, [frontend for each in listed for frontend in each]))
    with open_socket(site, "ipv4", DATAGRAM) as client:
        shown = []
        for number in (*first, *last):
            client.sendto(b"?", target("ipv4", number))
            shown.append(client.recvfrom(100)[1])
        kept = peers(balance)

    # Of services with one backend the one that was asked first is taken for the one who answers.
    assert shown == [target("ipv4")] * len(first) + [(balanced.BACKENDS[4].format(2), balanced.PORT)] * 2
    assert balance.events()["peers_full"] == 2
    assert (kept, peers(balance)) == (layouts.PLACES, 0)


def test_a_full_table_of_translations_costs_the_address_and_not_the_connection(
    site: Site, balance: Balance
) -> None:
    """Who finds no room is connected all the same, sees the backend's address, and is counted."""
    force(balance, 1)
    table = balance.maps["balance_peers"]
    for number in range(table.capacity):
        table.put(layouts.PEER_KEY.pack(1 << 63 | number, 0, 0), bytes(table.value_size))
    with open_socket(site, "ipv4", STREAM) as client, open_socket(site, "ipv4", DATAGRAM) as sender:
        client.connect(target("ipv4"))
        assert asked(client) == backend(1, 4)
        assert client.getpeername() == (balanced.BACKENDS[4].format(1), balanced.PORT)
        sender.sendto(b"?", target("ipv4"))
        assert sender.recvfrom(100)[0].decode() == backend(1, 4)
    usage = {one.name: one for one in balance.usage()}["balance_peers"]

    assert (usage.entries, usage.overflows) == (table.capacity, 2)


def test_a_full_table_of_counters_costs_the_counter_and_not_the_connection(
    site: Site, balance: Balance
) -> None:
    """What finds no room there is connected or refused all the same, and counted together."""
    one, none = (balanced.write(balance, both(*backends)) for backends in ((1,), ()))
    table = balance.maps["balance_counts"]
    for number in range(table.capacity):
        table.put(layouts.COUNT_KEY.pack(1 << 31, number), bytes(table.stride))
    balance.switch(one)
    with open_socket(site, "ipv4", STREAM) as client, open_socket(site, "ipv6", STREAM) as other:
        client.connect(target("ipv4"))
        assert asked(client) == backend(1, 4)
        balance.switch(none)
        assert other.connect_ex(target("ipv6")) == errno.EHOSTUNREACH
    balance.drop(one)

    assert (balance.counts(), troubles(balance)["counts_full"]) == ([], 2)


def test_what_is_wrong_inside_lets_the_call_pass_and_is_counted(site: Site, balance: Balance) -> None:
    """A backend, and then a table, that is missing: the call is made as it was asked for."""
    force(balance, 1)
    for name in ("balance_backends", "balance_tables"):
        table = balance.maps[name]
        for key, _ in list(table.entries()):
            table.delete(key)
        with open_socket(site, "ipv4", STREAM) as client:
            assert client.connect_ex(target("ipv4")) == errno.ENETUNREACH

    assert balance.events()["broken"] == 2
