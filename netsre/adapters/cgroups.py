"""Which cgroups there are: the paths of the unified hierarchy by the id that the kernel gives each."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mounts")
_FIELDS: Final = 3


def paths() -> Mapping[int, str]:
    """Return the path of every cgroup from the root, which is the empty text, by id; none without cgroup v2.

    A cgroup's id is the inode number of its directory (cgroup-v2.rst, "bpf_get_current_cgroup_id").
    """
    top = root()
    if top is None:
        return {}
    found: dict[int, str] = {}
    for directory, _, _, descriptor in os.fwalk(top, onerror=None):
        # Any bytes may be in a name; a label is text.
        path = os.fsencode(directory).decode(errors="backslashreplace")[len(top) :].strip("/")
        found[os.fstat(descriptor).st_ino] = path
    return found


def root() -> str | None:
    """Return where the unified hierarchy is mounted."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    mounts = (line.split(" ") for line in lines)
    return next((fields[1] for fields in mounts if len(fields) >= _FIELDS and fields[2] == "cgroup2"), None)
