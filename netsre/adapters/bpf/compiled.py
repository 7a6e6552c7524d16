"""What a compiler made of C, instructions and the maps that they use: kept for who needs the same again.

A compiler takes most of the time in which a command or an agent starts. What it made is the same wherever all
is that it was made of: that is the name under which it is kept, until this host is started again. Only what
lies in a directory of our own is believed, which nobody else can write to; the kernel verifies it as ever.
"""

import base64
import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from netsre.adapters.bpf import programs
from netsre.adapters.bpf.syscalls import BpfMap, MapShape

DIRECTORY: Final = Path("/run/netsre/compiled")
"""Where it is kept on this host."""
MOST: Final = 64
"""So many are kept, those that were asked for last; an agent and all commands of one version need eight."""
_WALKABLE: Final = 0o755
_PRIVATE: Final = 0o700
_OTHERS: Final = 0o077
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_TRIPLET: Final = f"{platform.machine()}-linux-gnu"
_COMPILERS: Final = tuple(Path(f"/usr/{place}/libbcc.so.0") for place in (f"lib/{_TRIPLET}", "lib64", "lib"))
_HEADERS: Final = tuple(
    Path(f"/usr/include/{place}") for place in ("linux", "asm", "asm-generic", f"{_TRIPLET}/asm")
)
_WRONG: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading ends in of what we have not written."""


class Map(NamedTuple):
    """A map as the source asks for it."""

    shape: MapShape
    capacity: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """Programs that wait for their maps, which they name by their places."""

    maps: Mapping[str, Map]
    """In the order of their places."""
    functions: Mapping[str, bytes]

    def made(self) -> dict[str, BpfMap]:
        """Make the maps; raises `OSError`."""
        return {name: BpfMap.create(name, one.shape, one.capacity) for name, one in self.maps.items()}

    def code(self, function: str, numbers: Mapping[str, int]) -> bytes:
        """Return the instructions of a function, which name maps by these numbers."""
        names = list(self.maps)
        return programs.with_maps(self.functions[function], lambda place: numbers[names[place]])

    def document(self) -> dict[str, Any]:
        """Return this as JSON can carry it."""
        return {
            "maps": {
                name: [shape.kind, shape.key_size, shape.value_size, shape.flags, capacity]
                for name, (shape, capacity) in self.maps.items()
            },
            "functions": {name: base64.b64encode(code).decode() for name, code in self.functions.items()},
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Compiled":
        """Return what a document says."""
        maps = {
            name: Map(MapShape(int(kind), int(key), int(value), int(flags)), int(capacity))
            for name, (kind, key, value, flags, capacity) in document["maps"].items()
        }
        return cls(maps, {name: base64.b64decode(code) for name, code in document["functions"].items()})


def kept(
    parts: Callable[[], Iterable[bytes]], make: Callable[[], Compiled], directory: Path = DIRECTORY
) -> Compiled:
    """Return what was made of these parts earlier, or else make it, and keep it.

    What cannot be kept, or not be read, is made each time.
    """
    try:
        name = _name(parts())
    except OSError:
        return make()
    found = _read(directory, name)
    if found is None:
        found = make()
        # Where there is no room, or nothing that may be written to, the next one compiles again. So it does
        # where a file was changed meanwhile: nobody knows which of both was compiled.
        with contextlib.suppress(OSError):
            if _name(parts()) == name:
                _write(directory, name, json.dumps(found.document()).encode())
    return found


def tree(directory: Path) -> Iterator[bytes]:
    """Yield the name and the text of every file below a directory; raises `OSError`."""
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        yield bytes(path.relative_to(directory))
        yield path.read_bytes()


def _name(parts: Iterable[bytes]) -> str:
    whole = hashlib.blake2b(digest_size=32)
    for part in (*_compiler(), *parts):
        # With its length: what ends one part must not be taken for the beginning of the next.
        whole.update(b"%d %b" % (len(part), part))
    return whole.hexdigest()


def _compiler() -> Iterator[bytes]:
    """Yield what tells this compiler, on this kernel and beside these headers, from every other.

    Raises `OSError` where that is not known.
    """
    yield _BOOT.read_bytes()
    library = next((path for path in _COMPILERS if path.exists()), _COMPILERS[0])
    for path in (library, *filter(Path.exists, _HEADERS)):
        about = path.stat()
        yield f"{path.resolve()} {about.st_dev} {about.st_ino} {about.st_size} {about.st_mtime_ns}".encode()


def _read(directory: Path, name: str) -> Compiled | None:
    try:
        with _opened(directory) as place:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, dir_fd=place), "rb") as file:
                found = Compiled.of(json.loads(file.read()))
            os.utime(name, dir_fd=place)
    except (OSError, *_WRONG):
        return None
    return found


def _write(directory: Path, name: str, text: bytes) -> None:
    """Write it whole or not at all, and leave no more than there may be."""
    with contextlib.suppress(FileExistsError):
        # Others keep there what others may walk to.
        directory.parent.mkdir()
        directory.parent.chmod(_WALKABLE)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(_PRIVATE)
    with _opened(directory) as place:
        _put(place, name, text)
        with os.scandir(place) as entries:
            last = {one.name: one.stat(follow_symlinks=False).st_mtime_ns for one in entries}
        for one in sorted(last, key=last.__getitem__, reverse=True)[MOST:]:
            os.unlink(one, dir_fd=place)


def _put(place: int, name: str, text: bytes) -> None:
    beside = f"{name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(beside, flags, 0o600, dir_fd=place), "wb") as file:
            file.write(text)
        os.rename(beside, name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        # Half of it would take the last room, and nobody would read it.
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=place)
        raise


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Open a directory that is ours alone; raises `OSError` for every other."""
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(place)
        if about.st_uid != os.geteuid() or about.st_mode & _OTHERS:
            raise PermissionError(f"{directory} is not ours alone")
        yield place
    finally:
        os.close(place)
