"""What runs left in force, looked for on the node: a sweep or another hand may have ended it before its time.

Nobody tells a controller of that, and people would be told of a mitigation that is not there.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.app.control import runs
from netsre.app.control.incidents import steps
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.model.deeds import Call, Silence
from netsre.model.effects import Effect, Standing
from netsre.model.runbooks import JournalEntry, Run
from netsre.runbook import journal, story
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable

_log: Final = logging.getLogger("netsre.runbook")

_LONGEST: Final = 1 * clock.DAY
"""For which an effect can be in force."""
EVERY: Final = 5 * clock.SECOND
"""Between two looks."""
_SOON: Final = 10 * clock.SECOND
"""What ends so soon is not looked for: the node may be a little ahead."""


@dataclass(frozen=True, slots=True)
class _Lasting:
    """One effect of a run that no line of its journal ends."""

    run: Run
    step: int
    action: str
    key: str
    effect: Effect
    until: Timestamp


class Lapses:
    """Notes in the journals of runs what of them is no longer in force."""

    def __init__(self, world: World) -> None:
        """Begin without knowing any run."""
        self._world = world
        self._over: dict[str, list[_Lasting]] = {}
        """Of runs that are over: their journals grow by nothing but what is written here."""
        self._looked_at = Timestamp(-EVERY)

    def look(self) -> None:
        """Ask the node, when it is time and something should be in force; no answer says nothing."""
        now = self._world.clock.now()
        if 0 <= now - self._looked_at < EVERY:
            return
        self._looked_at = now
        expected = [one for one in self._lasting(now) if one.until > now + _SOON]
        if not expected:
            return
        try:
            there = {one.key for one in self._world.sight.node.effects()}
            for one in expected:
                if one.key not in there:
                    self._settle(one)
        except (NodeUnreachable, NodeRefused) as error:
            _log.debug("what is in force is not known %s", pairs(error=error))

    def _lasting(self, now: Timestamp) -> list[_Lasting]:
        with self._world.store.read() as transaction:
            changed = transaction.runs.changed(Timestamp(now - _LONGEST), (), 0)
            unread = [run.id for run in changed if run.id not in self._over]
            lines = transaction.runs.journal(unread) if unread else {}
        found = {run.id: self._over.get(run.id) or _read(run, lines.get(run.id, ())) for run in changed}
        self._over = {run.id: found[run.id] for run in changed if run.ended}
        return [one for effects in found.values() for one in effects]

    def _settle(self, one: _Lasting) -> None:
        standing = self._world.sight.node.look(one.key, one.effect)
        if standing is not Standing.APPLIED:
            with self._world.store.write() as transaction:
                at = self._world.clock.now()
                runs.write(transaction, one.run, journal.lapsed(one.step, one.action, standing), at)
                figures = {"standing": standing.value}
                runs.tell_effect(transaction, "lapsed", one.key, one.effect, figures, at)
            if one.run.ended:
                self._over[one.run.id].remove(one)


def _read(run: Run, entries: Iterable[JournalEntry]) -> list[_Lasting]:
    lines = tuple(entries)
    return [
        _Lasting(run, told.number, told.action, told.key, told.effect, told.until)
        for told in steps.read(lines, story.read(lines).plan)
        if told.effect is not None
        and not isinstance(told.effect, Silence | Call)
        and told.until is not None
        and told.undone_at is None
        and told.lapsed_at is None
    ]
