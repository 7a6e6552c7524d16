"""Secrets that runbooks name (`${secret.NAME}`): one file each, read when it is used and kept nowhere."""

import os
import re
import stat
from pathlib import Path
from typing import Final

from netsre.runbook import handles
from netsre.runbook.actions.contract import NodeRefused

MISSING: Final = "secret_missing"
UNSAFE: Final = "secret_unsafe"
_LONGEST: Final = 16_384
"""Bytes."""
_NAME: Final = re.compile(handles.NAME)
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class Secrets:
    """A directory of files that nobody else may read or change."""

    def __init__(self, directory: Path | None) -> None:
        """Read secrets of a directory; None: there are none."""
        self._directory = directory

    def fill(self, text: str) -> str:
        """Return a text with every handle replaced; raises `NodeRefused`, whose words have no secret."""
        return handles.filled(text, self.read)

    def read(self, name: str) -> str:
        """Return one secret, without the line break at its end; raises `NodeRefused`.

        `secret_missing`: there is no such file. `secret_unsafe`: others may read or change it, or change its
        directory, or it is no single line.
        """
        if self._directory is None or _NAME.fullmatch(name) is None:
            raise NodeRefused(MISSING, f"secret {name}: no directory of secrets is set up")
        try:
            directory = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
            try:
                _check(os.fstat(directory), f"the directory of secret {name}", stat.S_IWGRP | stat.S_IWOTH)
                file = os.open(name, _FLAGS, dir_fd=directory)
            finally:
                os.close(directory)
            with os.fdopen(file, "rb") as opened:
                found = os.fstat(opened.fileno())
                _check(found, f"secret {name}", stat.S_IRWXG | stat.S_IRWXO)
                if not stat.S_ISREG(found.st_mode):
                    raise NodeRefused(UNSAFE, f"secret {name}: it is no file")
                content = opened.read(_LONGEST + 1)
        except OSError as error:
            raise NodeRefused(MISSING, f"secret {name}: {error.strerror}") from None
        return _line(name, content)


NONE: Final = Secrets(None)


def _check(found: os.stat_result, what: str, forbidden: int) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise NodeRefused(UNSAFE, f"{what}: it belongs to user {found.st_uid}, not to who runs this")
    if stat.S_IMODE(found.st_mode) & forbidden:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise NodeRefused(UNSAFE, f"{what}: its mode is {mode}, so that others reach it; use chmod go=")


def _line(name: str, content: bytes) -> str:
    try:
        text = content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        # Without its cause, which quotes the content.
        raise NodeRefused(UNSAFE, f"secret {name}: it is no UTF-8 text") from None
    if not text or len(content) > _LONGEST or not text.isprintable():
        raise NodeRefused(UNSAFE, f"secret {name}: it is not one line of 1 to {_LONGEST} bytes")
    return text
