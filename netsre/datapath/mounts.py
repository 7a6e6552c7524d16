"""Where file systems are mounted, as `/proc/self/mounts` (fstab(5)) and `mountinfo` (proc(5)) tell it.

Any bytes may be in a path, but for the few that the kernel writes as octal numbers. So a line ends with a
line feed, and with nothing else that Python takes for the end of one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

_FIELDS: Final = 3
_PLACE_FIELDS: Final = 5
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def first_of_each(raw: bytes) -> Mapping[str, str]:
    """Return the first mount point of every type of file system; a line that has none is left out."""
    found: dict[str, str] = {}
    for line in _lines(raw):
        fields = line.split(" ")
        if len(fields) >= _FIELDS:
            found.setdefault(fields[2], _path(fields[1]))
    return found


def whole(raw: bytes, kind: str) -> Mapping[str, str]:
    """Return where file systems of a type are mounted from their root on, once for each, by device."""
    found: dict[str, str] = {}
    for line in _lines(raw):
        about, _, rest = line.partition(" - ")
        fields = about.split(" ")
        if len(fields) >= _PLACE_FIELDS and rest.startswith(f"{kind} ") and fields[3] == "/":
            found.setdefault(fields[2], _path(fields[4]))
    return found


def _lines(raw: bytes) -> Iterator[str]:
    return (line.decode(errors="surrogateescape") for line in raw.split(b"\n"))


def _path(written: str) -> str:
    return _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), written)
