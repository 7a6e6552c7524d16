"""The ledger of effects: one small file for each, written before the change and after it.

It lies on the host, beside what it tells of, so that whoever comes next (the agent started again, or a sweep)
knows what to put back. It means something within one boot only, as the sysctl does.
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import re
import stat
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters import clocks, processes
from netsre.app import rundir
from netsre.app.policing.places import PINS, PREFILTER, STATE
from netsre.clock import Timestamp
from netsre.errors import EnvironmentUnfit
from netsre.gameday import ownership
from netsre.gameday.ownership import Owner
from netsre.model import effects
from netsre.model.documents import Document, Json, canonical
from netsre.model.effects import Effect, GoneTo, Standing

DIRECTORY: Final = rundir.RUN / "effects"
"""Where a host's effects are told of, unless an agent is told otherwise."""
KEPT: Final = 3600 * 10**9
"""Nanoseconds for which the file of an effect that is over still answers for it."""

_log: Final = logging.getLogger("netsre.effects")

_VERSION: Final = 1
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]*")
_LONGEST: Final = 240
"""Bytes of a file's name, without its suffix."""
_SUFFIX: Final = ".json"
_EPOCH: Final = "epoch"
"""The file that names the newest controller that commanded this host; no effect has this name."""
_PRIVATE: Final = 0o700
_LOCK_TURN: Final = 0.001
"""Seconds between two tries: who holds it does so for a moment only, unless it hangs."""
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class Where(NamedTuple):
    """Where an agent has what it changes by names of files."""

    policies: Path = PINS
    """The datapath, below a BPF file system."""
    state: Path = STATE
    """What is remembered of policies."""
    prefilter: Path = PREFILTER
    """Below a BPF file system."""


USUAL: Final = Where()


