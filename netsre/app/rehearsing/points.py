"""Points in the life of a run at which a scenario has something happen: each event once, the first time."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from netsre.model.scenarios import Event, Point
from netsre.runbook import story
from netsre.store.database import Store, Transaction
from netsre.store.memory import MemoryStore

_STEP: Final = re.compile(r"[^/]*/([0-9]+)")
"""Of a key, behind the name of the run."""
Answer = TypeVar("Answer")


@dataclass
class Points:
    """Events that wait for a point."""

    waiting: list[Event]
    happen: Callable[[Event], None] = lambda _event: None
    passed: list[str] = field(default_factory=list)
    """Every point so far."""
    seen: Callable[[], None] = lambda: None
    """Called at every point; may end the life of the controller."""

    def passing(self, word: str, step: int, *, after: bool) -> None:
        """Pass a point, and have happen what waits for it."""
        self.passed.append(f"{'after' if after else 'before'} {word}{f' {step}' if step >= 0 else ''}")
        for event in [event for event in self.waiting if _is_at(event, word, step, after=after)]:
            self.waiting.remove(event)
            self.happen(event)
        self.seen()

    def commanded(
        self, word: str, key: str, do: Callable[[], Answer], heard: Callable[[], None] = lambda: None
    ) -> Answer:
        """Do what is commanded about a key; `heard` raises where nobody hears it, or its answer."""
        step = _step(key)
        self.passing(word, step, after=False)
        heard()
        answer = do()
        self.passing(word, step, after=True)
        heard()
        return answer


def _step(key: str) -> int:
    """Return which step of its run a key is of."""
    return int(found[1]) if (found := _STEP.match(key)) else story.WHOLE


def _is_at(event: Event, word: str, step: int, *, after: bool) -> bool:
    when = event.when
    if not isinstance(when, Point):
        return False
    return (when.word, when.after) == (word, after) and when.step in (None, step)


class PointedStore(Store):
    """A store whose every line of a journal is a point before it is kept, and one after."""

    points = Points([])

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction; what happens before its end undoes it."""
        with super().write() as transaction:
            yield transaction
            lines = tuple(transaction.runs.written)
            for kind, step in lines:
                self.points.passing(kind.value, step, after=False)
        for kind, step in lines:
            self.points.passing(kind.value, step, after=True)


class WatchedStore(PointedStore, MemoryStore):
    """That of a scenario."""
