"""Packets that nobody should send, by the hundred thousand, through the policy programs in the kernel.

Each is another one: frames that are cut, changed in some bytes, grown, joined with others, or noise. Of every
run it must hold that the packet passes or is dropped, that it is counted exactly once, and that nothing is
dropped that does not have the address of an isolated endpoint in it. The last quarter comes from this one's
interface, where other sources are forged.
"""

import errno
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.lab_process import Broken
from bench.policy_frames import (
    ACK,
    AUTHENTICATION,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    MORE,
    OPTIONS,
    ROUTING,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    ethernet,
    icmp,
    ip,
    ipv4,
    ipv6,
    piece_of,
    sctp,
    tcp,
    udp,
)  # fmt: skip
from bench.policy_rig import ALLOWED, AUDITED, DENIED, Rig, loaded
from netsre.datapath.block import source_key
from netsre.datapath.policy import resolve
from netsre.datapath.policy.conntrack import Event
from netsre.model.policies import endpoints, files
from netsre.model.policies.values import Direction

ABOUT: Final = """\
Each round has the kernel run the policy programs on hostile packets. It holds when each passes
or is dropped, each is counted once, and none is dropped that has no isolated endpoint in it."""
ROUND: Final = 100_000
_ADDRESSES: Final = {4: ("10.0.1.1", "10.0.1.2", "192.0.2.1"), 6: ("fd00:1::1", "fd00:1::2", "2001:db8::1")}
_ENDPOINTS: Final = endpoints.parse(
    {
        "endpoints.yaml": "- {name: a, namespace: x, labels: {pod: a}, ips: [10.0.1.1, 'fd00:1::1'],"
        " interface: a}\n"
        "- {name: b, namespace: x, labels: {pod: b}, ips: [10.0.1.2, 'fd00:1::2']}\n"
    }
)
_POLICIES: Final = files.parse(
    {
        "policies.yaml": """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec:
  podSelector: {matchLabels: {pod: a}}
  policyTypes: [Ingress, Egress]
  ingress: [{ports: [{port: 80}, {protocol: UDP, port: 53}]}]
  egress: [{ports: [{port: 443}]}]
"""
    }
)
_ISOLATED: Final = tuple(source_key(ips[0]) for ips in _ADDRESSES.values())
_ISOLATED_ON_WIRE: Final = (_ISOLATED[0][12:], _ISOLATED[1])
_WAYS: Final = tuple(Direction)
_FULL: Final = frozenset({Event.CONNECTIONS_FULL})
"""Beside the count of the packet itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of so many packets."""

    ran: int
    """Different ones that the kernel took; of a cut IP header without tags its test run takes none."""
    dropped: int
    known: int
    """Passed or dropped as a policy says, and counted by rule."""
    unreadable: int
    """Without addresses, or without ports."""
    forged: int
    """Dropped, as their sources are not those of the interface."""


def _bases() -> Iterator[bytes]:
    """Yield frames that are as they should be."""
    empty = bytes(7)
    for version, (a, b, world) in _ADDRESSES.items():
        number, kinds = {4: (ICMP, (0, 3, 8, 11, 13)), 6: (ICMPV6, (1, 2, 128, 129, 135))}[version]
        for source, destination in ((a, b), (b, a), (a, world), (world, a), (a, a), (b, world)):
            inner = ip(destination, source, TCP, tcp(443, 1000))
            bodies = [
                *((TCP, tcp(1000, port, flags)) for port in (80, 81, 443) for flags in (SYN, ACK, RST)),
                *((UDP, udp(1000, port, bytes(20))) for port in (53, 54)),
                *((number, icmp(kind, 7, inner)) for kind in kinds),
                (SCTP, sctp(1000, 9)),
                (47, bytes(8)),
            ]
            for protocol, body in bodies:
                yield ethernet(ip(source, destination, protocol, body))
                yield ethernet(ip(source, destination, protocol, body), (0x8100,))
                yield ethernet(ip(source, destination, protocol, body), (0x88A8, 0x8100))
            if version == 4:
                yield ethernet(ipv4(source, destination, TCP, tcp(1, 80), options=b"\x01" * 40))
                for piece in (MORE, MORE | 3, 3, 0x1FFF):
                    yield ethernet(ipv4(source, destination, UDP, udp(1, 53), piece=piece, identification=7))
                continue
            chains = [
                [(HOP_BY_HOP, empty), (ROUTING, empty), (OPTIONS, empty)],
                [(AUTHENTICATION, b"\x04" + bytes(22)), (OPTIONS, empty)],
                [(OPTIONS, empty)] * 9,
                *([piece_of(offset, 7, more=more)] for offset in (0, 3) for more in (True, False)),
            ]
            for chain in chains:
                yield ethernet(ipv6(source, destination, UDP, udp(1, 53), chain))


