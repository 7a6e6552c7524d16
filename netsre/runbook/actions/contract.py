"""What every action is, and what it may look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from netsre.model import specs
from netsre.model.alerts import Alert
from netsre.model.documents import Document
from netsre.model.levels import Evaluation
from netsre.model.samples import Scrape


@dataclass(frozen=True, slots=True)
class Subject:
    """What a run is about."""

    run: str
    alert: Alert
    target: str


class Views(Protocol):
    """What is known now; an action looks at nothing else."""

    def scrapes(self) -> Sequence[Scrape]:
        """Return the recent readings of the source, oldest first."""
        ...

    def evaluations(self) -> Sequence[Evaluation]:
        """Return the latest evaluation of every SLO and group."""
        ...


class ActionFailed(Exception):
    """The action could not do its work; the sentence goes into the journal."""


class Action(Protocol):
    """One thing that a step can do.

    Actions that only observe have no effect, so that an interrupted one is simply observed again.
    """

    @property
    def name(self) -> str:
        """Return the name that a step uses."""
        ...

    def read(self, parameters: specs.Mapping) -> Document | None:
        """Take the parameters of a step from a file; what is wrong becomes findings there, and None here."""
        ...

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Look, and return what was seen; raises `ActionFailed`."""
        ...
