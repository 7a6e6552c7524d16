"""The thread that acts: whatever a node or a peer keeps waiting, the turns that measure do not wait with it.

Every second, and at once when woken, each duty is done in its turn. One that fails is told once, is visible
until it works again, and stops none of the others.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from netsre.app.control.snapshot import Board
from netsre.app.logs import pairs
from netsre.errors import NetsreError

_log: Final = logging.getLogger("netsre.automation")

_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing that is done again and again."""

    name: str
    do: Callable[[], object]
    """Returns True, and nothing like it, where there is more to do at once."""


class Worker:
    """Does its duties, one after the other, in one thread."""

    def __init__(self, duties: Sequence[Duty], board: Board, name: str = "automation") -> None:
        """Do these, in a thread of this name; what fails is put on the board."""
        self._duties = tuple(duties)
        self._board = board
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._pause = _PAUSE_SECONDS
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._thread.start()

    def wake(self) -> None:
        """Have a round begin at once, or right after the present one."""
        self._woken.set()

    def stop(self, seconds: float) -> None:
        """End after the present duty, and wait for that so long: what is unfinished then is settled later."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(seconds)

    def round(self) -> None:
        """Do every duty once."""
        for duty in self._duties:
            if self._stopping.is_set():
                return
            try:
                more = duty.do()
            except NetsreError as error:
                self._failed(duty, str(error))
            except Exception as error:  # noqa: BLE001  # the thread outlives every mistake
                _log.debug("duty failed", exc_info=True)
                message = f"internal error: {type(error).__name__}: {error}; please report it"
                self._failed(duty, message)
            else:
                self._works(duty)
                if more is True:
                    self.wake()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Before the round: what is told while it goes on leads to another one.
            self._woken.clear()
            self.round()
            self._woken.wait(self._pause)

    def _failed(self, duty: Duty, problem: str) -> None:
        if self._board.problems.get(duty.name) != problem:
            _log.error("automation failed, it is tried again %s", pairs(duty=duty.name, error=problem))
        self._board.problems = MappingProxyType({**self._board.problems, duty.name: problem})

    def _works(self, duty: Duty) -> None:
        if duty.name not in self._board.problems:
            return
        _log.info("automation works again %s", pairs(duty=duty.name))
        left = {name: problem for name, problem in self._board.problems.items() if name != duty.name}
        self._board.problems = MappingProxyType(left)
