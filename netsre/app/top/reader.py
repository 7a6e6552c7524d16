"""Reads an agent again and again, beside the terminal: an agent that hangs must not keep a key waiting."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from netsre.adapters.agent_client import AgentClient
from netsre.app.top.measuring import Interval, Meter
from netsre.clock import SystemClock, Timestamp
from netsre.errors import EnvironmentUnfit, SourceUnreachable

_NODE: Final = "agent"
"""All readings are of one agent; who it is does not matter here."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking once."""

    at: Timestamp
    interval: Interval | None = None
    """None where there is nothing to compare with."""
    problem: str = ""
    """Why there was no answer; empty when there was one."""


class Asking:
    """One agent, and what was read of it."""

    def __init__(self, agent: str) -> None:
        """Prepare for readings; nothing is sent yet."""
        self._clock = SystemClock()
        self._client = AgentClient(agent, _NODE, self._clock)
        self._meter = Meter()

    def ask(self) -> Interval | None:
        """Read once; returns what happened since the last reading, None after the first.

        Raises `EnvironmentUnfit` when the agent does not answer.
        """
        try:
            scrape = self._client.scrape()
        except SourceUnreachable as error:
            raise EnvironmentUnfit(f"{error}, or name another with --agent URL") from error
        return self._meter.add(scrape, time.monotonic_ns())

    def answer(self) -> Answer:
        """Do the same for a screen, which stays when there is none."""
        try:
            return Answer(self._clock.now(), self.ask())
        except EnvironmentUnfit as error:
            return Answer(self._clock.now(), problem=str(error))


class Reader:
    """Asks every `interval` seconds, in a thread of its own."""

    def __init__(self, asking: Asking, interval: float, tell: Callable[[], None]) -> None:
        """Prepare; `tell` is called after each answer, in that thread."""
        self.answers: SimpleQueue[Answer | Exception] = SimpleQueue()
        """An exception is a mistake of ours, and the last thing that comes."""
        self._asking = asking
        self._interval = interval
        self._tell = tell
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; the first reading was made a moment ago."""
        # Nobody waits for it at the end: an agent that hangs is no reason to hold a terminal.
        threading.Thread(target=self._run, name="top-reader", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def _run(self) -> None:
        due = time.monotonic() + self._interval
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - self._interval) + self._interval
            try:
                self.answers.put(self._asking.answer())
            # Raised where somebody sees it: a thread that ended would leave numbers that look alive.
            except Exception as error:  # noqa: BLE001
                self.answers.put(error)
                return
            finally:
                self._tell()
