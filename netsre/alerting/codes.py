"""The codes of findings in files of condition alerts and of noisy clients, explained in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

DUPLICATE_ALERT: Final = "ALR001"
RESERVED_NAME: Final = "ALR002"
CLEAR_DIRECTION: Final = "ALR003"
CLEAR_VALUE: Final = "ALR004"
SAME_CLIENT: Final = "ALR005"
CLIENT_END: Final = "ALR006"
CLIENT_NAME: Final = "ALR007"

CODES: Final = MappingProxyType(
    {
        DUPLICATE_ALERT: "Two alerts have one name.",
        RESERVED_NAME: "The name belongs to alerts that netsre makes by itself.",
        CLEAR_DIRECTION: "`clear` is written for a condition of the other direction.",
        CLEAR_VALUE: "The value at which the alert clears is beyond the one at which it fires.",
        SAME_CLIENT: "A noisy client, or a file of them, is there twice.",
        CLIENT_END: "The day until which a noisy client is muted is none, is over, or is too far away.",
        CLIENT_NAME: "A noisy client has no name and no address, or one of them where the other belongs.",
    }
)
"""Every code, with what it says; stable, never reused."""
