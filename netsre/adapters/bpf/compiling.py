"""The compiler: bcc with our stand-ins for kernel headers. Only the loader may have it in memory."""

import ctypes
import platform
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from netsre.adapters.bpf import compiled, programs, syscalls
from netsre.adapters.bpf.compiled import Compiled, Map
from netsre.adapters.bpf.syscalls import MapShape

_DISTRIBUTION_PACKAGES: Final = "/usr/lib/python3/dist-packages"
_MAP_INFO: Final = struct.Struct("<6I")
"""The beginning of `struct bpf_map_info`: type, id, size of key and value, room, flags."""


class Failure(Exception):
    """Why programs cannot run: a named reason and a sentence with the next step."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the named reason beside the sentence."""
        self.reason = reason
        super().__init__(message)


def import_bcc() -> ModuleType:
    """Return the bcc binding; the distribution ships it for its own Python only, so look there too.

    The package index has an unrelated `bcc`; the right one knows `BPF`.
    """
    for attempt in ("as installed", "from the distribution"):
        try:
            import bcc  # noqa: PLC0415  # Only this process may have it in memory.
        except ImportError:
            pass
        else:
            if hasattr(bcc, "BPF"):
                return bcc  # type: ignore[no-any-return]  # untyped
            del sys.modules["bcc"]
        if attempt == "as installed":
            sys.path.insert(0, _DISTRIBUTION_PACKAGES)
    raise Failure("no_bcc", "the bcc binding is missing; install it with: apt-get install python3-bpfcc")


def include_flags(source: Path) -> list[str]:
    """Return where the compiler finds our headers and the C library's kernel interface headers."""
    triplet = f"{platform.machine()}-linux-gnu"
    return [f"-I{source / 'include'}", "-I/usr/include", f"-I/usr/include/{triplet}"]


def parts(source: Path, names: Sequence[str], defines: Mapping[str, object]) -> Iterator[bytes]:
    """Yield all that the result of compiling some files depends on, beside the compiler; raises `OSError`."""
    yield _text(source, names)
    yield from map(str.encode, _flags(defines))
    for below in ("include", "shim"):
        yield from compiled.tree(source / below)


def compile_files(
    source: Path, names: Sequence[str], defines: Mapping[str, object], directory: Path = compiled.DIRECTORY
) -> Compiled:
    """Return some files, compiled as one text, now or earlier; raises `Failure`.

    They share their names and the defines; what the compiler says names the file and the line.
    """

    def make() -> Compiled:
        what = ", ".join(names)
        try:
            return _compiled(_text(source, names), [*include_flags(source), *_flags(defines)])
        except Failure:
            raise
        except Exception as error:  # bcc raises bare Exception for every failure
            raise Failure("compile_failed", f"bcc could not compile {what}: {error}") from error

    return compiled.kept(lambda: parts(source, names, defines), make, directory)


def _flags(defines: Mapping[str, object]) -> list[str]:
    return [
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
        # Nobody reads it: programs are loaded without their types, and the compiler is a fifth faster.
        "-g0",
        *(f"-D{define}={value}" for define, value in defines.items()),
    ]


def _text(source: Path, names: Sequence[str]) -> bytes:
    # Not by #include: bcc takes programs out of the text that it is given, and out of nothing else. After
    # an error the compiler goes on behind a semicolon: without one it would skip the next file's first
    # structure, and bcc does not survive a map of a type that is not there.
    return b"".join(
        b'#line 1 "%s"\n%s\n;\n' % (name.encode(), (source / name).read_bytes()) for name in names
    )


def _compiled(text: bytes, flags: Sequence[str]) -> Compiled:
    bcc = import_bcc()
    module = bcc.BPF(text=text, cflags=flags)
    lib, number = bcc.lib, module.module
    maps = {
        name: lib.bpf_table_fd(number, name.encode())
        for name in _names(lib.bpf_num_tables, lib.bpf_table_name, number)
    }
    places = {fd: place for place, fd in enumerate(maps.values())}
    functions = {
        name: programs.with_maps(module.dump_func(name.encode()), places.__getitem__)
        for name in _names(lib.bpf_num_functions, lib.bpf_function_name, number)
    }
    made = Compiled({name: _described(fd) for name, fd in maps.items()}, functions)
    # The maps that it has made go with it.
    module.cleanup()
    return made


def _names(count: Any, name: Any, module: int) -> list[str]:  # noqa: ANN401  untyped
    """Return what there is in a module, by two functions of bcc's library; its binding may not know them."""
    count.restype, count.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_size_t]
    return [name(module, at).decode() for at in range(count(module))]


def _described(fd: int) -> Map:
    """Return what a map was made as."""
    kind, _, key_size, value_size, capacity, flags = _MAP_INFO.unpack(syscalls.info(fd, _MAP_INFO.size))
    return Map(MapShape(kind, key_size, value_size, flags), capacity)
