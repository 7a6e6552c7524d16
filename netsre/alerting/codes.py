"""The codes of findings in files of condition alerts; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

DUPLICATE_ALERT: Final = "ALR001"
RESERVED_NAME: Final = "ALR002"
CLEAR_DIRECTION: Final = "ALR003"
CLEAR_VALUE: Final = "ALR004"

CODES: Final = MappingProxyType(
    {
        DUPLICATE_ALERT: "Two alerts have one name.",
        RESERVED_NAME: "The name belongs to alerts that netsre makes by itself.",
        CLEAR_DIRECTION: "`clear` is written for a condition of the other direction.",
        CLEAR_VALUE: "The value at which the alert clears is beyond the one at which it fires.",
    }
)
"""Every code, with what it says; stable, never reused."""
