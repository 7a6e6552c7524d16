"""What every action is, and what it may look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from netsre.clock import Timestamp
from netsre.errors import EnvironmentUnfit, NetsreError
from netsre.model import values
from netsre.model.alerts import Alert
from netsre.model.deeds import Deed
from netsre.model.documents import Document
from netsre.model.effects import (
    DatapathFacts,
    Effect,
    Enforcement,
    InForce,
    LimitFacts,
    ModeFacts,
    Route,
    Standing,
    Table,
)
from netsre.model.events import Event
from netsre.model.levels import SLO, Evaluation
from netsre.model.runbooks import Run
from netsre.model.samples import Scrape


@dataclass(frozen=True, slots=True)
class Subject:
    """What a run is about."""

    run: str
    alert: Alert
    target: str
    proof: SLO | None = None
    """The service level that it is judged by, where one is known."""


class NodeUnreachable(EnvironmentUnfit):
    """The node gave no answer; whether it did what it was asked is unknown."""


class NodeRefused(NetsreError):
    """The node said no, and did nothing; `reason` is a word."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the word beside the sentence."""
        self.reason = reason
        super().__init__(message)


class LeftOut(NodeRefused):
    """Nothing was done, and nothing depends on it: the step is left out by its word, and the run goes on."""


class Node(Protocol):
    """The node that automation acts upon; every method may raise `NodeUnreachable` or `NodeRefused`."""

    def table(self, netns: str) -> Table:
        """Return who fills a namespace's connection table."""
        ...

    def route(self, netns: str, source: str) -> Route:
        """Return where packets of a source come in."""
        ...

    def limit(self) -> LimitFacts:
        """Return what the limit of the connection tables is, and may be."""
        ...

    def enforcement(self, endpoint: str) -> Enforcement:
        """Return which revision of policies is in force, and how strictly an endpoint is treated by it.

        `EVERYBODY` asks how all are treated that have no mode of their own.
        """
        ...

    def prefilter(self) -> ModeFacts:
        """Return how strictly the rules of the prefilter are taken."""
        ...

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Return how many seconds a namespace's entries last without a packet, by state."""
        ...

    def datapath(self) -> DatapathFacts:
        """Return what is known of the policy datapath; without one it is `NodeRefused` (`no_policies`)."""
        ...

    def apply(self, key: str, effect: Effect) -> Document:
        """Apply an effect once per key; return figures for the journal (`deleted`, `until`, …)."""
        ...

    def look(self, key: str, effect: Effect) -> Standing:
        """Return what became of the effect of a key."""
        ...

    def undo(self, key: str, effect: Effect) -> Document:
        """Take an effect back; one that is absent or over is none to take back, and no error."""
        ...

    def effects(self) -> Sequence[InForce]:
        """Return what is in force now."""
        ...


@dataclass(frozen=True, slots=True)
class Happened:
    """What is on record of a time."""

    events: tuple[Event, ...] = ()
    """What people, or their deploys, said that they did."""
    runs: tuple[Run, ...] = ()


class Records(Protocol):
    """What is known beside the readings."""

    def happened(self, since: Timestamp) -> Happened:
        """Return what was done from a time on."""
        ...

    def refused_loads(self) -> Sequence[Document]:
        """Return the programs that the kernel refused last, newest first, with the verifier's `log`.

        May raise `NodeUnreachable` or `NodeRefused`.
        """
        ...


class Views(Protocol):
    """What is known now; an action looks at nothing else."""

    def scrapes(self) -> Sequence[Scrape]:
        """Return the recent readings of the source, oldest first."""
        ...

    def evaluations(self) -> Sequence[Evaluation]:
        """Return the latest evaluation of every SLO and group."""
        ...

    @property
    def node(self) -> Node:
        """Return the node that the readings come from."""
        ...

    @property
    def records(self) -> Records:
        """Return what is known beside the readings."""
        ...


class ActionFailed(Exception):
    """The action could not do its work; the sentence goes into the journal."""


class ActionRefused(ActionFailed):
    """A change has nothing that it may be applied to; `reason` is a word such as `no_source`."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the word beside the sentence."""
        self.reason = reason
        super().__init__(message)


class NothingToDo(ActionRefused):
    """A change is as far as it may go: the step is skipped by its word, and the run goes on."""


class Action(Protocol):
    """One thing that a step can do."""

    @property
    def name(self) -> str:
        """Return the name that a step uses."""
        ...

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take the parameters of a step from a file; what is wrong becomes findings there, and None here.

        A text may be a reference such as `${evidence.top_source}`, kept as it is.
        """
        ...


@runtime_checkable
class Observation(Action, Protocol):
    """An action without effect, so that an interrupted one is simply done again."""

    def provides(self, parameters: Document) -> frozenset[str]:
        """Return the keys of its evidence that a later step may refer to."""
        ...

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Look, and return what was seen; raises `ActionFailed`, `NodeUnreachable` or `NodeRefused`."""
        ...


@runtime_checkable
class TakesSecrets(Action, Protocol):
    """An action that sends a secret along; it plans with the handle, and never sees what it stands for."""

    @property
    def secrets(self) -> frozenset[str]:
        """Return the parameters in which `${secret.NAME}` may stand."""
        ...


@runtime_checkable
class Notice(Action, Protocol):
    """An action that only tells somebody: a run may go on without it (`onFailure: continue`)."""

    @property
    def tells(self) -> bool:
        """Return True: what it does changes no node."""
        ...


@runtime_checkable
class Change(Action, Protocol):
    """An action that changes a node: it says exactly what it would do, and the engine has the node do it."""

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Deed:
        """Return the effect; the parameters have their references resolved.

        Raises `ActionRefused`, `NodeUnreachable` or `NodeRefused`.
        """
        ...
