"""Keeping children alive: who is started again, after how long, and when to give up."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from netsre.adapters import children, privileges, processes
from netsre.adapters.children import Child
from netsre.adapters.privileges import ServiceUser
from netsre.errors import EnvironmentUnfit
from netsre.gameday.ownership import Owner

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
FORGIVEN_AFTER: Final = 300.0
"""All of these in seconds, by a clock that nobody can set."""
MOST_FAILURES: Final = 5
STEADY_AFTER: Final = 60.0
"""A child that kept ending and has run for this long is said to run again."""
GRACE_SECONDS: Final = 5.0
GRACE_WHEN_IMPATIENT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """What one child runs."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside what the parent passes on."""
    essential: bool = False
    """Without it the others are of no use: when it keeps ending, everything ends."""
    user: ServiceUser | None = None
    """Whom it becomes before it begins; None for a program of ours, which does that by itself."""


def recent(failures: Sequence[float], now: float) -> list[float]:
    """Return the failures that are not forgiven yet."""
    return [at for at in failures if now - at < FORGIVEN_AFTER]


def pause_before(failures: Sequence[float], now: float) -> float:
    """Return the seconds to wait before a child that failed at these times is started again.

    Doubles from 1 s with every failure of the last 5 minutes; from the fifth on it is the longest, 30 s.
    """
    count = len(recent(failures, now))
    return LONGEST_PAUSE if count >= MOST_FAILURES else FIRST_PAUSE * 2 ** max(0, count - 1)


@dataclass(slots=True)
class _Kept:
    program: Program
    child: Child | None = None
    failures: list[float] = field(default_factory=list)
    due: float = 0.0
    began: float = 0.0
    keeps_ending: bool = False
    """Said once; from then on there is silence about it until it runs again for a while."""


class Supervisor:
    """The children of this process. One thread only: the kernel watches for that thread's end."""

    def __init__(self, owner: Owner, kind: str, say: Callable[[str], None]) -> None:
        """`say` gets one line for everything a person should know."""
        self._owner = owner
        self._kind = kind
        self._say = say
        self._kept: dict[str, _Kept] = {}

    def start(self, program: Program) -> Child:
        """Start a child and keep it running from now on."""
        kept = self._kept.setdefault(program.name, _Kept(program))
        kept.child = self._spawn(program)
        return kept.child

    def __iter__(self) -> Iterator[Child]:
        """Yield the children that run, in the order of their first start."""
        return (kept.child for kept in self._kept.values() if kept.child is not None)

    def watch(self, now: float) -> None:
        """Pass on what the children said, and start again those that ended.

        `now` is in seconds of a clock that nobody sets: pauses must not grow when the wall clock goes back.
        Raises `EnvironmentUnfit` when an essential one failed too often.
        """
        for kept in self._kept.values():
            if kept.child is not None:
                # Asked first: what it said until its end is then all there to be read.
                ended = kept.child.exit_code is not None
                self._listen(kept.child)
                if ended:
                    self._bury(kept, kept.child, now)
                elif kept.keeps_ending and now - kept.began >= STEADY_AFTER:
                    kept.keeps_ending = False
                    self._say(f"{kept.program.name}: runs again, pid {kept.child.pid}")
            elif now >= kept.due:
                kept.child = self._spawn(kept.program)
                kept.began = now
                if not kept.keeps_ending:
                    self._say(f"{kept.program.name}: started again, pid {kept.child.pid}")

    def stop(
        self,
        impatient: Callable[[], bool],
        before_killing: Callable[[Sequence[Child]], None] = lambda _: None,
    ) -> None:
        """End all children, and wait for it; a second wish to stop, meanwhile, shortens their grace.

        `before_killing` is told of those that do not end by themselves; it must not raise.
        """
        # The latest first: a client without its server would count its last attempts as failures.
        latest_first = list(reversed(list(self)))
        children.stop(
            latest_first,
            lambda: GRACE_WHEN_IMPATIENT if impatient() else GRACE_SECONDS,
            self._listen,
            before_killing,
        )
        for child in latest_first:
            self._listen(child)
            child.close()
        self._kept.clear()

    def _bury(self, kept: _Kept, child: Child, now: float) -> None:
        kept.failures = [*recent(kept.failures, now), now]
        kept.child = None
        child.close()
        pause = pause_before(kept.failures, now)
        kept.due = now + pause
        ending = f"{child.name} (pid {child.pid}) ended: {describe_exit(child)}"
        often = len(kept.failures) >= MOST_FAILURES
        if often and kept.program.essential:
            message = f"{ending}; it was the {MOST_FAILURES}th time in 5 minutes, giving up"
            raise EnvironmentUnfit(message)
        if not often:
            kept.keeps_ending = False
            self._say(f"{ending}; starting it again in {pause:.0f} s")
        elif not kept.keeps_ending:
            kept.keeps_ending = True
            self._say(f"{ending}; it keeps ending; still trying every {pause:.0f} s")

    def _listen(self, child: Child) -> None:
        for line in child.lines():
            if not self._kept[child.name].keeps_ending:
                self._say(f"{child.name}: {line}")

    def _spawn(self, program: Program) -> Child:
        mark = self._owner.name(self._kind, program.name)
        passed_on = {**os.environ, **program.environment, processes.OWNER_VARIABLE: mark}
        parent = os.getpid()

        def before() -> None:
            privileges.die_with_parent(parent, signal.SIGTERM)
            if program.user is not None:
                privileges.drop_to(program.user)

        return Child(program.name, program.command, passed_on, before)


def describe_exit(child: Child) -> str:
    """Say how a child ended and what it said last."""
    code = child.exit_code
    if code is None:
        return f"it runs as pid {child.pid} and says {child.last_line or 'nothing'}"
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}, last words: {child.last_line}" if child.last_line else how
