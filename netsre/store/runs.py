"""Runs of runbooks and their append-only journal."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from netsre.clock import DAY, Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import Document
from netsre.model.holds import Asked
from netsre.model.runbooks import ENDED, SAID_NO, JournalEntry, JournalKind, Run, RunState
from netsre.store import schema, tallies

# Named one by one, and not by what they are not: only that way an index finds them.
GOING_ON: Final = sorted(state.value for state in RunState if state not in ENDED)

# Decoded row by row: one line that is broken must not hide the others.
_LINE: Final = [
    type_coerce(column, Text).label(column.name) if column.name == "data" else column
    for column in schema.journal.c
]


# Made once: to put one together takes longer than SQLite takes to answer it.
_FIND: Final = select(schema.run).where(schema.run.c.id == bindparam("name"))
_UNENDED: Final = select(schema.run).where(schema.run.c.state.in_(GOING_ON))
_CHANGED: Final = select(schema.run).where(schema.run.c.changed_at >= bindparam("start"))
_SAID_NO: Final = schema.run.c.reason.in_(SAID_NO)
# One after the other: all in one, SQLite reads every run.
_COUNTED: Final = (
    select(schema.run).where(
        or_(
            and_(
                schema.run.c.started_at >= bindparam("start"),
                or_(schema.run.c.state != RunState.REFUSED.value, _SAID_NO),
            ),
            schema.run.c.state.in_(GOING_ON),
        )
    ),
    _CHANGED,
    # A question stands for a day at most; the beginning has an index, the end has none.
    select(schema.run).where(
        schema.run.c.started_at >= bindparam("day_before"),
        schema.run.c.ended_at >= bindparam("start"),
        _SAID_NO,
    ),
)
_ADD: Final = insert(schema.run)
_CHANGE: Final = (
    update(schema.run)
    .where(schema.run.c.id == bindparam("name"))
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"), ended_at=bindparam("end"))
)
_CHANGE_BEGINS: Final = (
    update(schema.run)
    .where(schema.run.c.id == bindparam("name"), schema.run.c.changed_at.is_(None))
    .values(changed_at=bindparam("now"))
)
_LATEST_CHANGED: Final = (
    select(schema.run)
    .where(
        schema.run.c.runbook == bindparam("called"),
        schema.run.c.changed_at.is_not(None),
        schema.run.c.reason.not_in(bindparam("besides", expanding=True)),
    )
    .order_by(schema.run.c.changed_at.desc())
    .limit(bindparam("most"))
)
_ASKED: Final = (
    select(schema.run.c.alert, schema.run.c.started_at)
    .where(
        schema.run.c.started_at >= bindparam("start"),
        schema.run.c.runbook.not_in(bindparam("besides", expanding=True)),
        schema.run.c.reason != "condition_false",
    )
    .order_by(schema.run.c.started_at.desc())
    .limit(bindparam("most"))
)
_NEWEST: Final = (
    select(schema.run).order_by(schema.run.c.started_at.desc(), schema.run.c.id).limit(bindparam("most"))
)
_WRITE: Final = insert(schema.journal)
_LAST: Final = select(func.max(schema.journal.c.seq)).where(schema.journal.c.run == bindparam("name"))
_JOURNAL: Final = (
    select(*_LINE)
    .where(schema.journal.c.run.in_(bindparam("names", expanding=True)))
    .order_by(schema.journal.c.run, schema.journal.c.seq)
)


class Runs:
    """Keeps runs and journal inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection
        self.written: list[tuple[JournalKind, int]] = []
        """The kind and the step of each line that was written here."""

    def find(self, run_id: str) -> Run | None:
        """Return one run."""
        row = self._connection.execute(_FIND, {"name": run_id}).first()
        return None if row is None else _run(row)

    def add(self, run: Run) -> None:
        """Record a new run."""
        row = {
            "id": run.id, "runbook": run.runbook, "alert": run.alert, "fired_at": run.fired_at,
            "target": run.target, "state": run.state.value, "reason": run.reason,
            "started_at": run.started_at, "ended_at": run.ended_at, "changed_at": run.changed_at,
        }  # fmt: skip
        self._connection.execute(_ADD, [row])
        self._count(run)

    def change(self, run: Run) -> None:
        """Record the new state of a run, and count it when that is its last."""
        row = {
            "name": run.id, "new_state": run.state.value, "new_reason": run.reason, "end": run.ended_at,
        }  # fmt: skip
        self._connection.execute(_CHANGE, row)
        self._count(run)

    def change_begins(self, run_id: str, at: Timestamp) -> None:
        """Record that a run begins to change something, the first time that it does."""
        self._connection.execute(_CHANGE_BEGINS, {"name": run_id, "now": at})

    def unended(self) -> list[Run]:
        """Return the runs that are not over, oldest first."""
        return self._oldest_first(_UNENDED)

    def since(self, start: Timestamp) -> list[Run]:
        """Return what limits are counted from: runs begun since a time, and all that are not over."""
        table = schema.run
        return self._oldest_first(
            select(table).where(or_(table.c.started_at >= start, table.c.state.in_(GOING_ON)))
        )

    def counted(self, start: Timestamp) -> list[Run]:
        """Return the same without those that gates refused: they count for nothing, and may be many.

        With them come those that waited for people, and changed something or were ended by them since then.
        """
        asked = {"start": start, "day_before": start - DAY}
        found = {run.id: run for one in _COUNTED for run in self._oldest_first(one, asked)}
        return sorted(found.values(), key=lambda run: (run.started_at, run.id))

    def changed(
        self, start: Timestamp, runbooks: Iterable[str], latest: int, besides: Collection[str] = ()
    ) -> list[Run]:
        """Return the runs that changed something since a time, and the latest of each of some runbooks.

        Among the latter none counts that ended with one of the words `besides`.
        """
        found = {run.id: run for run in self._oldest_first(_CHANGED, {"start": start})}
        for name in runbooks:
            asked = {"called": name, "besides": list(besides), "most": latest}
            found.update((row.id, _run(row)) for row in self._connection.execute(_LATEST_CHANGED, asked))
        return sorted(found.values(), key=lambda run: (run.started_at, run.id))

    def asked(self, start: Timestamp, besides: Iterable[str], most: int) -> list[Asked]:
        """Return which alerts wanted a change since a time, the latest first, so many at most.

        That are those of all runs, refused ones too, but of runbooks that only look (`besides`).
        """
        asked = {"start": start, "besides": list(besides), "most": most}
        rows = self._connection.execute(_ASKED, asked)
        return [Asked(row.alert, Timestamp(row.started_at)) for row in rows]

    def of(self, alerts: Iterable[Alert], since: Timestamp, until: Timestamp) -> list[Run]:
        """Return the runs for these firings that began between two times, oldest first."""
        wanted = {(alert.fingerprint, alert.fired_at) for alert in alerts}
        table = schema.run
        # By time, which has an index.
        begun = self._oldest_first(select(table).where(table.c.started_at.between(since, until)))
        return [run for run in begun if (run.alert, run.fired_at) in wanted]

    def newest(
        self, limit: int, runbook: str | None = None, *, waiting: bool = False, run: str | None = None
    ) -> list[Run]:
        """Return the latest runs, newest first: of one runbook or all, those that wait, the one of an id."""
        query = _NEWEST
        if run is not None:
            query = query.where(schema.run.c.id == run)
        if runbook is not None:
            query = query.where(schema.run.c.runbook == runbook)
        if waiting:
            query = query.where(schema.run.c.state == RunState.AWAITING_APPROVAL.value)
        return [_run(row) for row in self._connection.execute(query, {"most": limit})]

    def write(
        self, run_id: str, at: Timestamp, kind: JournalKind, step: int, action: str, data: Document
    ) -> None:
        """Append one line to a run's journal."""
        seq = self.last_line(run_id) + 1
        line = {
            "run": run_id, "seq": seq, "at": at, "kind": kind.value, "step": step, "action": action,
            "data": data,
        }  # fmt: skip
        self._connection.execute(_WRITE, [line])
        self.written.append((kind, step))

    def last_line(self, run_id: str) -> int:
        """Return the number of the last line of a run's journal; 0 without any."""
        return self._connection.execute(_LAST, {"name": run_id}).scalar_one() or 0

    def journal(self, run_ids: Sequence[str]) -> Mapping[str, tuple[JournalEntry, ...]]:
        """Return the journals of some runs, each in order, without lines that cannot be read."""
        found: dict[str, list[JournalEntry]] = {run_id: [] for run_id in run_ids}
        for row in self._lines(run_ids):
            entry = _entry(row)
            if entry is not None:
                found[entry.run].append(entry)
        return {run_id: tuple(entries) for run_id, entries in found.items()}

    def lines(self, run_id: str) -> tuple[tuple[JournalEntry, ...], list[int]]:
        """Return the journal of a run, and the numbers of its lines that cannot be read."""
        found = [(row.seq, _entry(row)) for row in self._lines([run_id])]
        entries = tuple(entry for _, entry in found if entry is not None)
        return entries, [seq for seq, entry in found if entry is None]

    def set_aside(self, run_id: str, numbers: Sequence[int]) -> None:
        """Make notes of lines that cannot be read: what stood there is kept, and decides nothing."""
        table = schema.journal
        for row in self._lines([run_id]):
            if row.seq in numbers:
                this = update(table).where(table.c.run == run_id, table.c.seq == row.seq)
                data = {"note": "unreadable", "was": row.data}
                self._connection.execute(this.values(kind=JournalKind.NOTE.value, data=data))

    def _lines(self, run_ids: Sequence[str]) -> list[Row[tuple[object, ...]]]:
        return list(self._connection.execute(_JOURNAL, {"names": list(run_ids)}))

    def counts(self) -> Mapping[tuple[str, RunState, str], int]:
        """Return how many runs there were, ever, by runbook, state and reason."""
        counts = Counter((run.runbook, run.state, run.reason) for run in self.unended())
        for tally in tallies.read(self._connection, tallies.RUN):
            counts[tally.name, RunState(tally.state), tally.reason] += tally.count
        return counts

    def _oldest_first(
        self, query: Select[tuple[object, ...]], asked: Mapping[str, int] | None = None
    ) -> list[Run]:
        # Sorted here: asked for an order, SQLite reads all runs in that order instead of finding these.
        found = [_run(row) for row in self._connection.execute(query, asked)]
        return sorted(found, key=lambda run: (run.started_at, run.id))

    def _count(self, run: Run) -> None:
        if run.ended:
            tallies.count(self._connection, tallies.RUN, run.runbook, run.state.value, run.reason)


def _entry(row: Row[tuple[object, ...]]) -> JournalEntry | None:
    """Return a line of a journal; None for one that another version, or somebody by hand, wrote."""
    try:
        kind, data = JournalKind(row.kind), json.loads(row.data)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    return JournalEntry(row.run, row.seq, Timestamp(row.at), kind, row.step, row.action, data)


def _run(row: Row[tuple[object, ...]]) -> Run:
    return Run(
        id=row.id,
        runbook=row.runbook,
        alert=row.alert,
        fired_at=Timestamp(row.fired_at),
        target=row.target,
        state=RunState(row.state),
        reason=row.reason,
        started_at=Timestamp(row.started_at),
        ended_at=row.ended_at,
        changed_at=row.changed_at,
    )
