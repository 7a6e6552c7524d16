"""What automation changes on a node: a short list of bounded effects, each with its own end.

An effect is exact: it names the namespace, the source, the numbers. It has a key (`<run>/<step>`), and the
node knows by it what it was asked for already: the same key twice is one effect.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from netsre.clock import HOUR, Timestamp
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
class PolicyMode:
    """What no policy allows passes, to and from one endpoint or all, until a deadline in the kernel."""

    endpoint: str
    """`namespace/name`; `EVERYBODY` for whoever has no mode of its own."""
    before: str
    """The mode that lasts when it is changed, and comes again; `inherit` of an endpoint that follows all."""
    mode: str
    """`monitor` or `off`."""
    ttl: int
    """Milliseconds, at most `LONGEST_LOOSENED`."""


@dataclass(frozen=True, slots=True)
class PolicyRevision:
    """Another revision of policies that is kept decides; it stays until somebody goes on from it."""

    before: int
    """What must decide when it is changed, and what is gone back to."""
    before_digest: str
    """Of what it was made of: numbers begin anew with a datapath, and this does not."""
    after: int
    after_digest: str


@dataclass(frozen=True, slots=True)
class PolicyPrograms:
    """The programs run that ran before, until somebody goes on; policies and connections stay."""

    before: str
    """The digest of what must run when it is changed, and what is gone forward to again."""
    after: str
    """The digest of what must be kept then."""


@dataclass(frozen=True, slots=True)
class PrefilterMode:
    """No rule of the prefilter drops anything, it only counts, until a deadline in the kernel."""

    before: str
    """The mode that lasts when it is changed, and comes again."""
    mode: str
    """`monitor`."""
    ttl: int
    """Milliseconds, at most `LONGEST_LOOSENED`."""


@dataclass(frozen=True, slots=True)
class SourceLimit:
    """One source may send so many packets a second through the prefilter, until a deadline in the kernel."""

    netns: str
    """Where it is looked up whether the source may be limited; the rule holds wherever is filtered."""
    source: str
    """An IPv4 or IPv6 address in its shortest form."""
    rate: int
    """Packets a second, and at once after a pause."""
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


_OfPolicies = PolicyMode | PolicyRevision | PolicyPrograms | Resize | Stagger
Effect = Block | Flush | Limit | Timeout | PrefilterMode | SourceLimit | _OfPolicies

GoneTo = PolicyRevision | PolicyPrograms
"""Effects that stay until somebody goes on, and can be taken back."""
DoneAtOnce = Flush | GoneTo
"""Effects without an end of their own."""
KINDS: Final[Mapping[str, type[Effect]]] = MappingProxyType(
    {
        "block": Block,
        "flush": Flush,
        "limit": Limit,
        "policy_mode": PolicyMode,
        "policy_revision": PolicyRevision,
        "policy_programs": PolicyPrograms,
        "prefilter_mode": PrefilterMode,
        "source_limit": SourceLimit,
        "timeout": Timeout,
        "resize": Resize,
        "stagger": Stagger,
    }
)
"""Kinds of effects by the names that documents have for them; their fields are texts and whole numbers."""
_NAMES: Final = MappingProxyType({kind: name for name, kind in KINDS.items()})
REVISION: Final = "policy.revision"
"""The field whose values are digests of what revisions of policies were made of."""
PROGRAMS: Final = "policy.programs"
"""The field whose values are digests of what the programs of the policy datapath were made of."""
EVERYBODY: Final = "*"
"""The endpoint of a mode that is for all; no endpoint has this name."""
LONGEST_LOOSENED: Final = HOUR
"""Milliseconds: no longer is anything let pass without a person."""


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

    @property
    def left(self) -> str | None:
        """Return the same of the value that it had, where that has failed if leaving it helped."""
        return f"{self.field}={self.before}" if self.field in {REVISION, PROGRAMS} else None


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
class ModeFacts:
    """How strictly something is treated now."""

    now: str
    lasting: str
    """What holds when all that ends by itself has ended."""
    ends: bool
    """Whether what holds now ends by itself: somebody has seen to it already."""
    enforced: bool
    """Whether anything is dropped; of an endpoint that follows all others, as these are."""


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """A revision of policies that a node keeps."""

    number: int
    digest: str
    """Of what it was made of; empty where nobody remembers."""


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What is in force of policies."""

    mode: ModeFacts
    """Of the endpoint that was asked about, or of all."""
    revision: RevisionFacts
    """What decides now."""
    earlier: RevisionFacts | None
    """The one before it that is kept."""
    on_trial: bool
    """Whether what decides now ends by itself."""
    stricter: str = ""
    """A policy that people loosened and that the earlier one is stricter about; empty where none is."""
    programs: str = ""
    """The digest of the programs that run; empty where nobody knows."""
    kept_programs: str = ""
    """Of those that ran before and may run again; empty where there are none that nobody went back from."""
    programs_age: int | None = None
    """For how many milliseconds these programs run; None where nobody knows."""
    revision_age: int | None = None
    """How many milliseconds ago what decides now was made; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class DatapathFacts:
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
        case PolicyRevision():
            return Setting(REVISION, effect.before_digest, effect.after_digest)
        case PolicyPrograms(before, after):
            return Setting(PROGRAMS, before, after)
        case _:
            return None


def write(effect: Effect) -> Document:
    """Return an effect as a document with its `kind`."""
    return {"kind": _NAMES[type(effect)], **asdict(effect)}


def read(document: Document) -> Effect:
    """Return the effect of a document; raises `ValueError` for what is none."""
    kind = KINDS.get(str(document.get("kind")))
    if kind is None:
        message = f"{document.get('kind')!r} is no kind of effect; there is {', '.join(KINDS)}"
        raise ValueError(message)
    found: dict[str, Any] = {
        field.name: (_whole if field.type is int else _text)(document, field.name) for field in fields(kind)
    }
    return kind(**found)


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
