"""Loading and attaching one program, with what the verifier says of it.

bcc compiles; the load itself is ours because a typed raw tracepoint needs the kernel's type id of the
tracepoint, which this bcc does not pass, and because a program may be loaded long after its compiler is gone.
Attribute layout: `union bpf_attr` in linux/bpf.h.
"""

import ctypes
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from netsre.adapters.bpf.syscalls import bpf

_PROG_LOAD: Final = 5
_RAW_TRACEPOINT_OPEN: Final = 17
_LINK_CREATE: Final = 28
_LOG_STATISTICS: Final = 4
_LOG_REASON: Final = 1
_LOG_BYTES: Final = 1 << 18
_LICENSE: Final = b"Dual BSD/GPL\0"
_INSTRUCTION: Final = struct.Struct("<BBhi")
_LOAD_MAP: Final = 0x18
"""The instruction that loads 64 bits; its source register says of what."""
_SOURCE_IS_MAP: Final = 1

_TIME: Final = re.compile(r"verification time (\d+) usec")
_INSTRUCTIONS: Final = re.compile(r"processed (\d+) insns")


class LoadRefused(Exception):
    """The kernel does not take the program; the message is what the verifier said last."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the kernel must know of a program before it verifies it."""

    number: int
    """Of `enum bpf_prog_type`."""
    attach_type: int = 0
    type_id: int = 0
    """Of the tracepoint, in the kernel's type information."""


SCHED_CLS: Final = Kind(3)
TRACEPOINT: Final = Kind(5)
XDP: Final = Kind(6)
RAW_TRACEPOINT: Final = Kind(17)


def tracing(tracepoint_type: int) -> Kind:
    """Return the kind of a program for the typed raw tracepoint with this type id."""
    return Kind(26, 23, tracepoint_type)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program in the kernel."""

    fd: int
    verifier_seconds: float
    verifier_instructions: int


def load(name: str, instructions: bytes, kind: Kind) -> Loaded:
    """Load a program; raises `LoadRefused` with the verifier's reason."""
    try:
        fd, log = _load(name, instructions, kind, _LOG_STATISTICS)
    except OSError as error:
        raise LoadRefused(_reason(name, instructions, kind, error)) from error
    seconds, processed = _TIME.search(log), _INSTRUCTIONS.search(log)
    return Loaded(
        fd,
        int(seconds[1]) / 1e6 if seconds else 0.0,
        int(processed[1]) if processed else 0,
    )


def with_maps(instructions: bytes, number_of: Callable[[int], int]) -> bytes:
    """Return instructions with each number of a map replaced by another."""
    changed = bytearray(instructions)
    for at in range(0, len(instructions), _INSTRUCTION.size):
        code, registers, offset, number = _INSTRUCTION.unpack_from(instructions, at)
        if code == _LOAD_MAP and registers >> 4 == _SOURCE_IS_MAP:
            _INSTRUCTION.pack_into(changed, at, code, registers, offset, number_of(number))
    return bytes(changed)


def attach_tracing(program_fd: int) -> int:
    """Attach a loaded program where its type says; it stays as long as the returned descriptor is open."""
    packed = struct.pack("<QI4x", 0, program_fd)
    return bpf(_RAW_TRACEPOINT_OPEN, ctypes.create_string_buffer(packed, len(packed)))


def attach_interface(program_fd: int, interface: int, attach_type: int, flags: int) -> int:
    """Attach a loaded program to an interface, by its number in the namespace of the calling thread.

    It stays as long as the returned descriptor is open and the interface exists.
    """
    packed = struct.pack("<IIIIQQ", program_fd, interface, attach_type, flags, 0, 0)
    return bpf(_LINK_CREATE, ctypes.create_string_buffer(packed, len(packed)))


def _load(name: str, instructions: bytes, kind: Kind, log_level: int) -> tuple[int, str]:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_text = ctypes.create_string_buffer(_LICENSE)
    log = ctypes.create_string_buffer(_LOG_BYTES)
    packed = struct.pack(
        "<IIQQIIQII16sIIIIQIIQII",
        kind.number,
        len(instructions) // _INSTRUCTION.size,
        ctypes.addressof(code),
        ctypes.addressof(license_text),
        log_level,
        len(log),
        ctypes.addressof(log),
        *(0, 0),
        name.encode()[:15],
        *(0, kind.attach_type),
        *(0, 0, 0, 0, 0, 0, 0),
        kind.type_id,
    )
    try:
        fd = bpf(_PROG_LOAD, ctypes.create_string_buffer(packed, len(packed)))
    except OSError as error:
        error.filename = log.value.decode(errors="replace")
        raise
    return fd, log.value.decode(errors="replace")


def _reason(name: str, instructions: bytes, kind: Kind, first: OSError) -> str:
    """Ask again for the verifier's words, and return the last that are not statistics."""
    try:
        _load(name, instructions, kind, _LOG_REASON)
    except OSError as error:
        lines = [line for line in str(error.filename or "").splitlines() if line.strip()]
        spoken = [line for line in lines if not line.startswith(("processed ", "verification time"))]
        if spoken:
            return f"{first.strerror}: {spoken[-1].strip()}"
    return str(first.strerror)
