"""Connections to services, exactly, by what balanced them: beside what nftables counted of each."""

import contextlib
import errno
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from netsre.adapters.bpf import attaching
from netsre.adapters.bpf.services import ServiceProbe
from netsre.adapters.bpf.session import Session, open_session
from netsre.adapters.bpf.syscalls import fdinfo
from netsre.app.resources import directory
from netsre.datapath import services
from netsre.datapath.probes import SERVICES
from netsre.datapath.services import Service
from tests.kernel.attempts import DROPPED_PORT
from tests.kernel.balancer import Balancer
from tests.kernel.cgroups import cgroup, hierarchy
from tests.kernel.service_traffic import (
    BALANCED,
    LOOPBACK,
    PLAIN,
    PORTS,
    REFUSED,
    SERVICE_PORT,
    TCP,
    TRANSLATED,
    UDP,
    everywhere,
    mapped,
    site,
    target,
)

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

PLAIN_BEFORE = 1 << 3
"""Before the other programs of its cgroup, behind those that come before the cgroups below."""
OURS = frozenset(
    service for where in (BALANCED, TRANSLATED, REFUSED) for service in everywhere(where, SERVICE_PORT)
)
BACKENDS: dict[Service, Service | None] = {
    Service(BALANCED[version], SERVICE_PORT, protocol): Service(
        LOOPBACK[version], PORTS["balanced"], protocol
    )
    for version in (4, 6)
    for protocol in (TCP, UDP)
} | dict.fromkeys(everywhere(REFUSED, SERVICE_PORT))
TO_BALANCED = [
    target(service.address, service.port, service.protocol) for service in everywhere(BALANCED, SERVICE_PORT)
]


@contextlib.contextmanager
def probing(known: frozenset[Service] = OURS) -> Iterator[ServiceProbe]:
    """Load and attach a probe that knows some services, and take it away again."""
    session = open_session(directory("bpf"), probe=SERVICES)
    try:
        probe = ServiceProbe(session)
        probe.know(known)
        session.attach_on_demand()
        yield probe
    finally:
        session.close()


@contextlib.contextmanager
def balancing() -> Iterator[Balancer]:
    """Load the test's balancer, attached nowhere yet."""
    balancer = Balancer(BACKENDS)
    try:
        yield balancer
    finally:
        balancer.close()


def counted(probe: ServiceProbe) -> Counter[tuple[Service, str]]:
    """Return what the probe counted, by service and path."""
    return Counter({(count.service, count.path): count.connections for count in probe.counts()})


def test_each_connection_is_counted_once_by_what_balanced_it() -> None:
    """1,000 of each kind, in mixed order from four processes: both families, TCP and UDP, IPv4 in IPv6."""
    to_translated = [
        target(one.address, one.port, one.protocol) for one in everywhere(TRANSLATED, SERVICE_PORT)
    ]
    to_nothing = [target(one.address, one.port, one.protocol) for one in everywhere(PLAIN, PORTS["plain"])]
    with site() as there, balancing() as balancer, probing() as probe:
        with balancer.attached(hierarchy()):
            probe.keep_order()
            there.connect([*TO_BALANCED, *to_translated, *to_nothing], 250, 4)
            once = counted(probe)
            seen = there.seen()
            in_six = [mapped(one) for one in (*TO_BALANCED, *to_translated) if ":" not in one.address]
            there.connect(in_six, 23, 1)
        again = counted(probe) - once
        overflowed = probe.overflowed()

    assert once == Counter(
        {(one, "bpf"): 1000 for one in everywhere(BALANCED, SERVICE_PORT)}
        | {(one, "other"): 1000 for one in everywhere(TRANSLATED, SERVICE_PORT)}
    )
    assert set(seen.values()) == {1000}
    assert len(seen) == len(TO_BALANCED) + len(to_translated) + len(to_nothing)
    assert again == Counter(
        {
            (Service(address[4], SERVICE_PORT, protocol), path): 23
            for address, path in ((BALANCED, "bpf"), (TRANSLATED, "other"))
            for protocol in (TCP, UDP)
        }
    )
    assert overflowed == {"bpf": 0, "other": 0}


