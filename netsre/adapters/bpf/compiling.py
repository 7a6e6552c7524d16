"""The compiler: bcc with our stand-ins for kernel headers. Only the loader may have it in memory."""

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_DISTRIBUTION_PACKAGES: Final = "/usr/lib/python3/dist-packages"


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


def compile_files(source: Path, names: Sequence[str], defines: Mapping[str, object]) -> Any:  # noqa: ANN401  untyped
    """Return some files, compiled as one text, as bcc's module, its maps made; raises `Failure`.

    They share their names and the defines; what the compiler says names the file and the line.
    """
    flags = [
        *include_flags(source),
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
        *(f"-D{define}={value}" for define, value in defines.items()),
    ]
    bcc = import_bcc()
    try:
        # Not by #include: bcc takes programs out of the text that it is given, and out of nothing else. After
        # an error the compiler goes on behind a semicolon: without one it would skip the next file's first
        # structure, and bcc does not survive a map of a type that is not there.
        text = b"".join(
            b'#line 1 "%s"\n%s\n;\n' % (name.encode(), (source / name).read_bytes()) for name in names
        )
        return bcc.BPF(text=text, cflags=flags)
    except Exception as error:  # bcc raises bare Exception for every failure
        what = ", ".join(names)
        raise Failure("compile_failed", f"bcc could not compile {what}: {error}") from error
