"""Offsets from type information, on bytes written by hand."""

import struct

import pytest

from netsre.datapath.btf import BtfError, TypeTable

_INT, _POINTER, _STRUCT, _UNION, _TYPEDEF, _CONST = 1, 2, 4, 5, 8, 10


class Written:
    """Type information as a compiler would write it, one type at a time."""

    def __init__(self) -> None:
        """Start with the empty string and no types."""
        self.strings = b"\0"
        self.types = b""

    def text(self, word: str) -> int:
        """Add a string; return its place."""
        if not word:
            return 0
        self.strings += word.encode() + b"\0"
        return len(self.strings) - len(word) - 1

    def scalar(self, name: str) -> None:
        """Add a 4-byte integer."""
        self.types += struct.pack("<III", self.text(name), _INT << 24, 4) + struct.pack("<I", 32)

    def aggregate(
        self, kind: int, name: str, members: list[tuple[str, int, int]], *, bitfields: bool = False
    ) -> None:
        """Add a structure or union with members (name, type id, offset word)."""
        info = kind << 24 | len(members) | (1 << 31 if bitfields else 0)
        self.types += struct.pack("<III", self.text(name), info, 64)
        for member, type_id, offset in members:
            self.types += struct.pack("<III", self.text(member), type_id, offset)

    def alias(self, kind: int, name: str, type_id: int) -> None:
        """Add a typedef or qualifier."""
        self.types += struct.pack("<III", self.text(name), kind << 24, type_id)

    def enumeration(self, name: str, values: list[tuple[str, int]], *, wide: bool = False) -> None:
        """Add an enumeration of 32 or of 64 bits."""
        kind, size = (19, 8) if wide else (6, 4)
        self.types += struct.pack("<III", self.text(name), kind << 24 | len(values), size)
        for word, value in values:
            halves = struct.pack("<q", value)[: 8 if wide else 4]
            self.types += struct.pack("<I", self.text(word)) + halves

    def prototype(self, arguments: int) -> None:
        """Add the type of a function with this many arguments."""
        self.types += struct.pack("<III", 0, 13 << 24 | arguments, 0) + bytes(8) * arguments

    def raw(self) -> bytes:
        """Return the whole section."""
        header = struct.pack(
            "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)
        )
        return header + self.types + self.strings


@pytest.fixture
def table() -> TypeTable:
    """Describe an outer structure with an anonymous union, a typedef'd inner one, and a bit field."""
    written = Written()
    written.scalar("int")  # 1
    written.aggregate(_STRUCT, "inner", [("x", 1, 0), ("y", 1, 32)])  # 2
    written.alias(_CONST, "", 2)  # 3
    written.alias(_TYPEDEF, "inner_t", 3)  # 4
    written.aggregate(_UNION, "", [("one", 1, 0), ("other", 2, 0)])  # 5
    written.aggregate(_STRUCT, "outer", [("head", 1, 0), ("", 5, 64), ("tail", 4, 128)])  # 6
    written.aggregate(_STRUCT, "packed", [("whole", 1, 32), ("flag", 1, 1 << 24 | 64)], bitfields=True)  # 7
    written.alias(_TYPEDEF, "btf_trace_thing", 1)  # 8
    return TypeTable(written.raw())


@pytest.mark.parametrize(
    ("structure", "path", "offset"),
    [
        ("outer", "head", 0),
        ("outer", "one", 8),
        ("outer", "other.y", 12),
        ("outer", "tail.y", 20),
        ("packed", "whole", 4),
    ],
)
def test_members_are_found_through_whatever_holds_them(
    table: TypeTable, structure: str, path: str, offset: int
) -> None:
    """Anonymous unions, typedefs and qualifiers are looked through."""
    assert table.offset(structure, path) == offset


@pytest.mark.parametrize(
    ("structure", "path", "message"),
    [
        ("outer", "nose", "struct outer has no member nose on this kernel"),
        ("outer", "head.x", "struct outer has no member head.x on this kernel"),
        ("packed", "flag", "struct packed keeps flag in a bit field on this kernel"),
        ("absent", "x", "this kernel's type information has no struct absent"),
    ],
)
def test_what_is_not_there_is_named(table: TypeTable, structure: str, path: str, message: str) -> None:
    """A probe that cannot be placed says which member is missing."""
    with pytest.raises(BtfError) as raised:
        table.offset(structure, path)

    assert str(raised.value) == message


def test_a_tracepoint_is_found_by_its_typedef(table: TypeTable) -> None:
    """The id is the position in the type section, counted from one."""
    assert table.tracepoint("thing") == 8
    with pytest.raises(BtfError, match="has no tracepoint nothing"):
        table.tracepoint("nothing")


@pytest.mark.parametrize("wide", [False, True], ids=["32-bit", "64-bit"])
def test_an_enumeration_is_read_by_number(*, wide: bool) -> None:
    """A negative number is what stands in memory; of several names of one number the first is it."""
    written = Written()
    written.scalar("int")
    written.enumeration("other", [("NO", 1)], wide=not wide)
    written.enumeration("reason", [("A", 0), ("B", 7), ("AGAIN", 7), ("MASK", -65536)], wide=wide)
    table = TypeTable(written.raw())

    mask = (1 << (64 if wide else 32)) - 65536
    assert table.enumerators("reason") == {0: "A", 7: "B", mask: "MASK"}
    with pytest.raises(BtfError, match="has no enum nothing"):
        table.enumerators("nothing")
    with pytest.raises(BtfError, match="has no enum int"):
        table.enumerators("int")


def test_a_tracepoint_says_how_much_it_tells(table: TypeTable) -> None:
    """The first argument is the tracepoint's own, and not counted; what is no tracepoint is refused."""
    written = Written()
    written.prototype(4)  # 1
    written.alias(_POINTER, "", 1)  # 2
    written.alias(_TYPEDEF, "btf_trace_thing", 2)  # 3

    assert TypeTable(written.raw()).arguments("thing") == 3
    with pytest.raises(BtfError, match="does not say what tracepoint thing tells"):
        table.arguments("thing")


@pytest.mark.parametrize("length", [0, 10, 23])
def test_cut_bytes_are_refused(length: int) -> None:
    """A header that is not whole is an error, not an empty table."""
    with pytest.raises(BtfError, match="cut short"):
        TypeTable(b"\x9f\xeb\x01\x00" + bytes(length)[: max(0, length - 4)])


def test_bytes_that_are_something_else_are_refused() -> None:
    """The magic number is checked first."""
    with pytest.raises(BtfError, match="starts with 0x0000, not 0xeb9f"):
        TypeTable(bytes(64))


def test_every_truncation_of_a_good_table_is_an_error_and_not_a_wrong_offset() -> None:
    """Cutting at any byte raises; nothing is read beyond the end."""
    written = Written()
    written.scalar("int")
    written.aggregate(_STRUCT, "thing", [("a", 1, 0), ("b", 1, 32)])
    whole = written.raw()

    assert TypeTable(whole).offset("thing", "b") == 4
    for length in range(len(whole)):
        with pytest.raises(BtfError):
            TypeTable(whole[:length])
