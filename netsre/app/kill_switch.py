"""The kill switch: one file of the data directory that stops all automation, whoever wrote it and however.

It is read before everything that changes something. Off must be written there and be readable: a file that is
missing, unreadable or anything else than this is `on`. Where several controllers have one database, what was
said to another one stands beside it, and the later word holds.

    {"at": "2026-01-02T03:04:05.678Z", "by": "root", "reason": "maintenance", "state": "on"}
"""

import errno
import json
import os
import pwd
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.errors import EnvironmentUnfit
from netsre.model import literals
from netsre.model.documents import Document, canonical

FILE_NAME: Final = "kill-switch.json"
ELSEWHERE: Final = "kill-switch-elsewhere.json"
"""What was said to another controller of the same database; no file where nothing was."""
UNREADABLE: Final = "kill_switch_unreadable"
"""The reason of a switch that is on because nobody can tell what it should be."""
_LARGEST: Final = 16 * 1024
"""Bytes."""
_LONGEST: Final = 400
"""Characters of what a person said that are kept."""


@dataclass(frozen=True, slots=True)
class Switch:
    """The state of the switch."""

    on: bool
    reason: str
    """What the person said who set it, or `kill_switch_unreadable`; may be empty."""
    by: str
    at: str
    """RFC 3339; empty where it is not known."""
    problem: str = ""
    """Why it could not be read."""

    @property
    def state(self) -> str:
        """Return `on` or `off`."""
        return "on" if self.on else "off"

    def document(self) -> Document:
        """Return it as JSON."""
        told = {"state": self.state, "reason": self.reason, "by": self.by, "at": self.at}
        return told | ({"problem": self.problem} if self.problem else {})


def caller() -> str:
    """Return the name of the user who runs this, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def read(data_dir: Path) -> Switch:
    """Return the state of the switch as it holds for the controller of a data directory; never raises."""
    own = said_here(data_dir)
    if not os.path.lexists(data_dir / ELSEWHERE):
        return own
    return stronger(own, heard(data_dir))


def said_here(data_dir: Path) -> Switch:
    """Return what was said to the controller of a data directory itself; never raises."""
    return _read(data_dir / FILE_NAME)


def heard(data_dir: Path) -> Switch:
    """Return what was said to other controllers, as far as this one heard of it; never raises."""
    return _read(data_dir / ELSEWHERE)


def stronger(one: Switch, other: Switch) -> Switch:
    """Return which of two words holds: the later one, but what has no time ends no stop."""
    if one.on == other.on:
        return max(one, other, key=_time)
    stop, go = (one, other) if one.on else (other, one)
    return go if stop.reason != UNREADABLE and 0 <= _time(stop) < _time(go) else stop


def said_now(data_dir: Path, now: Timestamp) -> Timestamp:
    """Return the time of a new word: later than every other, also if another machine's clock is ahead."""
    return Timestamp(max(now, _time(heard(data_dir)) + 1))


def parse(document: object) -> Switch:
    """Return the switch that a document tells of; raises `ValueError` for anything else."""
    if not isinstance(document, dict) or document.get("state") not in ("on", "off"):
        raise ValueError('has no "state" that is "on" or "off"')
    texts = {key: document.get(key, "") for key in ("reason", "by", "at")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError('has a "reason", "by" or "at" that is no text')
    return Switch(on=document["state"] == "on", **texts)


def _time(switch: Switch) -> int:
    """Return when something was said; -1 where that is not known."""
    try:
        return clock.parse_rfc3339(switch.at)
    except ValueError:
        return -1


def _read(path: Path) -> Switch:
    try:
        return parse(json.loads(_content(path)))
    except OSError as error:
        problem = f"{path}: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        problem = f"{path}: {error}"
    return Switch(on=True, reason=UNREADABLE, by="", at="", problem=problem)


def write(data_dir: Path, switch: Switch, name: str = FILE_NAME) -> None:
    """Replace the state at once and on disk, for the owner the file has; raises `EnvironmentUnfit`."""
    path = data_dir / name
    draft = path.with_name(f".{name}.{secrets.token_hex(8)}")
    try:
        _write(draft, path, f"{canonical(switch.document())}\n".encode())
    except OSError as error:
        advice = "name the data directory of netsre with --data-dir, or run this as its user"
        raise EnvironmentUnfit(f"kill switch {path}: {error.strerror or error}; {advice}") from error


def exists(data_dir: Path) -> bool:
    """Tell whether there is anything where the switch should be."""
    return os.path.lexists(data_dir / FILE_NAME)


def switched(*, on: bool, by: str, reason: str, at: Timestamp) -> Switch:
    """Return the switch as somebody sets it; no word of theirs can make it unreadable."""
    said, who = (literals.printable(text[:_LONGEST]) for text in (reason, by))
    return Switch(on=on, reason=said, by=who, at=clock.rfc3339(at))


def _content(path: Path) -> bytes:
    # What is no file, such as a pipe, must not keep automation waiting for somebody to write.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"is larger than {_LARGEST} bytes")
    return content


def _write(draft: Path, path: Path, content: bytes) -> None:
    owner = path.lstat() if os.path.lexists(path) else path.parent.stat()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            if os.geteuid() == 0:
                # Written by root, read by the user that the controller runs as.
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
