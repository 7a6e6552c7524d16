"""Member offsets of kernel structures, read from the running kernel's own type information (BTF).

Only what probes need: a walk over the type section that finds named structures and descends into anonymous
members. Format: Documentation/bpf/btf.rst in the kernel tree. Pure: bytes in, offsets out.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("<HBBIIIII")
_TYPE: Final = struct.Struct("<III")
_MEMBER: Final = struct.Struct("<III")

_POINTER: Final = 2
_STRUCT: Final = 4
_UNION: Final = 5
_ENUMS: Final = {6: struct.Struct("<II"), 19: struct.Struct("<III")}
"""Of 32 and of 64 bits: name and value of each, the lower half of a value first."""
_PROTOTYPE: Final = 13
# Qualifiers and typedefs lead to another type: typedef, volatile, const, restrict, type tag.
_REFERENCES: Final = frozenset({8, 9, 10, 11, 18})
_TYPEDEF: Final = 8

# Bytes that follow the common part, by kind: (fixed, per vlen).
_TAIL: Final = {
    1: (4, 0), 2: (0, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 7: (0, 0), 8: (0, 0),
    9: (0, 0), 10: (0, 0), 11: (0, 0), 12: (0, 0), 13: (0, 8), 14: (4, 0), 15: (0, 12), 16: (0, 0),
    17: (4, 0), 18: (0, 0), 19: (0, 12),
}  # fmt: skip


class BtfError(ValueError):
    """The type information is malformed, or lacks what was asked for; the message names it."""


@dataclass(frozen=True, slots=True)
class _Record:
    """Where a type stands, and its common part."""

    at: int
    name: int
    kind: int
    vlen: int
    bitfields: bool
    size_or_type: int


@dataclass(slots=True)
class TypeTable:
    """The types of one kernel; indexed once, in about a tenth of a second."""

    raw: bytes
    _strings: int = 0
    _records: list[tuple[int, int, int, int]] = field(default_factory=list)
    _found: dict[str, _Record] = field(default_factory=dict)
    """Structures that were asked for; several members of each are."""

    def __post_init__(self) -> None:
        """Index every type; raises `BtfError` when the bytes are not BTF."""
        if len(self.raw) < _HEADER.size:
            raise BtfError("type information is empty or cut short")
        magic, _, _, header, types, types_length, strings, strings_length = _HEADER.unpack_from(self.raw)
        if magic != _MAGIC:
            raise BtfError(f"type information starts with {magic:#06x}, not {_MAGIC:#06x}")
        start, end = header + types, header + types + types_length
        self._strings = header + strings
        if end > len(self.raw) or self._strings + strings_length > len(self.raw):
            raise BtfError("type information is cut short")
        self._records = _index(self.raw, start, end)

    def offset(self, structure: str, path: str) -> int:
        """Return the byte offset of a member; `path` descends through embedded structures with dots.

        Raises `BtfError` when there is no such structure or member, or when it is a bit field.
        """
        found: _Record | None = self._find(structure)
        total = 0
        for name in path.split("."):
            member = self._member(found, name)
            if member is None:
                raise BtfError(f"struct {structure} has no member {path} on this kernel")
            bits, found_type = member
            if bits % 8:
                raise BtfError(f"struct {structure} keeps {path} in a bit field on this kernel")
            total += bits // 8
            found = self._resolve(found_type)
        return total

    def tracepoint(self, name: str) -> int:
        """Return the type id by which a program attaches to a typed raw tracepoint.

        Raises `BtfError` when this kernel has no such tracepoint.
        """
        wanted = self._string_offsets(f"btf_trace_{name}")
        for number, (_, name_at, info, _) in enumerate(self._records, start=1):
            if name_at in wanted and (info >> 24) & 0x1F == _TYPEDEF:
                return number
        raise BtfError(f"this kernel's type information has no tracepoint {name}")

    def arguments(self, name: str) -> int:
        """Return how many arguments a tracepoint has: later kernels add some at the end.

        Raises `BtfError` when this kernel has no such tracepoint.
        """
        type_id, arguments = self.tracepoint(name), 0
        for kind in (_TYPEDEF, _POINTER, _PROTOTYPE):
            record = _record(*self._records[type_id - 1]) if 0 < type_id <= len(self._records) else None
            if record is None or record.kind != kind:
                raise BtfError(f"this kernel's type information does not say what tracepoint {name} tells")
            type_id, arguments = record.size_or_type, record.vlen
        # The first is the tracepoint's own.
        return arguments - 1

    def enumerators(self, name: str) -> dict[int, str]:
        """Return the names of an enumeration by their numbers; the first where a number has several.

        Numbers are as they stand in memory, without a sign. Raises `BtfError` when there is no such
        enumeration.
        """
        wanted = self._string_offsets(name)
        for at, name_at, info, _ in self._records:
            layout = _ENUMS.get((info >> 24) & 0x1F)
            if layout is None or name_at not in wanted:
                continue
            found: dict[int, str] = {}
            for index in range(info & 0xFFFF):
                text, *halves = layout.unpack_from(self.raw, at + _TYPE.size + index * layout.size)
                number = sum(half << 32 * place for place, half in enumerate(halves))
                found.setdefault(number, self._name(text))
            return found
        raise BtfError(f"this kernel's type information has no enum {name}")

    def _find(self, structure: str) -> _Record:
        if structure in self._found:
            return self._found[structure]
        wanted = self._string_offsets(structure)
        for at, name, info, size in self._records:
            if name in wanted and (info >> 24) & 0x1F == _STRUCT:
                self._found[structure] = _record(at, name, info, size)
                return self._found[structure]
        raise BtfError(f"this kernel's type information has no struct {structure}")

    def _string_offsets(self, text: str) -> frozenset[int]:
        needle = b"\0" + text.encode() + b"\0"
        place = self.raw.find(needle, self._strings)
        found = set()
        while place >= 0:
            found.add(place + 1 - self._strings)
            place = self.raw.find(needle, place + 1)
        return frozenset(found)

    def _name(self, offset: int) -> str:
        start = self._strings + offset
        return self.raw[start : self.raw.index(b"\0", start)].decode()

    def _resolve(self, type_id: int) -> _Record | None:
        """Follow typedefs and qualifiers to a structure or union; `None` for anything else."""
        for _ in range(32):
            if not 0 < type_id <= len(self._records):
                return None
            record = _record(*self._records[type_id - 1])
            if record.kind in (_STRUCT, _UNION):
                return record
            if record.kind not in _REFERENCES:
                return None
            type_id = record.size_or_type
        return None

    def _member(self, record: _Record | None, name: str) -> tuple[int, int] | None:
        """Return (offset in bits, type) of a member, also of one inside anonymous members."""
        if record is None:
            return None
        for index in range(record.vlen):
            name_at, type_id, offset = _MEMBER.unpack_from(self.raw, record.at + _TYPE.size + index * 12)
            bits = offset & 0xFFFFFF if record.bitfields else offset
            if name_at:
                if self._name(name_at) == name:
                    is_bitfield = record.bitfields and offset >> 24
                    return (1 if is_bitfield else bits), type_id
                continue
            inside = self._member(self._resolve(type_id), name)
            if inside is not None:
                return bits + inside[0], inside[1]
        return None


def _record(at: int, name: int, info: int, size: int) -> _Record:
    return _Record(at, name, (info >> 24) & 0x1F, info & 0xFFFF, bool(info >> 31), size)


def _index(raw: bytes, start: int, end: int) -> list[tuple[int, int, int, int]]:
    """Return (place, name, info, size or type) of every type, in order of their ids."""
    records = []
    unpack = _TYPE.unpack_from
    at = start
    try:
        while at < end:
            name, info, size = unpack(raw, at)
            records.append((at, name, info, size))
            fixed, each = _TAIL[(info >> 24) & 0x1F]
            at += 12 + fixed + each * (info & 0xFFFF)
    except (KeyError, struct.error) as error:
        raise BtfError(f"type information is malformed at byte {at}") from error
    return records
