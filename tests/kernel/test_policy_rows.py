"""Counters are rows that connections remember: each is one's alone, and is given again when it is free."""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from bench.policy_frames import SYN, TCP, frame, tcp
from bench.policy_rig import CAPACITIES, CountKey, Rig, loaded
from netsre.adapters.bpf import policy_counts
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import programs, resolve
from netsre.datapath.policy.layouts import LAST_ROW, ROW
from tests.unit.policy.cluster import ENDPOINTS, address, kubernetes, read

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

_PORTS: Final = range(9000, 9040)
_PEERS: Final = ("x/b", "x/c", "y/a", "y/b", "y/c", "z/a", "z/b", "z/c")
_ROUNDS: Final = 20


def allowing(port: int) -> str:
    """Return a rule of its own for a port."""
    return f"{{ports: [{{port: {port}}}]}}"


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs, with a rule for each port."""
    rules = ", ".join(map(allowing, _PORTS))
    spec = f"podSelector: {{matchLabels: {{pod: a}}}}\npolicyTypes: [Ingress]\ningress: [{rules}]"
    with loaded(policy_template, CAPACITIES) as made:
        made.write(resolve.resolve(read(kubernetes(spec)), ENDPOINTS, {}), ENDPOINTS, 1)
        yield made


def openings(first: int = 1000) -> list[bytes]:
    """Return first packets of connections that are all counted apart."""
    return [
        frame(address(peer, 4), address("x/a", 4), TCP, tcp(first, port, SYN))
        for peer in _PEERS
        for port in _PORTS
    ]


def packets(rig: Rig) -> Counter[CountKey]:
    """Return how many packets were counted, by what became of them."""
    return Counter({key: count.packets for key, count in rig.counts().items()})


def rows(rig: Rig) -> list[int]:
    """Return the rows that are given."""
    return [ROW.unpack(value)[0] for _, value in rig.map(programs.ROWS).entries()]


def last_row(rig: Rig) -> int:
    """Return the last row that was ever given."""
    return int(LAST_ROW.unpack(rig.map(programs.LAST_ROW).lookup(bytes(4)) or b"")[0])


def take_all(rig: Rig) -> int:
    """Take all counters out, as for connections that are gone; return the packets that they had."""
    known = packets(rig)
    rig.forget(programs.CONNECTIONS)
    taken = list(policy_counts.take(rig.datapath.maps, [key for key, _ in rig.map(programs.ROWS).entries()]))
    assert len(taken) == len(known)
    return known.total()


def test_a_row_that_was_given_back_is_given_again_and_begins_at_nothing(rig: Rig) -> None:
    """However often all rules change: no more rows than counters at one time, and every packet is one's."""
    for number in range(_ROUNDS):
        for packet in openings(1000 + number):
            rig.arrives(packet)
        assert set(packets(rig).values()) == {1}
        take_all(rig)

    assert rig.counts() == {}
    assert last_row(rig) == len(openings())


def test_processors_that_begin_at_once_share_no_row_and_lose_no_packet(rig: Rig) -> None:
    """Each runs the same packets in another order, so that they meet at new counters."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor alone races with nobody")
    told = openings()
    ready = threading.Barrier(2)

    def keep_running(processor: int, mine: Sequence[bytes]) -> None:
        os.sched_setaffinity(threading.get_native_id(), {processor})
        ready.wait()
        for packet in mine:
            rig.arrives(packet)

    total = 0
    for number in range(_ROUNDS):
        shifted = told[number:] + told[:number]
        threads = [
            threading.Thread(target=keep_running, args=pair)
            for pair in zip(sorted(os.sched_getaffinity(0))[:2], (told, shifted), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        given = rows(rig)
        assert len(given) == len(set(given)) == len(told)
        assert set(packets(rig).values()) == {2}
        total += take_all(rig)

    assert total == 2 * len(told) * _ROUNDS
    # Who came second gave the row back that it had taken.
    assert last_row(rig) <= 2 * len(told)
