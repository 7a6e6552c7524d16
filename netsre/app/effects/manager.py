"""The effects of one agent: asked for by key, on file before they are made, and ended when they are due.

Every question has an answer: what failed or was interrupted is settled by a look at the kernel, never left
open and never done again unseen.
"""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from netsre.adapters.control import ControlRefused
from netsre.app.effects import bounds
from netsre.app.effects.ledger import Entry, Ledger, State, Where, is_key, kept_for, lives
from netsre.clock import Clock, Timestamp
from netsre.errors import NetsreError
from netsre.model.documents import Document
from netsre.model.effects import Block, DoneAtOnce, Effect, InForce, Standing

_log: Final = logging.getLogger("netsre.effects")

_FAILURES: Final = (OSError, NetsreError)
_MILLISECOND: Final = 10**6
_TIDY: Final = 600 * 10**9
"""Nanoseconds between two looks for what dead agents left, and files that nobody will ask for any more."""
_AGAIN: Final = 10 * 10**9
"""The same where something could not be settled: until then it has nobody who ends it."""
_PATIENCE: Final = 1.0
"""Seconds to wait for a ledger that another process holds: it may hang."""
_BUSY: Final = "busy"
"""The word for what is no verdict: whoever asked may ask again."""


class Kernel(Protocol):
    """What effects are made of; everything may refuse, or raise `OSError` or `EnvironmentUnfit`."""

    def check(self, effect: Effect) -> None:
        """Refuse what must not, or cannot, be done now; change nothing."""
        ...

    def begin(self, effect: Effect, deadline: int) -> Document:
        """Make the change and return figures; `deadline` is in nanoseconds of CLOCK_BOOTTIME."""
        ...

    def holds(self, effect: Effect, deadline: int) -> bool:
        """Say whether the kernel is as the effect makes it that has this deadline."""
        ...

    def end(self, effect: Effect, deadline: int) -> Document:
        """Take back what is still ours, and say under `result` what was found."""
        ...

    def at(self, where: Where) -> "Kernel":
        """Return the same for what another agent had elsewhere."""
        ...


