"""Which cgroups there are: the paths of the unified hierarchy by the id that the kernel gives each."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from netsre.datapath.mounts import first_of_each

_MOUNTS: Final = Path("/proc/self/mounts")


def paths() -> Mapping[int, str]:
    """Return the path of every cgroup from the root, which is the empty text, by id; none without cgroup v2.

    A cgroup's id is the inode number of its directory (cgroup-v2.rst, "bpf_get_current_cgroup_id").
    """
    top = _root()
    if top is None:
        return {}
    found: dict[int, str] = {}
    for directory, _, _, descriptor in os.fwalk(top, onerror=None):
        # Any bytes may be in a name; a label is text.
        path = os.fsencode(directory).decode(errors="backslashreplace")[len(top) :].strip("/")
        found[os.fstat(descriptor).st_ino] = path
    return found


def _root() -> str | None:
    """Return where the unified hierarchy is mounted."""
    try:
        raw = _MOUNTS.read_bytes()
    except OSError:
        return None
    return first_of_each(raw).get("cgroup2")
