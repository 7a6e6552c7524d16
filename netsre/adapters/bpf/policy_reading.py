"""What the policy datapath says of itself where it is pinned, read without changing anything.

Its files are root's, with mode 600: root may open them without any capability. They may come and go, and be
others, from one call to the next.
"""

import contextlib
import errno
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import pinned, pins, policy, policy_counts, policy_pins, syscalls
from netsre.adapters.bpf.syscalls import BpfMap, MapShape
from netsre.datapath.policy import modes
from netsre.datapath.policy.layouts import REVISION, Revision
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.policy.orders import Order
from netsre.datapath.policy.programs import (
    ACTIVE,
    COUNTS,
    ENDPOINT_MODES,
    EVENTS,
    MAPS,
    MODE,
    ORDERS,
    REVISIONS,
)
from netsre.datapath.policy.verdicts import sums

_SLOT: Final = struct.Struct("<I")
_ONLY: Final = bytes(4)
_WHAT: Final = "policy datapath"


@dataclass(frozen=True, slots=True)
class Said:
    """Everything at about one moment."""

    number: int
    """Of one of its maps: another datapath has another."""
    counts: Mapping[bytes, tuple[int, int, int]]
    """Packets, bytes and connections, by the key of the map."""
    events: Mapping[int, tuple[int]]
    revision: int
    """That in force; 0 for none."""
    until_ns: int
    """When that ends, by CLOCK_BOOTTIME; 0 where it lasts."""
    kept: frozenset[int]
    """Revisions that are there, the one in force among them."""
    everybody: Setting
    endpoints: tuple[Setting, ...]
    """Of those with a mode of their own."""
    orders: tuple[Order, ...]
    """Those that have ended included."""


def read(directory: Path, now_ns: int) -> Said | None:
    """Return what is said in a directory of pinned objects; None where there is no datapath.

    `now_ns` is CLOCK_BOOTTIME. Raises `OSError` for one of another version, too.
    """
    with contextlib.ExitStack() as stack:
        try:
            names = (*policy_counts.MAPS, EVENTS, ACTIVE, REVISIONS, MODE, ENDPOINT_MODES)
            maps = {name: stack.enter_context(opened(directory, name)) for name in names}
        except FileNotFoundError as error:
            _refuse_another_version(directory, error)
            return None
        counts = {key: sums(value) for key, value in policy_counts.read(maps).items()}
        events = {
            _SLOT.unpack(key)[0]: (sum(each for (each,) in struct.iter_unpack("<Q", value)),)
            for key, value in maps[EVENTS].entries()
        }
        revisions = [Revision(*REVISION.unpack(value)) for value in maps[REVISIONS].slots()]
        revision = revisions[_SLOT.unpack(maps[ACTIVE].lookup(_ONLY) or _ONLY)[0]]
        if revision.has_ended(now_ns):
            revision = revisions[revision.afterwards]
        return Said(
            number_of(maps[COUNTS]),
            counts,
            events,
            revision.number if revision.is_whole else 0,
            revision.until_ns,
            frozenset(one.number for one in revisions if one.is_whole),
            Setting.of(maps[MODE].lookup(modes.key()) or Setting(Mode.ENFORCE).pack()),
            tuple(Setting.of(value) for _, value in maps[ENDPOINT_MODES].entries()),
            _orders(directory),
        )


def _orders(directory: Path) -> tuple[Order, ...]:
    """Return all orders; a datapath of an earlier version knows none."""
    try:
        with opened(directory, ORDERS) as found:
            return tuple(Order.of(key, value) for key, value in found.entries())
    except FileNotFoundError:
        return ()


def _refuse_another_version(directory: Path, missing: FileNotFoundError) -> None:
    """Raise `OSError` where a datapath is there, and lacks a map: policies hold that nobody counts."""
    if policy_pins.map_path(directory, ACTIVE).exists():
        raise OSError(errno.EINVAL, f"the {_WHAT} in {directory} was made by another version") from missing


@contextlib.contextmanager
def opened(directory: Path, name: str) -> Iterator[BpfMap]:
    """Open one of its maps for reading; raises `FileNotFoundError` without it, and `OSError`."""
    with pinned.opened_as(policy_pins.map_path(directory, name), _shape(name), _WHAT) as found:
        yield found


@contextlib.contextmanager
def opened_for_change(directory: Path, name: str) -> Iterator[BpfMap]:
    """Open one of its maps to take entries out, too; raises as `opened` does."""
    fd = pins.opened(policy_pins.map_path(directory, name))
    try:
        found = BpfMap.of(name, fd)
        pinned.check(found, _shape(name), _WHAT)
        yield found
    finally:
        os.close(fd)


def _shape(name: str) -> MapShape:
    return policy.map_shape(MAPS[name])


def number_of(found: BpfMap) -> int:
    """Return the number that the kernel gave to a map; no other has it for as long as both are there."""
    return int(syscalls.fdinfo(found.fd)["map_id"])
