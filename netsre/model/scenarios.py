"""Scenarios as people write them: a world, what happens in it, and what a runbook must make of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from netsre import clock
from netsre.model.directory import ALONE, Directory
from netsre.model.documents import Document
from netsre.model.levels import Origin
from netsre.model.runbooks import RunState
from netsre.model.samples import Labels, Series

KIND: Final = "Scenario"
NODE: Final = "node-1"
"""The one node that there is."""
LONGEST: Final = clock.DAY
"""From the beginning to the end, whatever happens."""
INTERVAL: Final = 15 * clock.SECOND
"""Between two readings, where a scenario says nothing."""

Facts = Mapping[str, Mapping[str, object] | str]
"""What the node answers by the name of the question (`table`, …): fields, or the word of a refusal."""


@dataclass(frozen=True, slots=True)
class Level:
    """A series that stands at a value."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Rate:
    """A counter that goes on from where it is."""

    per_second: Decimal


Shape = Level | Rate | None
"""How a series goes on; None: it is gone."""

Curves = Mapping[Series, Shape]


@dataclass(frozen=True, slots=True)
class While:
    """What is so as long as effects are in force, all of them together."""

    effects: tuple[Document, ...]
    """Each a kind, and fields that it must have."""
    series: Curves = field(default_factory=lambda: MappingProxyType({}))
    facts: Facts = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run of the same runbook, before the scenario."""

    ago: int
    """Milliseconds."""
    state: RunState
    reason: str
    changed: bool
    """Whether it changed something."""
    target: str | None = None
    """None: the runbook's lock on the one node that there is."""


OthersWord = Literal["ok", "rejected", "unreachable", "lost"]
"""How others answer; `lost`: they do what is asked, and nobody hears that."""


@dataclass(frozen=True, slots=True)
class Others:
    """How others than the node answer."""

    alertmanager: OthersWord | None = None
    """None: there is none, or it answers as before."""
    http: Mapping[str, OthersWord] = field(default_factory=lambda: MappingProxyType({}))
    """By the address that is called, or lies above it."""


@dataclass(frozen=True, slots=True)
class Given:
    """How the world is at the beginning."""

    interval: int = INTERVAL
    directory: Directory = ALONE
    series: Curves = field(default_factory=lambda: MappingProxyType({}))
    facts: Facts = field(default_factory=lambda: MappingProxyType({}))
    runs: tuple[Earlier, ...] = ()
    others: Others = Others()


@dataclass(frozen=True, slots=True)
class Moment:
    """A time since the beginning."""

    at: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Point:
    """The first time that the run comes to a line of its journal, or to a command for the node."""

    after: bool
    """Right after it, and not right before."""
    word: str
    """A kind of line, or `apply`, `look` or `undo`."""
    step: int | None
    """None: of whichever step."""

    def text(self) -> str:
        """Return it as it is written."""
        step = "" if self.step is None else f" {self.step}"
        return f"{'after' if self.after else 'before'} {self.word}{step}"


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody else's alert begins or ends."""

    labels: Labels
    firing: bool


@dataclass(frozen=True, slots=True)
class Curved:
    """Series go on otherwise."""

    series: Curves


@dataclass(frozen=True, slots=True)
class Answering:
    """The node answers otherwise."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class OthersAnswer:
    """Others answer otherwise."""

    others: Others


class NodeState(StrEnum):
    """What becomes of the agent."""

    UNREACHABLE = "unreachable"
    REACHABLE = "reachable"
    RESTARTED = "restarted"
    """It is away for two seconds, and its counters begin anew; effects go on meanwhile."""


@dataclass(frozen=True, slots=True)
class NodeBecomes:
    """The agent goes or comes."""

    state: NodeState


@dataclass(frozen=True, slots=True)
class Killed:
    """The controller is killed, and another one starts two seconds later."""


SwitchWord = Literal["on", "off", "unreadable"]


@dataclass(frozen=True, slots=True)
class Switched:
    """The kill switch is set."""

    state: SwitchWord


PersonVerb = Literal["approve", "deny", "cancel", "start", "pause", "resume"]


@dataclass(frozen=True, slots=True)
class Says:
    """A person says something about the newest run, or about the runbook."""

    verb: PersonVerb
    person: str
    answer: str | None
    """The word that it must be answered with; None: whatever it is."""


Deed = Told | Curved | Answering | OthersAnswer | NodeBecomes | Killed | Switched | Says


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens."""

    when: Moment | Point
    deed: Deed
    text: str
    """In a few words, for people."""
    origin: Origin


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """How a run stands."""

    state: RunState
    reason: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What must be so at a time, or at the end; what is None may be anything."""

    at: int | None
    """Milliseconds since the beginning; None: when nothing happens any more."""
    runs: tuple[ExpectedRun, ...] | None
    """All of them, in the order in which they began."""
    effects: tuple[Document, ...] | None
    """All that the node and others did, in order."""
    undone: tuple[Document, ...] | None
    """All that they took back, in order."""
    in_force: tuple[Document, ...] | None
    samples: tuple[str, ...] | None
    """Verdicts of the newest run."""
    evidence: tuple[str, ...] | None
    """Topics that the newest run saw, in the order of their names."""
    calls: tuple[str, ...] | None
    """All for which people were called, in order: the reason of a run, or `approval`."""
    told: tuple[str, ...] | None
    """The lines of `notify` of the newest run, in order."""
    origin: Origin


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, as read from its file."""

    name: str
    about: str
    runbook: str
    given: Given
    during: tuple[While, ...]
    events: tuple[Event, ...]
    looks: tuple[Look, ...]
    origin: Origin
