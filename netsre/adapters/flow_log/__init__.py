"""The flow log on disk: whoever writes it and whoever reads it agree on what its files are called.

Lines go to the file that was named. When it has its share of the size, it gets the next number behind its
name, by one rename, and another begins: `flows.jsonl.7` is older than `flows.jsonl.8`, and both than
`flows.jsonl`.
"""

import os
import re
import stat
from typing import NamedTuple


class Rotated(NamedTuple):
    """A file that is complete."""

    number: int
    name: str
    bytes: int
    inode: int


def rotated(directory: int, name: str) -> list[Rotated]:
    """Return the complete files of a log in an open directory, the oldest first."""
    numbered = re.compile(re.escape(name) + r"\.([1-9][0-9]{0,17})")
    found = []
    for entry in os.listdir(directory):
        match = numbered.fullmatch(entry)
        if match is None:
            continue
        try:
            status = os.stat(entry, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(Rotated(int(match[1]), entry, status.st_size, status.st_ino))
    return sorted(found)
