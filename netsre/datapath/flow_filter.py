"""Which lines of the flow log somebody wants to see."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from netsre.datapath.flow_lines import TIME_BEGINS, End, FlowLine
from netsre.datapath.flow_log import KINDS
from netsre.datapath.flows import DIRECTIONS, DROPPED, PROTOCOLS, REASONS
from netsre.model import literals

_LAST_PORT: Final = 65_535
_ANY_DROP: Final = "dropped"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Ends:
    """A network, or a name that may have `*` at its end."""

    network: Network | None
    name: str

    def match(self, end: End) -> bool:
        """Say whether an end is meant."""
        if self.network is not None:
            return end.ip is not None and end.ip.version == self.network.version and end.ip in self.network
        if self.name.endswith("*"):
            return end.name.startswith(self.name[:-1])
        return end.name == self.name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a line must have; None where anything will do."""

    outcomes: frozenset[str] | None = None
    reasons: frozenset[str] | None = None
    src: Ends | None = None
    dst: Ends | None = None
    port: int | None = None
    """Of the destination."""
    since: str = ""
    """An RFC 3339 time as lines have it: in this form the earlier time is the lesser text."""
    directions: frozenset[str] | None = None
    protocols: frozenset[str] | None = None

    def may_match(self, raw: bytes) -> bool:
        """Say whether a line may be wanted, before it is read: in a large log that is most of the work."""
        if self.since and raw.startswith(TIME_BEGINS):
            begin = len(TIME_BEGINS)
            if raw[begin : begin + len(self.since)] < self.since.encode():
                return False
        return self.outcomes is None or any(f'"{word}"'.encode() in raw for word in self.outcomes)

    def match(self, line: FlowLine) -> bool:
        """Say whether a line is wanted."""
        return (
            line.time >= self.since
            and (self.outcomes is None or line.outcome in self.outcomes)
            and (self.reasons is None or not self.reasons.isdisjoint(_named(line.reason)))
            and (self.directions is None or line.direction in self.directions)
            and (self.protocols is None or line.protocol in self.protocols)
            and (self.port is None or line.dst.port == self.port)
            and (self.src is None or self.src.match(line.src))
            and (self.dst is None or self.dst.match(line.dst))
        )


def outcomes(text: str) -> frozenset[str]:
    """Read `failed,denied`; raises `ValueError` with what is known."""
    return _words(text, KINDS, "an outcome")


def reasons(text: str) -> frozenset[str]:
    """Read `refused,stalled`; raises `ValueError` with what is known.

    `dropped` is every drop, `dropped:netfilter_drop` those of one reason of the kernel's, by any word of its.
    """
    words = [word.strip() for word in text.split(",")]
    own = [word for word in words if not (word.startswith(DROPPED) and word != DROPPED)]
    known = _words(",".join(own), REASONS | {_ANY_DROP}, "a reason") if own else frozenset()
    return known.union(words)


def directions(text: str) -> frozenset[str]:
    """Read `ingress`; raises `ValueError` with what is known."""
    return _words(text, DIRECTIONS, "a direction")


def protocols(text: str) -> frozenset[str]:
    """Read `tcp,udp`; raises `ValueError` with what is known."""
    return _words(text, PROTOCOLS, "a protocol")


def ends(text: str) -> Ends:
    """Read an address, a network such as 10.0.0.0/8, or a name; raises `ValueError`."""
    if not text:
        raise ValueError("it is empty; write an address, a network such as 10.0.0.0/8, or a name")
    try:
        return Ends(ipaddress.ip_network(text, strict=False), "")
    except ValueError:
        if "/" in text:
            raise ValueError(f"{literals.shown(text)} is no network; write one such as 10.0.0.0/8") from None
        return Ends(None, text)


def port(text: str) -> int:
    """Read a number of a port; raises `ValueError`."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:6]) <= _LAST_PORT:
        raise ValueError(f"{literals.shown(text)} is no port; write a number from 1 to {_LAST_PORT}")
    return int(text[:6])


def _named(reason: str) -> frozenset[str]:
    """Return the words that stand for a reason."""
    return frozenset({reason, _ANY_DROP} if reason.startswith(DROPPED) else {reason})


def _words(text: str, known: Iterable[str], what: str) -> frozenset[str]:
    found = frozenset(word.strip() for word in text.split(","))
    for word in sorted(found):
        if word not in known:
            raise ValueError(f"{literals.shown(word)} is not {what}{literals.nearest(word, known)}")
    return found
