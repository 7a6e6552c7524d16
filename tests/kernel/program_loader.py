"""A process of its own that loads BPF programs: `python -m tests.kernel.program_loader NAME_HEX WHAT:TIMES…`.

What: `good`, or the way in which it is bad. It is gone when it ends, with everything that it loaded.
"""

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from netsre.adapters.bpf import syscalls

_PR_SET_NAME: Final = 15
_PROG_LOAD: Final = 5
_INSTRUCTION: Final = struct.Struct("<BBhi")
MOVE: Final = _INSTRUCTION.pack(0xB7, 0, 0, 0)
EXIT: Final = _INSTRUCTION.pack(0x95, 0, 0, 0)
UNSET: Final = _INSTRUCTION.pack(0xBF, 0x20, 0, 0)
"""Copies a register that nobody set: the verifier refuses it with EACCES."""
NO_HELPER: Final = _INSTRUCTION.pack(0x85, 0, 0, 9999)
"""Calls a helper that no kernel has."""
NOT_HERE: Final = _INSTRUCTION.pack(0x85, 0, 0, 51)
"""Calls bpf_redirect_map, which programs on sockets may not."""
SOCKET_FILTER: Final = 1
XDP: Final = 6
_LOG_BYTES: Final = 1 << 20
_ATTRIBUTES: Final = struct.Struct("<IIQQIIQII16s")


def load(code: bytes, kind: int, name: bytes, *, log_bytes: int = 0, trailing: bytes = b"") -> str:
    """Load a program, and give it up at once; return the name of the errno, empty for a good one."""
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL\0")
    log = ctypes.create_string_buffer(max(1, log_bytes))
    packed = _ATTRIBUTES.pack(
        *(kind, len(code) // _INSTRUCTION.size, ctypes.addressof(instructions), ctypes.addressof(licence)),
        *(2 if log_bytes else 0, log_bytes, ctypes.addressof(log) if log_bytes else 0, 0, 0, name),
    )
    return _submit(packed + trailing)


def _submit(attributes: bytes) -> str:
    try:
        os.close(syscalls.bpf(_PROG_LOAD, ctypes.create_string_buffer(attributes, len(attributes))))
    except OSError as error:
        return str(error.strerror)
    return ""


_GOOD: Final = MOVE + EXIT
_WAYS: Final[dict[str, Callable[[], str]]] = {
    "good": lambda: load(_GOOD, SOCKET_FILTER, b"t_good"),
    "long": lambda: load(MOVE * 100 + EXIT, SOCKET_FILTER, b"t_long"),
    "xdp": lambda: load(_GOOD, XDP, b"t_xdp"),
    "refused": lambda: load(UNSET + EXIT, SOCKET_FILTER, b"t_refused", log_bytes=_LOG_BYTES),
    "beyond": lambda: load(NO_HELPER + EXIT, SOCKET_FILTER, b"t_beyond", log_bytes=_LOG_BYTES),
    "elsewhere": lambda: load(NOT_HERE + EXIT, SOCKET_FILTER, b"t_elsewhere", log_bytes=_LOG_BYTES),
    # The verifier tells every instruction: far more than is kept, its verdict at the end.
    "talkative": lambda: load(MOVE * 3000 + UNSET + EXIT, SOCKET_FILTER, b"t_talks", log_bytes=_LOG_BYTES),
    "cramped": lambda: load(MOVE * 300 + EXIT, SOCKET_FILTER, b"t_cramped", log_bytes=256),
    "unknown": lambda: load(_GOOD, 250, b"t_unknown"),
    # Attributes that this kernel does not know, and that are not 0.
    "longer": lambda: load(_GOOD, SOCKET_FILTER, b"t_longer", trailing=b"\xff" * 600),
    "nameless": lambda: load(UNSET + EXIT, SOCKET_FILTER, b"", log_bytes=_LOG_BYTES),
    "wordy": lambda: load(_GOOD, SOCKET_FILTER, b"bad name!"),
    "unreadable": lambda: _submit(_ATTRIBUTES.pack(SOCKET_FILTER, 2, 8, 8, 0, 0, 0, 0, 0, b"t_nowhere")),
}


def attempt(what: str) -> str:
    """Make one load of a kind; return the name of the errno, empty for a good one."""
    return _WAYS[what]()


def run(command: bytes, *wanted: str, prefix: tuple[str, ...] = ()) -> list[str]:
    """Run a loader to its end; return what became of each load, in order."""
    arguments = [*prefix, sys.executable, "-m", "tests.kernel.program_loader", command.hex(), *wanted]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    """Load what is asked for, and say what became of each."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, bytes.fromhex(sys.argv[1]), 0, 0, 0)
    for wanted in sys.argv[2:]:
        what, _, times = wanted.partition(":")
        for _ in range(int(times)):
            sys.stdout.write(f"{attempt(what) or 'ok'} ")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