def _cut(chance: random.Random, frame: bytearray, _other: bytes) -> None:
    del frame[chance.randrange(15, len(frame) + 1) :]


def _changed(chance: random.Random, frame: bytearray, _other: bytes) -> None:
    # Whoever changes an address is soon nobody's packet: more of them change what comes after it.
    first = min(chance.choice((12, 34, 54)), len(frame) - 1)
    for _ in range(chance.randrange(1, 9)):
        frame[chance.randrange(first, len(frame))] = chance.choice((0, 0xFF, 0x80, chance.randrange(256)))


def _grown(chance: random.Random, frame: bytearray, _other: bytes) -> None:
    at = chance.randrange(12, len(frame))
    frame[at:at] = chance.randbytes(chance.randrange(1, 40))


def _joined(chance: random.Random, frame: bytearray, other: bytes) -> None:
    at = chance.randrange(14, len(frame) + 1)
    frame[at:] = other[chance.randrange(0, len(other)) :] or b"\0"


def _noise(chance: random.Random, frame: bytearray, _other: bytes) -> None:
    frame[chance.randrange(14, 40) :] = chance.randbytes(chance.randrange(1, 200))


_Change = Callable[[random.Random, bytearray, bytes], None]
_CHANGES: Final[tuple[_Change, ...]] = (_cut, _changed, _changed, _changed, _grown, _joined, _noise)


def frames(chance: random.Random, count: int) -> Iterator[bytes]:
    """Yield so many frames, no two of them the same."""
    bases = list(_bases())
    seen: set[int] = set()
    while len(seen) < count:
        frame = bytearray(chance.choice(bases))
        for _ in range(chance.choice((1, 1, 1, 2))):
            chance.choice(_CHANGES)(chance, frame, chance.choice(bases))
            # A frame has an Ethernet header and a byte behind it, or is none.
            frame += bytes(max(0, 15 - len(frame)))
        made = bytes(frame)
        if hash(made) not in seen:
            seen.add(hash(made))
            yield made


def attack(rig: Rig, chance: random.Random, count: int) -> Outcome:
    """Run hostile packets through a rig that nobody used; raises `Broken` where a claim does not hold."""
    rig.write(resolve.resolve(_POLICIES, _ENDPOINTS, {}), _ENDPOINTS, 1)
    ran = dropped = 0
    for frame in frames(chance, count):
        way = _WAYS[ran % 2]
        at_home = ran > count * 3 // 4
        if at_home:
            rig.comes_from("a")
        try:
            passed = rig.passes(way, frame)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            continue
        ran += 1
        if not passed:
            dropped += 1
            may_be_forged = at_home and way is Direction.EGRESS
            has_reason = may_be_forged or any(own in frame for own in _ISOLATED_ON_WIRE)
            _require(has_reason, f"{way} drops {frame.hex()}")
    events, counts = rig.events(), rig.counts()
    by_rule = dict.fromkeys((ALLOWED, DENIED, AUDITED), 0)
    for key, value in counts.items():
        by_rule[key.verdict] += value.packets
    beside = sum(number for event, number in events.items() if event not in _FULL)
    pieces = events[Event.FRAGMENT_DROPPED] + events[Event.FRAGMENT_KEPT_OUT]
    cut = events[Event.CUT_DROPPED] + events[Event.CUT_KEPT_OUT] + pieces
    _require(sum(by_rule.values()) + beside == ran, f"{by_rule} and {events} are not {ran} packets")
    forged = events[Event.FORGED_SOURCE_DROPPED]
    _require(by_rule[DENIED] + cut + forged == dropped, f"{by_rule} and {events} are not {dropped} drops")
    _require(by_rule[AUDITED] == events[Event.INTERNAL] == 0, f"{by_rule} and {events}")
    unread = (Event.UNREADABLE, Event.CUT_PASSED, Event.CUT_DROPPED, Event.CUT_KEPT_OUT)
    return Outcome(ran, dropped, sum(by_rule.values()), sum(events[one] for one in unread), forged)


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  what holds is said first
    if not holds:
        raise Broken(otherwise)


def one_round(_: Path, dice: random.Random) -> str:
    """Run a hundred thousand, a round of `make soak`, and return what they were."""
    with loaded() as rig:
        attack(rig, dice, ROUND)
    return f"{ROUND} different packets"