class Effects:
    """What this agent was asked to change. Safe to be asked by several threads."""

    def __init__(self, ledger: Ledger, kernel: Kernel, clock: Clock, boottime: Callable[[], int]) -> None:
        """Keep the ledger; `boottime` returns CLOCK_BOOTTIME in nanoseconds, by which everything ends."""
        self._ledger = ledger
        self._kernel = kernel
        self._clock = clock
        self._boottime = boottime
        self._lock = threading.Lock()
        # Replaced, never changed: who counts needs no lock, and waits for nobody.
        self._mine: Mapping[str, Entry] = {}
        self._unwritten: Mapping[str, Entry] = {}
        """What is over, and is not on file as that, because there is no room."""
        self._tidy_at = boottime()
        self._complained: set[str] = set()
        self._absent: Mapping[str, int] = {}
        """Keys of which somebody was told that there is nothing, and the deadline of that question."""
        self._closed = False

    def adopt(self) -> None:
        """Go on with what an agent that is gone had in force, and end what is due."""
        # Where another process has the ledger, the first scan does it.
        with contextlib.suppress(TimeoutError), self._ledger.locked(_PATIENCE):
            self._adopt_orphans()

    def apply(
        self, key: str, effect: Effect, deadline: int | None = None, epoch: int | None = None
    ) -> Document:
        """Make a change once per key, and say what became of it; raises `ControlRefused`.

        A refusal means that nothing is in force. A key that was used already answers for its effect. From
        `deadline` on, in nanoseconds of CLOCK_BOOTTIME, nothing is begun any more: who asked has gone on.
        After a command with an `epoch` none is taken with an earlier one (`stale_epoch`); so also below.
        """
        with self._changing(epoch):
            known = self._known(key, effect)
            if known is None:
                return {**_answer(self._make(key, effect, deadline)), "already": False}
            return {**_answer(known), "already": True}

    def look(
        self, key: str, effect: Effect, deadline: int | None = None, epoch: int | None = None
    ) -> Standing:
        """Return what became of the effect of a key; `absent` is a promise.

        A change of that key with an earlier deadline than this question, one that waits somewhere still, is
        not made any more.
        """
        with self._changing(epoch):
            known = self._known(key, effect)
            if known is None and deadline is not None:
                now = self._boottime()
                self._absent = {other: at for other, at in self._absent.items() if at > now} | {key: deadline}
        return Standing.ABSENT if known is None else known.standing

    def undo(
        self, key: str, effect: Effect, deadline: int | None = None, epoch: int | None = None
    ) -> Document:
        """Take an effect back, and say under `undone` whether there was anything to take back.

        From `deadline` on, as in `apply`, what is in force stays so.
        """
        with self._changing(epoch):
            known = self._known(key, effect)
            if known is None:
                return {"standing": Standing.ABSENT.value, "undone": False}
            if not known.reversible:
                return {**_answer(known), "undone": False}
            if known.in_force and known.owner != self._ledger.owner:
                raise ControlRefused(
                    "other_agent", f"{key} is in force by the agent with pid {known.owner.pid}; ask that one"
                )
            self._check_time(key, deadline)
            try:
                return {**_answer(self._end(known, "undone")), "undone": True}
            except ControlRefused:
                raise
            except _FAILURES as error:
                later = "; it ends later" if known.in_force else ""
                raise ControlRefused("failed", f"{key} cannot be taken back: {error}{later}") from error

    def in_force(self) -> tuple[InForce, ...]:
        """Return what is in force on this host, by this agent or another that lives."""
        found = (entry for entry in self._entries() if entry.in_force and lives(entry.owner))
        return tuple(InForce(entry.key, entry.effect, entry.until) for entry in found)

    def counts(self) -> Mapping[type[Effect], int]:
        """Return how many effects this agent has in force, by kind; waits for no change."""
        return Counter(type(entry.effect) for entry in self._mine.values())

    def expire(self) -> None:
        """End what is due. What cannot be ended now, or would have to wait, is for the next time."""
        now = self._boottime()
        due = any(entry.deadline <= now for entry in self._mine.values())
        if not (due or now >= self._tidy_at) or not self._lock.acquire(blocking=False):
            return
        try:
            with self._ledger.locked(patience=0):
                for entry in [entry for entry in self._mine.values() if entry.deadline <= now]:
                    self._try_to_end(entry, "due")
                self._tidy(now)
        except TimeoutError:
            pass  # another process changes something, or hangs
        finally:
            self._lock.release()

    def close(self) -> None:
        """Take everything back; from then on everything is refused."""
        with self._lock:
            # A command may have waited for this moment: nothing would end what it begins.
            self._closed = True
            try:
                with self._ledger.locked(_PATIENCE):
                    for entry in self._mine.values():
                        self._try_to_end(entry, "agent_stopped")
            except TimeoutError as error:
                _log.warning("%d effects stay in force for the next agent: %s", len(self._mine), error)

    @contextlib.contextmanager
    def _changing(self, epoch: int | None = None) -> Iterator[None]:
        with self._lock, contextlib.ExitStack() as stack:
            if self._closed:
                raise ControlRefused("stopping", "this agent ends; ask again when the next one runs")
            try:
                stack.enter_context(self._ledger.locked(_PATIENCE))
            except TimeoutError as error:
                raise ControlRefused(_BUSY, f"{self._ledger.directory}: {error}; nothing was done") from error
            if epoch is not None:
                self._admit(epoch)
            yield

    def _admit(self, epoch: int) -> None:
        """Refuse a controller after which another one has led, and remember the newest."""
        try:
            newest = self._ledger.epoch()
            if epoch > newest:
                self._ledger.write_epoch(epoch)
        except (OSError, ValueError) as error:
            where = self._ledger.directory
            raise ControlRefused("ledger_failed", f"{where}: {error}; nothing was done") from error
        if epoch < newest:
            raise ControlRefused(
                "stale_epoch", f"epoch {epoch} is over, a controller with {newest} leads; nothing was done"
            )

    def _known(self, key: str, effect: Effect) -> Entry | None:
        """Return what is on file for a key, settled; a key that stands for another effect is refused."""
        if not is_key(key):
            raise ControlRefused("bad_key", f"{key[:80]!r} is no key; write RUN/STEP in letters and digits")
        entries = {entry.key: entry for entry in self._adopt_orphans()}
        known = entries.get(key)
        if known is None and self._ledger.has(key):
            where = self._ledger.directory
            raise ControlRefused(
                "ledger_failed", f"what {where} has of {key} cannot be read; nothing was done"
            )
        if known is not None and known.state is State.BEGUN:
            raise ControlRefused(_BUSY, f"what became of {key} cannot be told now; ask again")
        if known is not None and known.effect != effect:
            raise ControlRefused("key_reused", f"key {key} stands for another effect: {known.effect}")
        return known

    def _make(self, key: str, effect: Effect, deadline: int | None) -> Entry:
        entries = self._entries()
        bounds.check_room(effect, entries)
        ttl = bounds.ttl(effect)
        self._kernel_checks(effect)
        # Last of all: whatever waited before this point, a lock or this process, counts.
        self._check_time(key, deadline)
        ends = self._boottime() + ttl * _MILLISECOND
        until = Timestamp(self._clock.now() + ttl)
        begun = Entry(key, effect, State.BEGUN, self._ledger.owner, until, ends, None, {}, self._ledger.where)
        self._write_ahead(begun)
        try:
            return self._keep(begun, self._kernel.begin(effect, ends))
        except Exception as error:  # noqa: BLE001  whatever went wrong, the outcome must be known
            return self._settle_failure(begun, error)

    def _check_time(self, key: str, deadline: int | None) -> None:
        """Refuse what nobody waits for any more."""
        if deadline is None:
            return
        late = (self._boottime() - deadline) // _MILLISECOND
        if late >= 0:
            raise ControlRefused("too_late", f"{key} came {late} ms after its deadline; nothing was done")
        if deadline <= self._absent.get(key, 0):
            raise ControlRefused("too_late", f"{key} was looked for and not found since; nothing was done")

    def _kernel_checks(self, effect: Effect) -> None:
        try:
            self._kernel.check(effect)
        except ControlRefused:
            raise
        except _FAILURES as error:
            raise ControlRefused("failed", f"{effect} cannot be checked: {error}") from error

    def _write_ahead(self, begun: Entry) -> None:
        try:
            self._ledger.write(begun)
        except OSError as error:
            raise ControlRefused(
                "ledger_failed", f"{self._ledger.directory}: {error}; nothing was done"
            ) from error

    def _settle_failure(self, begun: Entry, error: Exception) -> Entry:
        """Look: what is as it should be counts as done; else nothing may be left of it."""
        refusal = error if isinstance(error, ControlRefused) else None
        if refusal is not None and refusal.reason == _BUSY:
            # It did not come to the change; and who is in the way of that is in the way of a look.
            self._ledger.remove(begun)
            raise refusal
        with contextlib.suppress(*_FAILURES):
            if self._at(begun).holds(begun.effect, begun.deadline):
                return self._keep(begun, {})
        try:
            self._at(begun).end(begun.effect, begun.deadline)
            self._ledger.remove(begun)
        except _FAILURES as failure:
            self._tidy_at = self._boottime()
            message = f"what became of {begun.key} cannot be told now: {error}; {failure}; ask again"
            raise ControlRefused(_BUSY, message) from error
        if refusal is not None:
            raise refusal
        raise ControlRefused("failed", f"{begun.effect} failed: {type(error).__name__}: {error}") from error

    def _keep(self, begun: Entry, details: Document) -> Entry:
        """Note that an effect is made."""
        over = self._boottime() if isinstance(begun.effect, DoneAtOnce) else None
        applied = begun.done(self._ledger.owner, details, over)
        self._ledger.write(applied)
        if applied.in_force:
            self._mine = {**self._mine, applied.key: applied}
        return applied

    def _end(self, entry: Entry, why: str) -> Entry:
        """Take an effect back and note it; where that fails, it is still in force."""
        details = self._at(entry).end(entry.effect, entry.deadline)
        ended = entry.ended(why, details, self._boottime())
        self._mine = {key: other for key, other in self._mine.items() if key != entry.key}
        self._complained.discard(entry.key)
        self._note_end(ended)
        return ended

    def _note_end(self, ended: Entry) -> None:
        """Put on file that an effect is over; what cannot be noted is over all the same."""
        others = {key: other for key, other in self._unwritten.items() if key != ended.key}
        try:
            self._ledger.write(ended)
            self._unwritten = others
        except OSError as error:
            self._unwritten = {**others, ended.key: ended}
            self._tidy_at = self._boottime()
            self._complain(ended, "%s is over, and that cannot be written down: %s; tried again", error)

    def _entries(self) -> tuple[Entry, ...]:
        """Return what is on file, or would be if there were room."""
        return tuple(self._unwritten.get(entry.key, entry) for entry in self._ledger.entries())

    def _try_to_end(self, entry: Entry, why: str) -> None:
        try:
            self._end(entry, why)
        except _FAILURES as error:
            self._complain(entry, "%s cannot be ended: %s; tried again until it can", error)

    def _complain(self, entry: Entry, message: str, error: Exception) -> None:
        if entry.key not in self._complained:
            self._complained.add(entry.key)
            _log.warning(message, entry.key, error)

    def _adopt_orphans(self) -> tuple[Entry, ...]:
        """Settle what has nobody who keeps it, and return everything that is on file then."""
        settled = []
        for entry in self._entries():
            known = self._settle(entry) if self._is_orphan(entry) else entry
            if known is not None:
                settled.append(known)
        return tuple(settled)

    def _at(self, entry: Entry) -> Kernel:
        return self._kernel if entry.where == self._ledger.where else self._kernel.at(entry.where)

    def _is_orphan(self, entry: Entry) -> bool:
        """Tell whether nobody keeps an effect that may be in force."""
        ours = entry.owner == self._ledger.owner
        interrupted = entry.state is State.BEGUN and (ours or not lives(entry.owner))
        return interrupted or (entry.in_force and not ours and not lives(entry.owner))

    def _settle(self, entry: Entry) -> Entry | None:
        """Take over an effect as it is found; None when there is none of it."""
        try:
            return self._take_over(entry)
        except _FAILURES as error:
            if isinstance(error, ControlRefused) and error.reason == _BUSY:
                return entry
            # Mostly its namespace or its interface is gone, and with them whatever was changed there.
            self._complain(entry, "%s was in force and cannot go on: %s", error)
            with contextlib.suppress(*_FAILURES):
                if entry.state is not State.BEGUN:
                    return self._end(entry, "gone")
                self._at(entry).end(entry.effect, entry.deadline)
                self._ledger.remove(entry)
                return None
            return entry

    def _take_over(self, entry: Entry) -> Entry | None:
        due = entry.deadline <= self._boottime() and not isinstance(entry.effect, DoneAtOnce)
        if isinstance(entry.effect, Block) and not due:
            return self._keep(entry, self._kernel.begin(entry.effect, entry.deadline))
        holds = self._at(entry).holds(entry.effect, entry.deadline)
        if holds and not due:
            return self._keep(entry, {})
        if entry.state is State.BEGUN and not holds:
            self._ledger.remove(entry)
            return None
        return self._end(entry, "due" if due else "changed_by_other")

    def _tidy(self, now: int) -> None:
        """Settle what has nobody who keeps it, and forget what is over for so long that nobody asks."""
        for ended in self._unwritten.values():
            self._note_end(ended)
        entries = self._adopt_orphans()
        self._tidy_at = now + (_AGAIN if self._unwritten or any(map(self._is_orphan, entries)) else _TIDY)
        for entry in entries:
            if entry.over is not None and now - entry.over > kept_for(entry.effect):
                self._ledger.remove(entry)
                self._unwritten = {key: one for key, one in self._unwritten.items() if key != entry.key}


def _answer(entry: Entry) -> Document:
    return {"standing": entry.standing.value, "until": entry.until, **entry.details}
