"""How strictly policies are treated: for all, or for one endpoint, and until when."""

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from netsre.datapath.policy.layouts import MODE

_MODES: Final = struct.Struct("<I")


class Mode(StrEnum):
    """What becomes of what no policy allows; in the order of their numbers in the kernel."""

    ENFORCE = "enforce"
    """It is dropped."""
    MONITOR = "monitor"
    """It passes, and is counted as audited."""
    OFF = "off"
    """It passes."""
    INHERIT = "inherit"
    """Of an endpoint: whatever holds for all."""


_NUMBERED: Final = tuple(Mode)


@dataclass(frozen=True, slots=True)
class Setting:
    """A mode as the kernel has it; where it ends by itself, nobody has to be alive for it."""

    mode: Mode
    until_ns: int = 0
    """By CLOCK_BOOTTIME; 0 is for ever."""
    afterwards: Mode = Mode.ENFORCE

    def now(self, now_ns: int) -> Mode:
        """Return what holds."""
        return self.lasting if self.until_ns and self.until_ns <= now_ns else self.mode

    @property
    def lasting(self) -> Mode:
        """Return what holds when all that ends by itself has ended."""
        return self.afterwards if self.until_ns else self.mode

    def changed(self, mode: Mode, until_ns: int) -> "Setting":
        """Return one with another mode; where that ends, what was to last comes again."""
        return Setting(mode, until_ns, self.lasting if until_ns else Mode.ENFORCE)

    def pack(self) -> bytes:
        """Return the value of a map."""
        numbers = _NUMBERED.index(self.mode), _NUMBERED.index(self.afterwards)
        return MODE.pack(self.until_ns, *numbers, bytes(6))

    @classmethod
    def of(cls, value: bytes) -> Self:
        """Return the setting of a value."""
        until_ns, mode, afterwards, _ = MODE.unpack(value)
        return cls(_NUMBERED[mode], until_ns, _NUMBERED[afterwards])


def key(endpoint: int = 0) -> bytes:
    """Return the key of a setting: of an endpoint by its number, or of all."""
    return _MODES.pack(endpoint)
