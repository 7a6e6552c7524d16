"""Which controller leads, where several have one database: it alone evaluates, pages and acts.

A term begins with a lease (`model.leases`). Its holder renews it in a thread and with connections of its own,
so that nothing else that takes long ends a term. It acts as long as `Term.leads` says so; when another term
has begun, it stands by again.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from netsre import clock
from netsre import conventions as c
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.errors import EnvironmentUnfit, Fenced, StoreUnusable
from netsre.metrics.readings import Readings
from netsre.model import leases
from netsre.model.leases import Lease
from netsre.store.database import Store

_log: Final = logging.getLogger("netsre.controller")

_MILLISECOND: Final = 10**6
_PAUSE: Final = leases.RENEWED_EVERY / clock.SECOND
_STOP_SECONDS: Final = 5.0


class Term:
    """The time for which this controller leads."""

    def __init__(self, epoch: int | None, boottime: Callable[[], int]) -> None:
        """Begin; without an epoch it has no end, and nobody to end it. `boottime` returns nanoseconds."""
        self.epoch = epoch
        self._boottime = boottime
        self._until = 0
        self._over = threading.Event()

    def renewed(self, asked_at: int) -> None:
        """Go on acting for a while after a renewal was asked for, in nanoseconds of CLOCK_BOOTTIME."""
        self._until = asked_at + leases.ACTS_FOR * _MILLISECOND

    def end(self) -> None:
        """Act no more, never again in this term."""
        self._over.set()

    def over(self) -> bool:
        """Tell whether another term may have begun."""
        return self._over.is_set()

    def leads(self) -> bool:
        """Tell whether to act: as long as the lease cannot be another one's, whatever the database says."""
        return not self.over() and (self.epoch is None or self._boottime() < self._until)


def nobody() -> bool:
    """Tell of a controller that stands by that it does not lead."""
    return False


class Office(Protocol):
    """How a controller comes to lead."""

    def wait(self, stop: threading.Event) -> Term | None:
        """Return the next term of this controller; None once it is to stop."""
        ...

    def first(self) -> Term | None:
        """Return a term that begins at once; None where one has to stand by first."""
        ...

    def keeping(self, term: Term) -> contextlib.AbstractContextManager[None]:
        """Keep a term from ending, and give the office up at the end."""
        ...

    def leader(self) -> str | None:
        """Return who leads, as far as is known."""
        ...

    def problems(self) -> list[str]:
        """Return what is wrong, each in a line."""
        ...

    def readings(self, into: Readings) -> None:
        """Add who leads."""
        ...


class Only:
    """The office of a controller whose database nobody else can have: it leads from its start to its end."""

    def __init__(self, name: str, boottime: Callable[[], int]) -> None:
        """Lead."""
        self._name = name
        self._boottime = boottime

    def wait(self, stop: threading.Event) -> Term | None:
        """Return None: this term ends with the process alone."""
        stop.wait()
        return None

    def first(self) -> Term:
        """Return the one term."""
        return Term(None, self._boottime)

    @contextlib.contextmanager
    def keeping(self, term: Term) -> Iterator[None]:
        """Do nothing: nobody ends it."""
        yield
        term.end()

    def leader(self) -> str:
        """Return this one."""
        return self._name

    def problems(self) -> list[str]:
        """Return nothing."""
        return []

    def readings(self, into: Readings) -> None:
        """Say that this one leads."""
        into.put(c.CONTROLLER_LEADER, (), 1.0)