@pytest.mark.parametrize(
    "place", ["before ours", "behind ours", "before others", "of a child", "first of a child"]
)
def test_a_balancer_is_seen_wherever_it_stands(place: str) -> None:
    """At the root or in a cgroup below it, attached before the probe or behind it: what it did is seen."""
    flags = {"before others": PLAIN_BEFORE, "first of a child": attaching.FIRST}.get(place, 0)
    with (
        site() as there,
        balancing() as balancer,
        cgroup("services") as child,
        contextlib.ExitStack() as stack,
    ):
        where = child.directory if "child" in place else hierarchy()
        attached = balancer.attached(where, flags)
        if place == "before ours":
            stack.enter_context(attached)
        probe = stack.enter_context(probing())
        if place != "before ours":
            stack.enter_context(attached)
        probe.keep_order()
        there.connect(TO_BALANCED, 23, 1, child.directory)
        found, seen = counted(probe), there.seen()

    assert found == Counter({(one, "bpf"): 23 for one in everywhere(BALANCED, SERVICE_PORT)})
    assert {name: packets for name, packets in seen.items() if packets} == {
        f"{protocol}{version}_balanced": 23 for protocol in ("tcp", "udp") for version in (4, 6)
    }


def test_a_refused_connect_is_none_and_leaves_nothing_behind() -> None:
    """Neither is it counted, nor what the same thread connects to next, which is no service."""
    refused = [
        target(one.address, one.port, one.protocol, fails=True) for one in everywhere(REFUSED, SERVICE_PORT)
    ]
    to_nothing = [target(one.address, one.port, one.protocol) for one in everywhere(PLAIN, PORTS["plain"])]
    with site() as there, balancing() as balancer, probing() as probe, balancer.attached(hierarchy()):
        probe.keep_order()
        there.connect([*refused, *to_nothing], 250, 2)
        found, waiting = counted(probe), list(probe.session.maps["service_calls"].entries())

    assert found == Counter()
    assert waiting == []


def test_a_call_that_begins_nothing_new_is_not_counted() -> None:
    """To ask again while a connection is under way is none; to connect a UDP socket anew is one."""
    silent = everywhere(BALANCED, DROPPED_PORT)
    with site() as there, probing(frozenset(silent)) as probe:

        def connect() -> None:
            for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
                where = (str(BALANCED[version]), DROPPED_PORT)
                with socket.socket(family) as client:
                    client.setblocking(False)
                    said = [client.connect_ex(where) for _ in range(3)]
                    assert said == [errno.EINPROGRESS, errno.EALREADY, errno.EALREADY]
                with socket.socket(family, socket.SOCK_DGRAM) as client:
                    client.connect(where)
                    client.connect(where)
                    client.send(b"x")
                with socket.socket(family, socket.SOCK_DGRAM) as client:
                    client.sendto(b"x", where)

        there.place.run(connect)
        found = counted(probe)

    assert found == Counter({(one, "other"): 1 if one.protocol == TCP else 2 for one in silent})


def test_moving_the_programs_loses_and_doubles_nothing() -> None:
    """Two hundred times to the end and to the front while connections are made: each is counted once."""
    with site() as there, balancing() as balancer, probing() as probe, balancer.attached(hierarchy()):
        probe.keep_order()
        work = threading.Thread(target=there.connect, args=(TO_BALANCED, 500, 2))
        work.start()
        moves = 0
        while work.is_alive() or moves < 200:
            for program in SERVICES.programs:
                probe.session.move(program.name)
            moves += 1
        work.join()
        found, seen = counted(probe), there.seen()

    assert found == Counter({(one, "bpf"): 1000 for one in everywhere(BALANCED, SERVICE_PORT)})
    assert {packets for packets in seen.values() if packets} == {1000}


def _orders() -> list[list[int]]:
    return list(attaching.orders(("connect4", "connect6")).values())


