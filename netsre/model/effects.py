"""What automation changes on a node: a short list of bounded effects, each with its own end.

An effect is exact: it names the namespace, the source, the numbers. It has a key (`<run>/<step>`), and the
node knows by it what it was asked for already: the same key twice is one effect.
"""

from dataclasses import dataclass
from enum import StrEnum

from netsre.clock import Timestamp
from netsre.model.documents import Document, Json


@dataclass(frozen=True, slots=True)
class Block:
    """Packets from one source are dropped where they enter a namespace, until a deadline in the kernel."""

    netns: str
    interface: str
    source: str
    """An IPv4 or IPv6 address in its shortest form."""
    ttl: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Flush:
    """The entries that one source has in a namespace's connection table are deleted."""

    netns: str
    source: str


@dataclass(frozen=True, slots=True)
class Limit:
    """The connection tables of this host may hold another number of entries, for a while."""

    before: int
    """What the limit must be when it is changed, and what it is put back to."""
    after: int
    ttl: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """A namespace's entries in one state end sooner without a packet, for a while."""

    netns: str
    state: str
    """Such as `syn_sent` or `udp`: a key of `netsre.datapath.conntrack_timeouts.TIMEOUTS`."""
    before: int
    """Seconds: what it must be when it is changed, and what it is put back to."""
    after: int
    """Seconds."""
    ttl: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Resize:
    """The connection table of netsre's own policy datapath has another size, for a while."""

    before: int
    """What the size must be when it is changed, and what it is put back to if all that is known fits."""
    after: int
    ttl: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Stagger:
    """Who follows files of policies puts at most one change into force in a length of time, for a while."""

    every: int
    """Milliseconds."""
    ttl: int
    """Milliseconds."""


Effect = Block | Flush | Limit | Timeout | Resize | Stagger


@dataclass(frozen=True, slots=True)
class Setting:
    """A field that an effect leads from one value to another."""

    field: str
    before: str
    after: str

    @property
    def key(self) -> str:
        """Return the name of the field at its new value, by which it is put into quarantine."""
        return f"{self.field}={self.after}"


class Standing(StrEnum):
    """What a node says about the effect of one key."""

    APPLIED = "applied"
    """In force, or, for what has no duration, done."""
    ENDED = "ended"
    """It was applied, and is over: undone, or past its deadline."""
    ABSENT = "absent"
    """Never applied."""


@dataclass(frozen=True, slots=True)
class InForce:
    """One effect that a node has in force now."""

    key: str
    effect: Effect
    until: Timestamp


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many entries one source holds."""

    source: str
    entries: int


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many entries are in one state."""

    state: str
    """Such as `tcp_established` or `udp_unreplied`."""
    entries: int


@dataclass(frozen=True, slots=True)
class Table:
    """Who fills a namespace's connection table."""

    netns: str
    entries: int
    """As the kernel counts them."""
    limit: int
    sources: tuple[SourceCount, ...]
    """Those with the most entries first, by the address that opened the connection."""
    states: tuple[StateCount, ...] = ()
    """States that are there, by name."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets of a source come in, and why it must not be blocked."""

    interface: str
    protected: str
    """A word such as `own_address`, `loopback`, `gateway`; empty when it may be blocked."""


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """What is needed to choose another limit."""

    limit: int
    most: int
    """What this node's memory allows."""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What is needed to choose another size for the datapath's table, and to stagger changes of policies."""

    capacity: int
    """How many connections fit."""
    connections: int
    """How many are known, ended ones that are not collected yet included."""
    most: int
    """What this node's memory allows."""
    followed: bool
    """Whether somebody follows files of policies."""


def setting(effect: Effect) -> Setting | None:
    """Return which field an effect sets; None for one that sets none, such as a block."""
    match effect:
        case Limit(before, after, _):
            return Setting("conntrack.limit", str(before), str(after))
        case Timeout(netns, state, before, after, _):
            return Setting(f"conntrack.timeout/{netns}/{state}", str(before), str(after))
        case Resize(before, after, _):
            return Setting("policy.connections", str(before), str(after))
        case _:
            return None


def write(effect: Effect) -> Document:
    """Return an effect as a document with its `kind`."""
    match effect:
        case Block(netns, interface, source, ttl):
            return {"kind": "block", "netns": netns, "interface": interface, "source": source, "ttl": ttl}
        case Flush(netns, source):
            return {"kind": "flush", "netns": netns, "source": source}
        case Limit(before, after, ttl):
            return {"kind": "limit", "before": before, "after": after, "ttl": ttl}
        case Timeout(netns, state, before, after, ttl):
            where: Document = {"kind": "timeout", "netns": netns, "state": state}
            return {**where, "before": before, "after": after, "ttl": ttl}
        case Resize(before, after, ttl):
            return {"kind": "resize", "before": before, "after": after, "ttl": ttl}
        case Stagger(every, ttl):
            return {"kind": "stagger", "every": every, "ttl": ttl}


def read(document: Document) -> Effect:
    """Return the effect of a document; raises `ValueError` for what is none."""
    match document.get("kind"):
        case "block":
            netns, interface, source = (_text(document, key) for key in ("netns", "interface", "source"))
            return Block(netns, interface, source, _whole(document, "ttl"))
        case "flush":
            return Flush(_text(document, "netns"), _text(document, "source"))
        case "limit":
            return Limit(_whole(document, "before"), _whole(document, "after"), _whole(document, "ttl"))
        case "timeout":
            netns, state = _text(document, "netns"), _text(document, "state")
            before, after, length = (_whole(document, key) for key in ("before", "after", "ttl"))
            return Timeout(netns, state, before, after, length)
        case "resize":
            return Resize(_whole(document, "before"), _whole(document, "after"), _whole(document, "ttl"))
        case "stagger":
            return Stagger(_whole(document, "every"), _whole(document, "ttl"))
        case other:
            kinds = "block, flush, limit, timeout, resize and stagger"
            message = f"{other!r} is no kind of effect; there is {kinds}"
            raise ValueError(message)


def _text(document: Document, key: str) -> str:
    value: Json = document.get(key)
    if not isinstance(value, str) or not value:
        message = f"{key} is {value!r}; write a text"
        raise ValueError(message)
    return value


def _whole(document: Document, key: str) -> int:
    value: Json = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        message = f"{key} is {value!r}; write a whole number above 0"
        raise ValueError(message)
    return value
