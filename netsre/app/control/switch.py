"""The controller's eye on the kill switch: makes it once, and puts every change of it on record."""

import logging
from pathlib import Path
from typing import Final

from netsre.app import kill_switch
from netsre.app.control import ACTOR
from netsre.app.control.snapshot import Board
from netsre.app.kill_switch import Switch
from netsre.app.logs import pairs
from netsre.clock import Clock
from netsre.model.documents import canonical
from netsre.store.database import Store

_log: Final = logging.getLogger("netsre.runbook")

_SEEN: Final = "kill_switch"
"""The fact under which the database remembers the last state on record."""


class SwitchWatch:
    """Looks at the switch of a data directory."""

    def __init__(self, store: Store, data_dir: Path, board: Board, clock: Clock) -> None:
        """Put what is seen on the board."""
        self._store = store
        self._data_dir = data_dir
        self._board = board
        self._clock = clock

    def begin(self) -> None:
        """Make the switch, off, at the first start of a data directory, and look at it.

        The database remembers that there was one: a file that is missing later was taken away, and nobody
        knows what it said.
        """
        with self._store.read() as transaction:
            first = transaction.meta.get(_SEEN) is None
        if first and not kill_switch.exists(self._data_dir):
            made = kill_switch.switched(on=False, by=ACTOR, reason="first start", at=self._clock.now())
            kill_switch.write(self._data_dir, made)
        self.watch()

    def read(self) -> Switch:
        """Return the state now."""
        return kill_switch.read(self._data_dir)

    def watch(self) -> None:
        """Look, and put a change into the audit, once over all restarts."""
        switch = self.read()
        self._board.switch = switch
        seen = canonical(switch.document())
        with self._store.read() as transaction:
            if transaction.meta.get(_SEEN) == seen:
                return
        with self._store.write() as transaction:
            transaction.meta.put(_SEEN, seen)
            verb = f"kill_switch.{switch.state}"
            transaction.audit.append(
                self._clock.now(), ACTOR, verb, str(self._data_dir / kill_switch.FILE_NAME), switch.document()
            )
        said = pairs(
            state=switch.state, by=switch.by, reason=switch.reason or None, problem=switch.problem or None
        )
        _log.log(logging.WARNING if switch.on else logging.INFO, "kill switch %s", said)
