"""The SLO engine: scrapes in, minutes and cursors to keep out, evaluations on demand.

It holds everything in memory and does no I/O. What must survive a restart leaves it in an `Observation`; keep
its buckets (by SLO, group and minute, replacing) and its cursor (by node) in one transaction, and give both
back to the constructor: nothing is then lost or counted twice, whenever the process ends.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.model.levels import SLO, Evaluation
from netsre.model.samples import Labels, Scrape
from netsre.slo import definition, evaluate, increments, indicators
from netsre.slo.history import Bucket, History, minute_of
from netsre.slo.increments import Cursor, Increments, Reason

_GONE_AFTER: Final = clock.HOUR


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a scrape that people may want to know; never an error."""

    reason: str
    """A word: `baseline`, `duplicate`, `clock_set_back`, `counter_reset`, `not_a_number` or an anomaly's."""
    subject: str
    """The node, series or SLO it is about."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one scrape changed."""

    buckets: tuple[Bucket, ...]
    """Every minute that changed, with all it holds now: writing one twice changes nothing."""
    cursor: Cursor
    notes: tuple[Note, ...]


class Engine:
    """Evaluates SLOs over scrapes of any number of nodes."""

    def __init__(
        self,
        slos: Iterable[SLO],
        history: Iterable[Bucket] = (),
        cursors: Iterable[Cursor] = (),
        nodes: Collection[str] | None = None,
    ) -> None:
        """Start where the stored minutes and cursors ended.

        The minutes must be of what these SLOs measure (`definition.current`). `nodes` are all that will be
        read, None when that is not known: groups of other nodes are gone.
        """
        self.slos = tuple(sorted(slos, key=lambda slo: slo.name))
        self._definitions = {slo.name: definition.of(slo) for slo in self.slos}
        self._keep = max((slo.window for slo in self.slos), default=clock.DAY)
        self._followed = indicators.followed(self.slos)
        self._history = History(history, self._keep)
        self._cursors = {cursor.node: cursor for cursor in cursors}
        self._nodes = nodes

    def observe(self, scrape: Scrape) -> Observation:
        """Count one scrape; one of the same time as the last of its node changes nothing."""
        counted, cursor = increments.advance(self._cursors.get(scrape.node), scrape, self._followed)
        self._cursors[scrape.node] = cursor
        notes = _notes(counted, scrape.node)
        if counted.reason is Reason.DUPLICATE:
            return Observation((), cursor, notes)
        buckets: list[Bucket] = []
        for slo in self.slos:
            for group, measure in indicators.measure(slo, scrape, counted).items():
                notes += tuple(Note(anomaly, subject(slo, group)) for anomaly in sorted(measure.anomalies))
                if measure.anomalies and not measure.total:
                    continue  # the source answered, but not about this: no reading, so that coverage shows it
                name, what = slo.name, self._definitions[slo.name]
                buckets += self._history.add(name, what, group, counted.since, counted.until, measure)
        return Observation(tuple(buckets), cursor, notes)

    def forget(self, node: str) -> None:
        """Let the next scrape of a node be its first: its counters have nothing to do with those before."""
        self._cursors.pop(node, None)

    def groups(self, slo: SLO) -> tuple[Labels, ...]:
        """Return the groups of an SLO that were measured within the history, sorted.

        An SLO without groups always has one, so that it shows before its first reading.
        """
        return self._history.groups(slo.name) or (() if slo.group_by else ((),))

    def evaluate(self, now: Timestamp) -> tuple[Evaluation, ...]:
        """Return where every group of every SLO stands, by SLO name and group.

        Groups that are gone are left out. A namespace or a workload ends: a group of more than a node is gone
        when its source was read for an hour since and did not know it any more. A node is not gone because it
        is silent, but one that nobody reads any more, or that has another name now, will never speak again.
        """
        return tuple(
            evaluate.evaluate(slo, group, self._history, now)
            for slo in self.slos
            for group in self.groups(slo)
            if not self._gone(slo, group)
        )

    def _gone(self, slo: SLO, group: Labels) -> bool:
        node = dict(group).get(conventions.NODE)
        if node is not None and self._nodes is not None and node not in self._nodes:
            return True
        if set(slo.group_by) <= {conventions.NODE}:
            return False
        read = [cursor.at for cursor in self._cursors.values() if node in (None, cursor.node)]
        last = self._history.last_reading(slo.name, group)
        return last is not None and bool(read) and max(read) - last > _GONE_AFTER

    def prune(self, now: Timestamp) -> Timestamp:
        """Forget the minutes that no window reaches any more; return the first that is still needed."""
        before = Timestamp(minute_of(now) + clock.MINUTE - self._keep)
        self._history.prune(before)
        return before


def subject(slo: SLO, group: Labels) -> str:
    """Return how notes name one group of an SLO: `flow-success{node="a"}`."""
    pairs = ",".join(f'{name}="{value}"' for name, value in group)
    return f"{slo.name}{{{pairs}}}" if pairs else slo.name


def _notes(counted: Increments, node: str) -> tuple[Note, ...]:
    notes = [] if counted.reason is Reason.COUNTED else [Note(counted.reason, node)]
    # One note for each metric: a restart in disguise would otherwise be a thousand lines.
    notes += [Note("counter_reset", name) for name in sorted({series.name for series in counted.resets})]
    notes += [Note("not_a_number", name) for name in sorted({series.name for series in counted.unusable})]
    return tuple(notes)
