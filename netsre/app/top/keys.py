"""What a terminal sends for a key, as names of keys."""

import codecs
from collections.abc import Iterator
from typing import Final

ESCAPE: Final = "escape"
ENTER: Final = "enter"
ERASE: Final = "erase"
CLEAR: Final = "clear"
TAB: Final = "tab"
BACKTAB: Final = "backtab"
UP: Final = "up"
DOWN: Final = "down"
PAGE_UP: Final = "page up"
PAGE_DOWN: Final = "page down"
HOME: Final = "home"
END: Final = "end"
INTERRUPT: Final = "interrupt"

_CONTROLS: Final = {
    "\t": TAB,
    "\r": ENTER,
    "\n": ENTER,
    "\x08": ERASE,
    "\x7f": ERASE,
    "\x15": CLEAR,
    "\x03": INTERRUPT,
    "\x04": INTERRUPT,
}
_SEQUENCES: Final = {
    "A": UP,
    "B": DOWN,
    "H": HOME,
    "F": END,
    "Z": BACKTAB,
    "1~": HOME,
    "7~": HOME,
    "4~": END,
    "8~": END,
    "5~": PAGE_UP,
    "6~": PAGE_DOWN,
}
_LONGEST: Final = 32
"""Characters of a sequence; what is longer is none."""


class Keys:
    """Reads bytes as they come: a key may arrive in pieces, and several at once."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def waits(self) -> bool:
        """Whether an escape was read that may be a key of its own, or the beginning of one."""
        return bool(self._rest)

    def read(self, data: bytes) -> Iterator[str]:
        """Yield the keys that are complete."""
        self._rest += self._decode.decode(data)
        while self._rest:
            length, key = _first(self._rest)
            if not length:
                return
            self._rest = self._rest[length:]
            if key:
                yield key

    def rest(self) -> Iterator[str]:
        """Yield what is there when nothing more came: an escape is the key Esc."""
        if self._rest:
            self._rest = ""
            yield ESCAPE


def _first(text: str) -> tuple[int, str]:
    """Return how long the first key is, 0 while it is not complete, and its name, empty for one unknown."""
    if text[0] != "\x1b":
        key = _CONTROLS.get(text[0], text[0] if text[0].isprintable() else "")
        return 1, key
    if len(text) == 1:
        return 0, ""
    if text[1] not in "[O":
        return 1, ESCAPE
    for index, char in enumerate(text[2:_LONGEST], start=2):
        if "@" <= char <= "~":
            return index + 1, _SEQUENCES.get(text[2 : index + 1], "")
    return (1, ESCAPE) if len(text) >= _LONGEST else (0, "")