def _outermost(session: Session) -> bool:
    """Tell whether all programs of a session are before or behind all others, in both families."""
    ids = {name: int(fdinfo(fd)["prog_id"]) for name, fd in session.program_fds.items()}
    return all(
        (order[0], order[-1]) == (ids[f"netsre_svc_a{family}"], ids[f"netsre_svc_l{family}"])
        for family, order in zip((4, 6), _orders(), strict=True)
    )


def test_programs_go_beyond_whoever_came_later() -> None:
    """Also beyond one that went away and came back; once they are there nothing moves."""
    with probing() as probe, balancing() as balancer:
        for _ in range(2):
            with balancer.attached(hierarchy()), balancer.attached(hierarchy(), attaching.FIRST):
                assert not _outermost(probe.session)
                probe.keep_order()
                assert _outermost(probe.session)
                kept = _orders()
                probe.keep_order()
                assert _orders() == kept
            probe.keep_order()


def test_two_agents_come_to_rest_beyond_a_balancer() -> None:
    """Each passes the other once; then both leave it at that, and see the same."""
    with site() as there, probing() as first, probing() as second, balancing() as balancer:
        for probe in (first, second, first, second):
            probe.keep_order()
        rest = _orders()
        first.keep_order()
        assert _orders() == rest
        with balancer.attached(hierarchy()):
            for probe in (first, second, first, second):
                probe.keep_order()
            rest = _orders()
            first.keep_order()
            assert _orders() == rest
            there.connect(TO_BALANCED, 23, 1)
        found = counted(first), counted(second)

    expected = Counter({(one, "bpf"): 23 for one in everywhere(BALANCED, SERVICE_PORT)})
    assert found == (expected, expected)


def test_a_full_table_of_counters_costs_the_service_and_not_the_path() -> None:
    """Connections that find no room are counted by path, and named as such."""
    to_translated = [
        target(one.address, one.port, one.protocol) for one in everywhere(TRANSLATED, SERVICE_PORT)
    ]
    with site() as there, balancing() as balancer, probing() as probe, balancer.attached(hierarchy()):
        probe.keep_order()
        table = probe.session.maps["service_counts"]
        for number in range(table.capacity):
            table.put(struct.pack("<QQHHI", number, 1, 1, 6, 0), bytes(table.stride))
        there.connect([*TO_BALANCED, *to_translated], 23, 1)
        overflowed, usage = probe.overflowed(), {one.name: one for one in probe.usage()}

    assert overflowed == {"bpf": 92, "other": 92}
    assert usage["service_counts"].overflows == 184


def test_a_connection_that_cannot_be_followed_is_counted_as_lost() -> None:
    """Where more threads are in the middle of a call than there is room for: no path is made up."""
    with site() as there, probing() as probe:
        table = probe.session.maps["service_calls"]
        for number in range(table.capacity):
            # No thread has such a number.
            table.put(struct.pack("<Q", 1 << 63 | number), bytes(table.value_size))
        there.connect([target(TRANSLATED[4], SERVICE_PORT, TCP)], 23, 1)
        found, usage = counted(probe), {one.name: one for one in probe.usage()}

    assert found == Counter()
    assert usage["service_calls"].overflows == 23


def test_more_services_than_there_is_room_for_are_counted_as_left_out() -> None:
    """The others are known all the same, and one that goes makes room."""
    many = [Service(PLAIN[4] + number, 1, TCP) for number in range(services.MAX_SERVICES + 3)]
    with probing(frozenset()) as probe:
        probe.know(frozenset(many))
        left_out = {one.name: one.overflows for one in probe.usage()}["services"]
        probe.know(frozenset(many[3:]))
        known = {key for key, _ in probe.session.maps["services"].entries()}

    assert left_out == 3
    assert known == {service.key for service in many[3:]}


def test_nothing_is_attached_before_somebody_asks_for_it() -> None:
    """Loaded with the others, it costs nobody's connect anything until there are services."""
    session = open_session(directory("bpf"), probe=SERVICES)
    try:
        loaded, attached = len(session.program_fds), session.attached
        ids = {int(fdinfo(fd)["prog_id"]) for fd in session.program_fds.values()}
        there = {number for order in _orders() for number in order} & ids
    finally:
        session.close()

    assert (loaded, attached, there) == (4, 0, set())
