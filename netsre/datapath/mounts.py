"""Where file systems are mounted, as `/proc/self/mounts` tells it (fstab(5))."""

import re
from collections.abc import Mapping
from typing import Final

_FIELDS: Final = 3
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def first_of_each(text: str) -> Mapping[str, str]:
    """Return the first mount point of every type of file system; a line that has none is left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= _FIELDS:
            found.setdefault(fields[2], _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), fields[1]))
    return found
