"""Silences that a run goes on without, because nobody said whether they were made: looked for, and ended.

A run that left a silence out must not have it all the same, until its own end. Who is asked lists what there
is by its maker, the key of the step; what was left out is in the journal, so that a controller that comes
later knows of it too. It has a thread of its own: no mitigation waits for an Alertmanager that is gone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from netsre.app.control import ACTOR
from netsre.app.control.incidents import steps
from netsre.app.control.silencing import Silencer
from netsre.app.control.world import World
from netsre.clock import HOUR, SECOND, Timestamp
from netsre.model.deeds import Silence
from netsre.model.runbooks import JournalEntry
from netsre.runbook.actions.silence import LONGEST

_PAUSE: Final = 30 * SECOND
"""Between two tries."""


@dataclass(slots=True)
class Leftovers:
    """What is looked for until it is certain."""

    world: World
    _tried_at: Timestamp | None = field(default=None, init=False)

    def end(self) -> None:
        """End what was left out and is there; nothing is asked of anybody while there is no doubt."""
        silencer, now = self.world.outside.silences, self.world.clock.now()
        if not silencer.clients or not silencer.uncertain.is_set():
            return
        if self._tried_at is not None and abs(now - self._tried_at) < _PAUSE:
            return
        self._tried_at = now
        # Before the look: what becomes uncertain meanwhile is for the next one.
        silencer.uncertain.clear()
        certain = False
        try:
            found = [is_left and self._ended(silencer, key) for key, is_left in self._silences(now)]
            certain = all(found)
        finally:
            if not certain:
                silencer.uncertain.set()

    def _ended(self, silencer: Silencer, key: str) -> bool:
        """End the silence of a step; tell whether it is certain that none is in force."""
        certain, ended = silencer.end_left(key)
        if ended:
            with self.world.store.write() as transaction:
                transaction.audit.append(
                    self.world.clock.now(), ACTOR, "silence.ended", key, {"why": "left_out"}
                )
        return certain

    def _silences(self, now: Timestamp) -> Iterator[tuple[str, bool]]:
        """Yield the key of each silence that may be in force without a word, and whether it was left out.

        One without an outcome may still have it.
        """
        with self.world.store.read() as transaction:
            runs = transaction.runs.counted(Timestamp(now - LONGEST - HOUR))
            journals = transaction.runs.journal([run.id for run in runs])
        for run in runs:
            yield from _left(journals[run.id], now, ended=run.ended)


def _left(journal: Iterable[JournalEntry], now: Timestamp, *, ended: bool) -> Iterator[tuple[str, bool]]:
    for told in steps.read(journal, None):
        silence = told.effect
        if told.begun is None or not isinstance(silence, Silence) or now - told.begun.at > silence.ttl + HOUR:
            continue
        if told.outcome is None:
            yield told.key, ended
        elif "skipped" in told.outcome.data:
            yield told.key, True
