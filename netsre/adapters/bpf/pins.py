"""Objects that stay when their makers end: by a name in a BPF file system.

Attribute layouts: `union bpf_attr` in linux/bpf.h. Every function raises `OSError` with the kernel's errno.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf.syscalls import BpfMap, MapShape, bpf
from netsre.errors import EnvironmentUnfit

_QUERY: Final = 16
_MOST_LINKS: Final = 64
_OBJ_PIN: Final = 6
_OBJ_GET: Final = 7
_LINK_UPDATE: Final = 29
_RDONLY: Final = 1 << 3
_MAPS: Final = "maps"
_PROGRAMS: Final = "programs"
_LINKS: Final = "links"
_PARTS: Final = (_MAPS, _PROGRAMS, _LINKS)
_MAGIC: Final = 0xCAFE4A11
"""BPF_FS_MAGIC of linux/magic.h."""
_STATFS_BYTES: Final = 256
"""More than a `struct statfs` has, whose first word is the type."""


def pin(fd: int, path: Path) -> None:
    """Give a map, a program or a link a name; there must be none yet. A name has no dot in it."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    packed = struct.pack("<QII", ctypes.addressof(name), fd, 0)
    bpf(_OBJ_PIN, ctypes.create_string_buffer(packed, len(packed)))


def opened(path: Path, *, reading: bool = False) -> int:
    """Return a descriptor of what has this name; a map that is opened for reading cannot be changed by it."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    packed = struct.pack("<QII", ctypes.addressof(name), 0, _RDONLY if reading else 0)
    return bpf(_OBJ_GET, ctypes.create_string_buffer(packed, len(packed)))


def update_link(link_fd: int, program_fd: int) -> None:
    """Have another program run where a link is, from one packet to the next."""
    packed = struct.pack("<IIII", link_fd, program_fd, 0, 0)
    bpf(_LINK_UPDATE, ctypes.create_string_buffer(packed, len(packed)))


def is_bpf_file_system(path: Path) -> bool:
    """Say whether a path, which is there, is below a BPF file system."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), found) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    kind, *_ = struct.unpack_from("@l", found)
    return int(kind) == _MAGIC


def network_namespace() -> int:
    """Return the number of the network namespace of the calling thread."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def links_on(interface: int, attach_type: int) -> frozenset[int]:
    """Return the ids of the links on an interface of this namespace, by its number; none where it is not."""
    programs, links = (ctypes.c_uint32 * _MOST_LINKS)(), (ctypes.c_uint32 * _MOST_LINKS)()
    arrays = ctypes.addressof(programs), len(programs), 0, ctypes.addressof(links)
    packed = struct.pack("<IIIIQI4xQQQQ", interface, attach_type, 0, 0, *arrays, 0, 0)
    attributes = ctypes.create_string_buffer(packed, len(packed))
    try:
        bpf(_QUERY, attributes)
    except OSError as error:
        if error.errno in {errno.ENODEV, errno.ENOENT}:
            return frozenset()
        raise
    (found,) = struct.unpack_from("<I", attributes, 24)
    return frozenset(links[:found])


def remove_tree(directory: Path) -> None:
    """Take away every name below a directory, and itself; what has no other name or descriptor ends."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink()
    directory.rmdir()


class MadeDifferently(EnvironmentUnfit):
    """The maps that are there are those of another version; they go on as they are."""


