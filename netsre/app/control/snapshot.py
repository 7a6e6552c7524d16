"""What the controller knows after a tick, as one value: API and metrics read it and wait for nobody."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from netsre import clock
from netsre.app.control.records import Nothing
from netsre.app.kill_switch import Switch
from netsre.clock import Timestamp
from netsre.model.levels import SLO, Evaluation
from netsre.model.runbooks import RunState
from netsre.model.samples import Labels, Scrape
from netsre.runbook.actions import evidence_span
from netsre.runbook.actions.contract import Node, Records
from netsre.slo.buckets import Bucket
from netsre.slo.history import History

GroupKey = tuple[str, Labels]
"""Name of an SLO, and one of its groups."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of measurements."""

    name: str
    up: bool
    reason: str | None
    """The line that says why it is down."""
    last_at: Timestamp | None
    """The last reading that succeeded."""


@dataclass(frozen=True, slots=True)
class Past:
    """The past of new SLOs, while it is read."""

    slos: int
    progress: float
    """Between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted in the store, so that it survives a restart and is counted once."""

    active: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Firing alerts by severity."""
    transitions: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    pending: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    received: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Alerts from Alertmanager by what became of them."""
    runs: Mapping[tuple[str, RunState, str], int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The controller after one tick."""

    at: Timestamp
    seconds: float
    """Duration of the tick."""
    slos: tuple[SLO, ...]
    evaluations: Sequence[Evaluation]
    recent: Mapping[GroupKey, Sequence[Bucket]]
    """The last hour by minute."""
    sources: tuple[Source, ...]
    counts: Counts
    failures: int
    """Ticks that ended in an error since the start."""
    problem: str | None
    """The line of the last error, None when the last tick had none."""
    switch: Switch | None = None
    """The kill switch as it was seen last, None before the first look."""
    past: Past | None = None
    """The past that is being read, where there is one."""
    prometheus: bool = False
    """Whether one is asked what only it can answer."""


class Board:
    """Where the newest values hang; one thread puts each there, others read it."""

    def __init__(self, started_at: Timestamp) -> None:
        """Begin without a snapshot."""
        self.started_at = started_at
        self.current: Snapshot | None = None
        self.switch: Switch | None = None
        self.problems: Mapping[str, str] = MappingProxyType({})
        """What automation cannot do now, by duty: the line of its last error."""


class Recent:
    """The minutes of the last hour, for drawing."""

    SPAN = 60 * clock.MINUTE

    def __init__(self) -> None:
        """Begin empty."""
        self._minutes: dict[GroupKey, dict[Timestamp, Bucket]] = {}

    @classmethod
    def of(cls, history: History, now: Timestamp) -> Self:
        """Begin with what a history holds."""
        recent = cls()
        recent.add(history.held(Timestamp(now - cls.SPAN), Timestamp(now + clock.MINUTE)))
        return recent

    def add(self, buckets: Iterable[Bucket]) -> None:
        """Take minutes over what was known of them."""
        for bucket in buckets:
            if bucket.step == clock.MINUTE:
                self._minutes.setdefault((bucket.slo, bucket.group), {})[bucket.begin] = bucket

    def view(self, now: Timestamp) -> Mapping[GroupKey, Sequence[Bucket]]:
        """Forget what is older than an hour or of the future, and return the rest in order."""
        for key, minutes in list(self._minutes.items()):
            kept = {minute: bucket for minute, bucket in minutes.items() if 0 <= now - minute < self.SPAN}
            if kept:
                self._minutes[key] = kept
            else:
                del self._minutes[key]
        return MappingProxyType(
            {key: tuple(minutes[at] for at in sorted(minutes)) for key, minutes in self._minutes.items()}
        )


class Sight:
    """What actions may look at: recent readings, the latest evaluations, and the node.

    One thread tells it, others ask: every value is replaced whole, so that they see the old one or the new.
    """

    WHOLE = clock.MINUTE
    """Readings of so many milliseconds are kept all: a verification looks back at them."""

    def __init__(self, node: Node, name: str | None = None, records: Records | None = None) -> None:
        """Begin blind; with the name of the node its readings are kept and no others."""
        self._records = records or Nothing()
        self._node = node
        self._name = name
        self._scrapes: tuple[Scrape, ...] = ()
        self._evaluations: Sequence[Evaluation] = ()

    def read(self, scrape: Scrape) -> None:
        """Keep a reading, and let go of those that no action looks back to.

        Of readings older than `WHOLE` one a minute is kept: large ones every few seconds would fill the
        memory.
        """
        if self._name not in (None, scrape.node):
            return
        kept: list[Scrape] = []
        for known in self._scrapes:
            # Of a future that the clock was set back from none is kept, or they would pile up until then.
            age = abs(scrape.at - known.at)
            thinned = bool(kept) and abs(known.at - kept[-1].at) < clock.MINUTE
            if age <= self.WHOLE or (age <= evidence_span.LOOKBACK and not thinned):
                kept.append(known)
        self._scrapes = (*kept, scrape)

    def evaluated(self, evaluations: Sequence[Evaluation]) -> None:
        """Replace the evaluations."""
        self._evaluations = evaluations

    def scrapes(self) -> Sequence[Scrape]:
        """Return the readings, oldest first."""
        return self._scrapes

    def evaluations(self) -> Sequence[Evaluation]:
        """Return the latest evaluations."""
        return self._evaluations

    @property
    def node(self) -> Node:
        """Return the node that the readings come from."""
        return self._node

    @property
    def records(self) -> Records:
        """Return what is known beside the readings."""
        return self._records
