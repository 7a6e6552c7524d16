"""How many entries the connection tables may hold: the host's number, which counts for each namespace."""

import contextlib
from pathlib import Path
from typing import Final

from netsre.errors import EnvironmentUnfit

_LIMIT: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_SLABS: Final = Path("/proc/slabinfo")
_MEMORY: Final = Path("/proc/meminfo")

_SHARE_OF_MEMORY: Final = 16
_USUAL_ENTRY_BYTES: Final = 320
_MOST: Final = 4_000_000


def limit() -> int:
    """Return the limit; 0 means none. Raises `EnvironmentUnfit` without connection tracking."""
    try:
        return int(_LIMIT.read_text(encoding="ascii"))
    except OSError as error:
        raise EnvironmentUnfit(
            f"{_LIMIT}: {error.strerror}; is connection tracking in this kernel?"
        ) from error


def set_limit(value: int) -> None:
    """Set the limit of every namespace's table; it is in force when this returns.

    Raises `EnvironmentUnfit` where the kernel refuses: inside any other network namespace than the host's
    the number can only be read.
    """
    if value < 1:
        raise ValueError(f"limit {value}: a limit is at least 1")
    try:
        _LIMIT.write_text(str(value), encoding="ascii")
    except OSError as error:
        message = f"{_LIMIT} cannot be set to {value}: {error.strerror}"
        raise EnvironmentUnfit(f"{message}; it needs CAP_NET_ADMIN in the host's namespace") from error
    if (now := limit()) != value:
        raise EnvironmentUnfit(f"{_LIMIT} is {now} after {value} was written; something else sets it as well")


def most_entries(entry_bytes: int | None = None) -> int:
    """Return the largest limit that this node's memory allows.

    One sixteenth of all memory, divided by the bytes of an entry; by default those of the kernel's own
    objects where it tells them (/proc/slabinfo), else 320. Never more than 4 million, above which one look at
    the table takes seconds. The kernel counts each namespace's table by itself: this is the share of one that
    is full.
    """
    text = _MEMORY.read_text(encoding="ascii")
    kibibytes = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("MemTotal:"))
    return min(_MOST, kibibytes * 1024 // _SHARE_OF_MEMORY // (entry_bytes or _entry_bytes()))


def _entry_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in _SLABS.read_text(encoding="ascii").splitlines():
            name, *numbers = line.split()
            if name == "nf_conntrack":
                return int(numbers[2])
    return _USUAL_ENTRY_BYTES
