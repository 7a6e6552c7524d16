"""What drills are judged by and carried out with: the lab, the sight, the store, the specs and the clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from netsre.app.control.snapshot import Sight
from netsre.clock import Clock, Timestamp
from netsre.errors import EnvironmentUnfit, NetsreError
from netsre.gameday.decide import Gate
from netsre.gameday.progress import Seen
from netsre.model.alert_rules import AlertRule
from netsre.model.documents import Document
from netsre.model.gamedays import GameDay, Profile
from netsre.model.levels import SLO
from netsre.store.database import Store


class LabSilent(EnvironmentUnfit):
    """The lab gave no answer; whether it did what it was asked is not known."""


class LabRefused(NetsreError):
    """The lab said no, and did nothing; `reason` is a word."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the word beside the sentence."""
        self.reason = reason
        super().__init__(message)


class Lab(Protocol):
    """The lab's noisy client; every method may raise `LabSilent` or `LabRefused`."""

    @property
    def server(self) -> str:
        """Return the namespace whose table is filled; raises nothing."""
        ...

    def begin(self, key: str, profile: Profile, milliseconds: int) -> Timestamp:
        """Begin to fill the table, once per key, and end by that time at the latest; return since when."""
        ...

    def stop(self, key: str) -> None:
        """End what a key began; what is over already is none to end, and no error."""
        ...

    def seen(self, key: str) -> Seen:
        """Return what became of what a key began."""
        ...

    def figures(self, key: str) -> Document:
        """Return what was sent for a key, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything that drills know and use."""

    store: Store
    gamedays: Mapping[str, GameDay]
    lab: Lab | None
    sight: Sight
    slos: Mapping[str, SLO]
    rules: Mapping[str, AlertRule]
    switch: Callable[[], Gate]
    """ACCEPTED, or what the kill switch says, read now."""
    refusal: Callable[[GameDay, str], str]
    """Why the runbook of a game day would not act on a fault in a namespace now; empty when it would."""
    alertmanagers: bool
    """Alerts go to an Alertmanager, and come back from it."""
    interval: int
    """Milliseconds between two evaluations."""
    clock: Clock