class State(StrEnum):
    """How far an effect came."""

    BEGUN = "begun"
    """Meant; whether it was done, only a look at the kernel tells."""
    APPLIED = "applied"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one effect."""

    key: str
    effect: Effect
    state: State
    owner: Owner
    """The process that keeps it in force."""
    until: Timestamp
    """When it ends by itself; for what has no duration, when it was done."""
    deadline: int
    """The same, in nanoseconds of CLOCK_BOOTTIME: what is decided by."""
    over: int | None
    """Since when it is over or done, in nanoseconds of CLOCK_BOOTTIME."""
    details: Document
    """Figures for who asked, and notes about its end."""
    where: Where = USUAL

    @property
    def in_force(self) -> bool:
        """Whether it is something to take back."""
        return self.state is State.APPLIED and self.over is None

    @property
    def reversible(self) -> bool:
        """Whether it can be taken back: also what was gone to, which has no end of its own."""
        gone_to = self.state is State.APPLIED and isinstance(self.effect, GoneTo)
        return self.in_force or gone_to

    @property
    def standing(self) -> Standing:
        """The answer to who asks what became of it."""
        return Standing.ENDED if self.state is State.ENDED else Standing.APPLIED

    def done(self, owner: Owner, details: Document, over: int | None) -> "Entry":
        """Return it as applied, and kept in force by `owner` from now on."""
        figures = {**self.details, **details}
        return dataclasses.replace(self, state=State.APPLIED, owner=owner, details=figures, over=over)

    def ended(self, why: str, details: Document, over: int) -> "Entry":
        """Return it as ended."""
        notes = {**self.details, **details, "why": why}
        return dataclasses.replace(self, state=State.ENDED, details=notes, over=over)


class Ledger:
    """The files of one directory; what changes them holds the directory's lock."""

    def __init__(self, directory: Path, owner: Owner, where: Where = USUAL) -> None:
        """Write as `owner` into a directory that `prepare` made; `where` is what that one changes."""
        self.directory = directory
        self.owner = owner
        self.where = where
        self._boot = clocks.boot()

    @contextlib.contextmanager
    def locked(self, patience: float | None = None) -> Iterator[None]:
        """Keep every other process from changing anything, for as long as one change takes.

        Waits for who does so already; with `patience` for that many seconds, then raises `TimeoutError`.
        """
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if patience is None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            else:
                _lock(descriptor, patience)
            yield
        finally:
            os.close(descriptor)

    def entries(self) -> tuple[Entry, ...]:
        """Return every effect of this boot; what an earlier one left is removed, it ended with that boot.

        A file that cannot be read is left alone and logged: it cannot be known what it tells of.
        """
        found = []
        for path in sorted(self.directory.iterdir()):
            if path.suffix != _SUFFIX:
                self._remove_stale(path)
                continue
            with contextlib.suppress(FileNotFoundError):
                try:
                    boot, entry = _read(path.read_bytes())
                except (ValueError, RecursionError) as error:
                    _log.warning("%s is not read: %s; look at it and remove it", path, error)
                    continue
                if boot == self._boot:
                    found.append(entry)
                else:
                    path.unlink(missing_ok=True)
        return tuple(found)

    def has(self, key: str) -> bool:
        """Tell whether there is a file of a key; `entries` leaves one out that cannot be read."""
        return self._path(key).exists()

    def write(self, entry: Entry) -> None:
        """Put an entry on file; it is there as a whole, or as it was before. Raises `OSError`."""
        text = canonical({"version": _VERSION, "boot": self._boot, **_document(entry)})
        self._write(self._path(entry.key), text)

    def epoch(self) -> int:
        """Return the newest epoch of a controller that commanded this host, 0 for none.

        Raises `OSError` or `ValueError` where that cannot be known.
        """
        try:
            return int((self.directory / _EPOCH).read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0

    def write_epoch(self, epoch: int) -> None:
        """Put a newer one on file. Raises `OSError`."""
        self._write(self.directory / _EPOCH, str(epoch))

    def _write(self, path: Path, text: str) -> None:
        temporary = self.directory / self.owner.name("effect", "new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        self._sync()

    def remove(self, entry: Entry) -> None:
        """Forget an entry."""
        self._path(entry.key).unlink(missing_ok=True)
        self._sync()

    def _path(self, key: str) -> Path:
        return self.directory / f"{_name(key)}{_SUFFIX}"

    def _sync(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _remove_stale(self, path: Path) -> None:
        """Remove what a writer left that was killed before it had given its file the final name."""
        if (made := ownership.parse(path.name)) and not lives(made.owner):
            path.unlink(missing_ok=True)


def prepare(directory: Path) -> None:
    """Make the directory, closed to all others; `EnvironmentUnfit` where that cannot be."""
    try:
        rundir.make_walkable(directory.parent)
        directory.mkdir(mode=_PRIVATE, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise EnvironmentUnfit(f"effects cannot be kept in {directory}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        raise EnvironmentUnfit(
            f"effects cannot be kept in {directory}: it is not a directory that only its owner, uid "
            f"{os.geteuid()}, can write to; remove it, or name another with --effects DIR"
        )


def is_key(text: str) -> bool:
    """Say whether a text can be the key of an effect."""
    return _KEY.fullmatch(text) is not None and len(_name(text)) <= _LONGEST


def kept_for(effect: Effect) -> int:
    """Return for how many nanoseconds the file of an effect that is over, or was done, is kept."""
    # Whoever goes on from a revision may do so long after it was gone to; so it is with programs.
    return 24 * KEPT if isinstance(effect, GoneTo) else KEPT


def lives(owner: Owner) -> bool:
    """Say whether a process still runs."""
    return processes.start_time(owner.pid) == owner.started


def _lock(descriptor: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"another process has held it for {patience} s") from None
            time.sleep(_LOCK_TURN)
        else:
            return


def _name(key: str) -> str:
    return urllib.parse.quote(key, safe="")


def _document(entry: Entry) -> Document:
    return {
        "key": entry.key,
        "effect": effects.write(entry.effect),
        "state": entry.state.value,
        "owner": {"pid": entry.owner.pid, "started": entry.owner.started},
        "until": entry.until,
        "deadline": entry.deadline,
        "over": entry.over,
        "details": entry.details,
        **({} if entry.where == USUAL else {"where": {k: str(v) for k, v in entry.where._asdict().items()}}),
    }


def _read(content: bytes) -> tuple[str, Entry]:
    """Return boot and entry of a file; raises `ValueError` for what is none."""
    document = _object(json.loads(content))
    if document.get("version") != _VERSION:
        raise ValueError(f"its version is {document.get('version')!r}, and this program reads {_VERSION}")
    owner = _object(document.get("owner"))
    over = document.get("over")
    entry = Entry(
        _key(document.get("key")),
        effects.read(_object(document.get("effect"))),
        State(str(document.get("state"))),
        Owner(_whole(owner.get("pid")), _whole(owner.get("started"))),
        Timestamp(_whole(document.get("until"))),
        _whole(document.get("deadline")),
        None if over is None else _whole(over),
        _object(document.get("details")),
        _where(_object(document.get("where", {}))),
    )
    return str(document.get("boot")), entry


def _where(found: Document) -> Where:
    return Where(**{key: Path(str(path)) for key, path in found.items() if key in Where._fields})


def _key(value: Json) -> str:
    if not isinstance(value, str) or not is_key(value):
        raise ValueError(f"{value!r} is no key")
    return value


def _object(value: Json) -> Document:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")
    return value


def _whole(value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no whole number")
    return value
