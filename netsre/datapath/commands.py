"""Command names of other people's processes, as they may stand in a label or on a terminal.

A process chooses its own name: up to 15 bytes of anything but NUL.
"""

from typing import Final

from netsre.conventions import OWNER

_OURS: Final = (OWNER, "~", "pinned:", "comm:")
"""What a name of our own is, or begins with."""


def printable(raw: bytes) -> str:
    """Return text without control characters: each, and each byte that is no text, is an escape."""
    text = raw.decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def owner_of(command: bytes) -> str:
    """Return the value of the label `owner` for a process with this name.

    A name that could be taken for one of ours, or for a marker, gives way: it stands behind `comm:`.
    """
    name = printable(command.partition(b"\0")[0])
    if name == OWNER or name.startswith(_OURS[1:]):
        return f"comm:{name}"
    return name


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
