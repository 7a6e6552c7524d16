"""Loading and attaching one program, with what the verifier says of it.

bcc compiles; the load itself is ours because a typed raw tracepoint needs the kernel's type id of the
tracepoint, which this bcc does not pass. Attribute layout: `union bpf_attr` in linux/bpf.h.
"""

import ctypes
import re
import struct
from dataclasses import dataclass
from typing import Final

from netsre.adapters.bpf.syscalls import bpf

_PROG_LOAD: Final = 5
_RAW_TRACEPOINT_OPEN: Final = 17
_TYPE_TRACING: Final = 26
_ATTACH_RAW_TRACEPOINT: Final = 23
_LOG_STATISTICS: Final = 4
_LOG_REASON: Final = 1
_LOG_BYTES: Final = 1 << 18
_LICENSE: Final = b"Dual BSD/GPL\0"
_INSTRUCTION_BYTES: Final = 8

_TIME: Final = re.compile(r"verification time (\d+) usec")
_INSTRUCTIONS: Final = re.compile(r"processed (\d+) insns")


class LoadRefused(Exception):
    """The kernel does not take the program; the message is what the verifier said last."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program in the kernel."""

    fd: int
    verifier_seconds: float
    verifier_instructions: int


def load_tracing(name: str, instructions: bytes, tracepoint_type: int) -> Loaded:
    """Load a program for a typed raw tracepoint; raises `LoadRefused` with the verifier's reason."""
    try:
        fd, log = _load(name, instructions, tracepoint_type, _LOG_STATISTICS)
    except OSError as error:
        raise LoadRefused(_reason(name, instructions, tracepoint_type, error)) from error
    seconds, processed = _TIME.search(log), _INSTRUCTIONS.search(log)
    return Loaded(
        fd,
        int(seconds[1]) / 1e6 if seconds else 0.0,
        int(processed[1]) if processed else 0,
    )


def attach_tracing(program_fd: int) -> int:
    """Attach a loaded program where its type says; it stays as long as the returned descriptor is open."""
    packed = struct.pack("<QI4x", 0, program_fd)
    return bpf(_RAW_TRACEPOINT_OPEN, ctypes.create_string_buffer(packed, len(packed)))


def _load(name: str, instructions: bytes, tracepoint_type: int, log_level: int) -> tuple[int, str]:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_text = ctypes.create_string_buffer(_LICENSE)
    log = ctypes.create_string_buffer(_LOG_BYTES)
    packed = struct.pack(
        "<IIQQIIQII16sIIIIQIIQII",
        _TYPE_TRACING,
        len(instructions) // _INSTRUCTION_BYTES,
        ctypes.addressof(code),
        ctypes.addressof(license_text),
        log_level,
        len(log),
        ctypes.addressof(log),
        *(0, 0),
        name.encode()[:15],
        *(0, _ATTACH_RAW_TRACEPOINT),
        *(0, 0, 0, 0, 0, 0, 0),
        tracepoint_type,
    )
    try:
        fd = bpf(_PROG_LOAD, ctypes.create_string_buffer(packed, len(packed)))
    except OSError as error:
        error.filename = log.value.decode(errors="replace")
        raise
    return fd, log.value.decode(errors="replace")


def _reason(name: str, instructions: bytes, tracepoint_type: int, first: OSError) -> str:
    """Ask again for the verifier's words, and return the last that are not statistics."""
    try:
        _load(name, instructions, tracepoint_type, _LOG_REASON)
    except OSError as error:
        lines = [line for line in str(error.filename or "").splitlines() if line.strip()]
        spoken = [line for line in lines if not line.startswith(("processed ", "verification time"))]
        if spoken:
            return f"{first.strerror}: {spoken[-1].strip()}"
    return str(first.strerror)
