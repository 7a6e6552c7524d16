"""The alert log: one JSON line per announcement, appended once, for people and a SIEM."""

import errno
import json
import os
from pathlib import Path
from typing import Final

from netsre.model.documents import Document, canonical

FILE_NAME: Final = "alerts.jsonl"


class AlertLog:
    """Appends lines to a file; a line whose key is already there is not written again.

    The delivery of a message is marked after it was written, so that a crash between the two leads to the
    same message once more. The keys of the file are read once, at the first write.
    """

    def __init__(self, path: Path) -> None:
        """Use a file; it is made at the first write."""
        self._path = path
        self._keys: set[str] | None = None

    @property
    def path(self) -> Path:
        """Return where the lines go."""
        return self._path

    def append(self, key: str, line: Document) -> bool:
        """Write a line and bring it to disk; tell whether it was new. Raises `OSError`."""
        keys = self._mend() if self._keys is None else self._keys
        # Until the line is on disk nothing is certain: after a failure the file is read, and mended, anew.
        self._keys = None
        new = key not in keys
        if new:
            self._write(f"{canonical(line)}\n".encode())
            keys.add(key)
        self._keys = keys
        return new

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # A full disk may take only a part.
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "no space left for the whole line")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _mend(self) -> set[str]:
        """Cut off a last line that a crash left unfinished, and return the keys of the others."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return set()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._path, whole)
        return self._read_keys()

    def _read_keys(self) -> set[str]:
        keys: set[str] = set()
        with self._path.open(encoding="utf-8") as lines:
            for text in lines:
                try:
                    keys.add(str(json.loads(text)["key"]))
                except (ValueError, KeyError, TypeError):
                    # A line that somebody else wrote is theirs, and none of ours.
                    continue
        return keys
