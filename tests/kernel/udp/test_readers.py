"""A thread that reads without rest beside the one that sends: it is told of an error before the report of it.

The kernel wakes who reads, and reports after that; the call that sends has not ended yet then. Whoever of the
three is first, the attempt counts once.
"""

import contextlib
import errno
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters.bpf.session import Session, open_session
from netsre.adapters.bpf.udp import UdpProbe
from netsre.app.resources import directory
from netsre.datapath import udp
from netsre.datapath.probes import UDP
from tests.kernel.attempts import Place, families, outcomes
from tests.kernel.datagrams import CLOSED_PORT, REFUSED, connected, packets

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

MADE: Final = 2_000
"""Enough that every order of the three comes up."""
NEVER: Final = "0ULL"
LONG: Final = "10000000000ULL"


@pytest.fixture
def same_call() -> str:
    """Say within which time an error is taken for one of the call that ends."""
    return str(udp.DEFINES["UDP_SAME_CALL_NS"])


@pytest.fixture
def session(place: Place, same_call: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Attach the probe with that time, and detach it afterwards."""
    del place
    monkeypatch.setitem(udp.DEFINES, "UDP_SAME_CALL_NS", same_call)
    opened = open_session(directory("bpf"), probe=UDP)
    yield opened
    opened.close()


class Reader:
    """Reads from a socket without rest until it is left, and counts what it is told."""

    def __init__(self, client: socket.socket) -> None:
        """Read at once."""
        client.setblocking(False)
        self.seen: Counter[int] = Counter()
        self._client = client
        self._told = threading.Semaphore(0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="reader")
        self._thread.start()

    def wait(self) -> None:
        """Return when it was told of one more error."""
        assert self._told.acquire(timeout=30)

    def stop(self) -> None:
        """Read no more."""
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(BlockingIOError):
                try:
                    self._client.recv(10)
                except ConnectionRefusedError as error:
                    self.seen[error.errno or -1] += 1
                    self._told.release()


@contextlib.contextmanager
def read(client: socket.socket) -> Iterator[Reader]:
    """Have a socket read from beside whatever is done with it, and close it."""
    with client:
        reader = Reader(client)
        try:
            yield reader
        finally:
            reader.stop()


@families
@pytest.mark.parametrize("same_call", [NEVER], ids=["however-long-it-takes"])
def test_the_first_refusal_of_a_socket_counts_once_whoever_is_told_first(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Before it nothing was sent: it is of the call that has not ended, and no clock has a part in that."""
    seen: Counter[int] = Counter()
    for _ in range(MADE):
        client = connected(place, family, CLOSED_PORT)
        with read(client) as reader:
            client.send(b"x")
            reader.wait()
        seen += reader.seen

    assert seen == {errno.ECONNREFUSED: MADE}
    assert packets(place)[2] == MADE
    assert outcomes(probe, place) == {REFUSED: MADE}


@families
@pytest.mark.parametrize("same_call", [LONG], ids=["busy-machine"])
def test_each_refusal_of_a_socket_counts_once_whoever_is_told_first(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Each datagram after the one before was refused."""
    client = connected(place, family, CLOSED_PORT)
    with read(client) as reader:
        for _ in range(MADE):
            client.send(b"x")
            reader.wait()

    assert reader.seen == {errno.ECONNREFUSED: MADE}
    assert packets(place)[2] == MADE
    assert outcomes(probe, place) == {REFUSED: MADE}
