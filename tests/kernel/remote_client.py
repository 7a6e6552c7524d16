"""A TCP client that is no socket of this kernel: to the probe it is as one on another machine.

It speaks by a raw socket. The kernel below it knows nothing of its connections and would reset them: a rule
drops the resets that leave its address and are not its own.
"""

import contextlib
import itertools
import secrets
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from netsre.adapters import namespaces
from tests.kernel import firewall

_HEADER: Final = struct.Struct("!HHIIBBHHH")
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_WORD_BYTES: Final = 4
_CHECKSUM_AT: Final = 16
_IPV6_CHECKSUM: Final = 7
"""Where the kernel is to put the checksum: an option of IPv6 sockets."""
_PATIENCE: Final = 5.0
_FIRST_PORT: Final = 10_000
_PORTS: Final = 50_000


class Segment(NamedTuple):
    """What a server answered."""

    flags: int
    sequence: int
    acknowledged: int


class Half(NamedTuple):
    """A handshake whose last step is still to come."""

    port: int
    server_port: int
    sequence: int
    answer: Segment


@dataclass(slots=True)
class RemoteClient:
    """Opens connections from one address to one server."""

    wire: socket.socket
    own: str
    server: str
    first_sequence: int | None = None
    """What every connection begins at; by chance if there is none."""
    ports: Iterator[int] = field(
        default_factory=lambda: itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _PORTS))
    )

    def connect(self, port: int) -> bool:
        """Say whether the server took a connection; it is left open."""
        half = self.begin(port)
        if half is None:
            return False
        self.finish(half)
        return True

    def begin(self, port: int) -> Half | None:
        """Go as far as the server's answer; None where that was a reset."""
        here, sequence = next(self.ports), self.first_sequence
        if sequence is None:
            sequence = secrets.randbits(32)
        self.ask(here, port, sequence)
        answer = self._answer(here, port)
        return None if answer.flags & _RST else Half(here, port, sequence, answer)

    def ask(self, here: int, port: int, sequence: int) -> None:
        """Send the first segment of a connection."""
        self._send(here, port, sequence, 0, _SYN)

    def finish(self, half: Half) -> None:
        """Take the last step of a handshake."""
        self._send(half.port, half.server_port, half.sequence + 1, half.answer.sequence + 1, _ACK)

    def reset(self, half: Half) -> None:
        """Give up a handshake."""
        self._send(half.port, half.server_port, half.sequence + 1, 0, _RST)

    def meet(self, here: int, there: int) -> None:
        """Open a connection with one who opens it as well, and has sent its SYN to a port of ours."""
        asked, sequence = self._answer(here, there), secrets.randbits(32)
        self.ask(here, there, sequence)
        self._answer(here, there)
        self._send(here, there, sequence + 1, asked.sequence + 1, _ACK)

    def _send(self, here: int, there: int, sequence: int, acknowledged: int, flags: int) -> None:
        length = _HEADER.size // _WORD_BYTES << 4
        numbers = sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF
        segment = bytearray(_HEADER.pack(here, there, *numbers, length, flags, 65_535, 0, 0))
        if self.wire.family == socket.AF_INET:
            ends = socket.inet_aton(self.own) + socket.inet_aton(self.server)
            pseudo = ends + struct.pack("!HH", socket.IPPROTO_TCP, len(segment))
            struct.pack_into("!H", segment, _CHECKSUM_AT, _checksum(pseudo + segment))
        self.wire.sendto(segment, (self.server, 0))

    def _answer(self, here: int, there: int) -> Segment:
        while select.select([self.wire], [], [], _PATIENCE)[0]:
            packet = self.wire.recv(2_048)
            if self.wire.family == socket.AF_INET:
                packet = packet[(packet[0] & 15) * _WORD_BYTES :]
            source, destination, sequence, acknowledged, _, flags, *_ = _HEADER.unpack_from(packet)
            if (source, destination) == (there, here) and flags & (_SYN | _RST):
                return Segment(flags, sequence, acknowledged)
        raise AssertionError(f"no answer from port {there} within {_PATIENCE:.0f} s")


def _checksum(data: bytes) -> int:
    total: int = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@contextlib.contextmanager
def remote_client(namespace: str, own: str, server: str) -> Iterator[RemoteClient]:
    """Make one at an address of a namespace, and have its kernel stay silent for it."""
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    chain = f"silent-{own.replace(':', '-').replace('.', '-')}"
    address = f"{'ip6' if family == socket.AF_INET6 else 'ip'} saddr {own}"
    hook = "type filter hook output priority 0;"
    firewall.load(namespace, f"chain {chain} {{ {hook} {address} meta mark 0 tcp flags & rst == rst drop; }}")

    def raw() -> socket.socket:
        return socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)

    with namespaces.inside(namespace, raw) as wire:
        # More than any burst of ours: what finds no room is an answer that we wait for.
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        if family == socket.AF_INET6:
            wire.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, _CHECKSUM_AT)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)
        wire.bind((own, 0))
        yield RemoteClient(wire, own, server)
