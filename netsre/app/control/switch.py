"""The controller's eye on the kill switch: makes it once, and puts every change of it on record."""

import functools
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from netsre.app import kill_switch
from netsre.app.control import ACTOR
from netsre.app.control.snapshot import Board
from netsre.app.kill_switch import Switch
from netsre.app.logs import pairs
from netsre.clock import Clock
from netsre.errors import EnvironmentUnfit
from netsre.model.documents import canonical
from netsre.store.database import Store

_log: Final = logging.getLogger("netsre.runbook")

_SEEN: Final = "kill_switch"
"""The fact under which the database remembers the last state on record."""
_FIRST: Final = "first start"


class SwitchWatch:
    """Looks at the switch of a data directory, and at what was said to other controllers of its database."""

    def __init__(self, store: Store, data_dir: Path, board: Board, clock: Clock, name: str = "") -> None:
        """Put what is seen on the board; `name` tells this controller from others of the same database.

        Each writes down what it was told itself, and leads or stands by while it does: the store is that of
        no term.
        """
        self._store = store
        self._data_dir = data_dir
        self._board = board
        self._clock = clock
        self._name = name
        self._key = f"{_SEEN}:{name}" if name else _SEEN
        self._deaf = ""
        """Why what was said to others cannot be kept here; empty while it can."""

    def begin(self) -> None:
        """Make the switch, off, at the first start of a data directory, and look at it.

        The database remembers that there was one: a file that is missing later was taken away, and nobody
        knows what it said.
        """
        with self._store.read() as transaction:
            first = transaction.meta.get(self._key) is None
        if first and not kill_switch.exists(self._data_dir):
            made = kill_switch.switched(on=False, by=ACTOR, reason=_FIRST, at=self._clock.now())
            # It answers nothing that was said elsewhere.
            made = replace(made, at="") if self._name else made
            kill_switch.write(self._data_dir, made)
        self.watch()

    def read(self) -> Switch:
        """Return the state now."""
        if self._deaf:
            return Switch(on=True, reason=kill_switch.UNREADABLE, by="", at="", problem=self._deaf)
        return kill_switch.read(self._data_dir)

    def watch(self) -> None:
        """Look, and put a change into the audit, once over all restarts."""
        with self._store.read() as transaction:
            before = transaction.meta.get(self._key)
            said = transaction.meta.named(f"{_SEEN}:") if self._name else {}
        self._hear(text for key, text in said.items() if key != self._key)
        self._board.switch = self.read()
        switch = kill_switch.said_here(self._data_dir)
        seen = canonical(switch.document())
        if before == seen:
            return
        with self._store.write() as transaction:
            transaction.meta.put(self._key, seen)
            verb = f"kill_switch.{switch.state}"
            transaction.audit.append(
                self._clock.now(), ACTOR, verb, str(self._data_dir / kill_switch.FILE_NAME), switch.document()
            )
        told = pairs(
            state=switch.state, by=switch.by, reason=switch.reason or None, problem=switch.problem or None
        )
        _log.log(logging.WARNING if switch.on else logging.INFO, "kill switch %s", told)

    def _hear(self, said: Iterable[str]) -> None:
        """Keep what was said to others where it is read before every change."""
        # What another one cannot read is that one's trouble: if it led, it would not act.
        others = [switch for switch in map(_parsed, said) if switch.reason != kill_switch.UNREADABLE]
        if not others:
            return
        holds = functools.reduce(kill_switch.stronger, others)
        path = self._data_dir / kill_switch.ELSEWHERE
        try:
            if not path.exists() or kill_switch.heard(self._data_dir) != holds:
                kill_switch.write(self._data_dir, holds, kill_switch.ELSEWHERE)
        except EnvironmentUnfit as error:
            self._deaf = str(error)
            raise
        self._deaf = ""


def _parsed(text: str) -> Switch:
    try:
        return kill_switch.parse(json.loads(text))
    except ValueError as error:
        return Switch(on=True, reason="kill switch of another controller", by="", at="", problem=str(error))