class NotOurs(EnvironmentUnfit):
    """A directory that is no place for a datapath, or has what somebody else put there; nothing was done."""


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with the maps, programs and links of one datapath, which goes on with nobody alive.

    What is made appears as a whole, by renaming the directory. Whoever changes anything must be alone.
    """

    directory: Path
    """It need not be there."""
    what: str
    """For people: `policy datapath`."""
    again: str
    """The commands that begin anew: `netsre policy detach, then apply`."""

    @property
    def maps(self) -> Path:
        """Return where maps are."""
        return self.directory / _MAPS

    @property
    def programs(self) -> Path:
        """Return where programs are."""
        return self.directory / _PROGRAMS

    @property
    def links(self) -> Path:
        """Return where links are."""
        return self.directory / _LINKS

    @property
    def _building(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}_new")

    def is_there(self) -> bool:
        """Say whether anything was made; raises `NotOurs` for a name that cannot be."""
        if "." in self.directory.name:
            raise NotOurs(f"{self.directory}: a name in a BPF file system has no dot; write another --pins")
        return self.maps.is_dir()

    def make(self, maps: Mapping[str, int], programs: Mapping[str, int]) -> None:
        """Give names to these descriptors, all at once; raises `OSError`. A name may be below another one."""
        self.clear_unfinished()
        self._building.mkdir(parents=True, mode=0o700)
        for part in _PARTS:
            (self._building / part).mkdir(mode=0o700)
        for part, each in ((_MAPS, maps), (_PROGRAMS, programs)):
            for name, fd in each.items():
                path = self._building / part / name
                path.parent.mkdir(mode=0o700, exist_ok=True)
                pin(fd, path)
        self._building.rename(self.directory)

    def check(self) -> None:
        """Raise `NotOurs` where nothing can be made."""
        there = next(one for one in self.directory.parents if one.exists())
        if not is_bpf_file_system(there):
            raise NotOurs(_elsewhere(self.directory))

    def open_map(self, name: str, shape: MapShape, stack: contextlib.ExitStack) -> BpfMap:
        """Open one of the maps; raises `MadeDifferently` where it has another shape, and `OSError`."""
        try:
            found = BpfMap.of(name, self._open(self.maps / name, stack))
        except (FileNotFoundError, KeyError):  # none, or what is no map
            found = None
        if found is None or not found.is_of(shape):
            raise self._made_differently(f"map {name}")
        return found

    def open_program(self, name: str, stack: contextlib.ExitStack) -> int:
        """Open one of the programs; raises `MadeDifferently` without it, and `OSError`."""
        try:
            return self._open(self.programs / name, stack)
        except FileNotFoundError as error:
            raise self._made_differently(f"program {name}") from error

    def rename_program(self, name: str, fd: int) -> None:
        """Give the name of a program to another one."""
        _rename(self.programs / name, fd)

    def clear_renaming(self, name: str) -> None:
        """Take away what whoever was killed has left, while giving this name to another program."""
        _fresh(self.programs / name).unlink(missing_ok=True)

    def rename_link(self, name: str, fd: int) -> None:
        """Give a link a name that another one may have, which ends with that."""
        _rename(self.links / name, fd)

    def refuse_foreign(self) -> None:
        """Raise `NotOurs` where there is anything but what `make` puts there."""
        for directory in (self.directory, self._building):
            _refuse_foreign(directory)

    def clear(self) -> None:
        """Take everything away, in one step for whoever comes next; raises `NotOurs` and `OSError`."""
        self.clear_unfinished()
        _refuse_foreign(self.directory)
        with contextlib.suppress(FileNotFoundError):
            self.directory.rename(self._building)
        self.clear_unfinished()

    def clear_unfinished(self) -> None:
        """Take away what whoever was killed has left, while making or taking away."""
        _clear(self._building)

    def _open(self, path: Path, stack: contextlib.ExitStack) -> int:
        fd = opened(path)
        stack.callback(os.close, fd)
        return fd

    def _made_differently(self, part: str) -> MadeDifferently:
        return MadeDifferently(
            f"the {self.what} in {self.directory} was made by another version ({part}); it goes "
            f"on as it is; to begin anew: {self.again}"
        )


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}_new")


def _rename(path: Path, fd: int) -> None:
    fresh = _fresh(path)
    fresh.unlink(missing_ok=True)
    pin(fd, fresh)
    fresh.rename(path)


def _clear(directory: Path) -> None:
    _refuse_foreign(directory)
    with contextlib.suppress(FileNotFoundError):
        remove_tree(directory)


def _refuse_foreign(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir() or not is_bpf_file_system(directory):
        raise NotOurs(_elsewhere(directory))
    for path in directory.iterdir():
        if path.name not in _PARTS:
            raise NotOurs(f"{directory} has {path.name}, which is not of netsre; nothing there is taken away")


def _elsewhere(directory: Path) -> str:
    return f"{directory} is below no BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf"