class Shared:
    """The office of several controllers with one database."""

    def __init__(self, store: Store, node: str, holder: str, boottime: Callable[[], int]) -> None:
        """Use a store that nobody else uses; `holder` is a name that no other process has."""
        self._store = store
        self._node = node
        self._holder = holder
        self._boottime = boottime
        self._seen: Lease | None = None
        self._term: Term | None = None
        self._problem: str | None = None

    def begin(self) -> None:
        """Raise `EnvironmentUnfit` where the database is for controllers of another node, or not there.

        What was begun on one node would else be gone on with on another.
        """
        with self._store.read() as transaction:
            self._seen = transaction.leases.find()
        if self._seen is not None and self._seen.node != self._node:
            raise EnvironmentUnfit(
                f"database {self._store.where} is of controllers for node {self._seen.node}, this one is for "
                f"{self._node}; give both the same --node, or this one another database"
            )

    def wait(self, stop: threading.Event) -> Term | None:
        """Look until the lease is free, and take it."""
        while not stop.is_set():
            if (term := self.seek()) is not None:
                return term
            stop.wait(_PAUSE)
        return None

    def first(self) -> None:
        """Stand by first: one that leads already is not disturbed."""

    def seek(self) -> Term | None:
        """Take the lease if nobody has it."""
        try:
            with self._store.read() as transaction:
                self._seen = transaction.leases.find()
                wanted = self._claimed(self._seen, transaction.leases.now())
            term = None if wanted is None else self._claim()
        except Exception as error:  # noqa: BLE001  standing by outlives every mistake
            self._failed(error)
            return None
        self._problem = None
        return term

    @contextlib.contextmanager
    def keeping(self, term: Term) -> Iterator[None]:
        """Renew the lease until the end, and then leave it to whoever asks first."""
        ending = threading.Event()
        thread = threading.Thread(target=self._keep, args=(term, ending), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join(_STOP_SECONDS)
            term.end()
            self._term = None
            self._release(term)

    def renew(self, term: Term) -> None:
        """Renew the lease once; a term that is over ends here."""
        asked_at = self._boottime()
        try:
            with self._store.write() as transaction:
                found = transaction.leases.find()
                kept = leases.renewed(found, term.epoch or 0, transaction.leases.now())
                if kept is None:
                    raise Fenced(f"{'nobody' if found is None else found.holder} leads")  # noqa: TRY301
                transaction.leases.keep(kept)
        except Fenced as error:
            term.end()
            _log.warning("controller is fenced %s", pairs(epoch=term.epoch, reason=error))
            return
        except Exception as error:  # noqa: BLE001  a term that is not renewed acts no more; the next try may
            self._failed(error)
            return
        self._seen = kept
        term.renewed(asked_at)
        if self._problem is not None:
            _log.info("controller leads on %s", pairs(epoch=term.epoch))
        self._problem = None

    def leader(self) -> str | None:
        """Return who has the lease, or had it last."""
        return None if self._seen is None else self._seen.holder

    def problems(self) -> list[str]:
        """Return why the lease is not known or not renewed, and what that means."""
        term = self._term
        if term is not None and not term.leads():
            return [f"lease is not renewed, nothing acts: {self._problem or 'another controller leads'}"]
        return [] if self._problem is None else [f"lease: {self._problem}"]

    def readings(self, into: Readings) -> None:
        """Add whether this one leads, and the newest epoch that it knows."""
        term = self._term
        into.put(c.CONTROLLER_LEADER, (), float(term is not None and term.leads()))
        if self._seen is not None:
            into.put(c.CONTROLLER_LEASE_EPOCH, (), float(self._seen.epoch))

    def _claimed(self, found: Lease | None, now: Timestamp) -> Lease | None:
        return leases.claimed(found, self._node, self._holder, now)

    def _claim(self) -> Term | None:
        asked_at = self._boottime()
        with self._store.write() as transaction:
            # Another one may have been faster.
            lease = self._claimed(transaction.leases.find(), transaction.leases.now())
            if lease is not None:
                transaction.leases.keep(lease)
        if lease is None:
            return None
        self._seen, self._term = lease, Term(lease.epoch, self._boottime)
        self._term.renewed(asked_at)
        _log.info("controller leads %s", pairs(epoch=lease.epoch, holder=self._holder))
        return self._term

    def _keep(self, term: Term, ending: threading.Event) -> None:
        while not (ending.wait(_PAUSE) or term.over()):
            self.renew(term)

    def _release(self, term: Term) -> None:
        try:
            with self._store.write() as transaction:
                left = leases.released(transaction.leases.find(), term.epoch or 0)
                if left is not None:
                    transaction.leases.keep(left)
        except StoreUnusable as error:
            # It ends by itself.
            _log.warning("lease is not given back %s", pairs(error=error))

    def _failed(self, error: Exception) -> None:
        if self._problem is None:
            _log.warning("lease %s", pairs(error=error))
        self._problem = str(error)


def name_of(data_dir: Path) -> str:
    """Return the name of the controller of a data directory: one process at a time has it."""
    return f"{socket.gethostname()}:{data_dir.absolute()}"
