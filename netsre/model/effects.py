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


Effect = Block | Flush | Limit


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


def setting(effect: Effect) -> Setting | None:
    """Return which field an effect sets; None for one that sets none, such as a block."""
    if isinstance(effect, Limit):
        return Setting("conntrack.limit", str(effect.before), str(effect.after))
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
        case other:
            message = f"{other!r} is no kind of effect; there is block, flush and limit"
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
