"""The codes of findings in game day files; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

FAULTS: Final = "GDY001"
DURATION: Final = "GDY002"
TARGET: Final = "GDY003"
DEADLINE: Final = "GDY004"
UNKNOWN: Final = "GDY005"
ABORT: Final = "GDY006"
SCHEDULE: Final = "GDY007"
DUPLICATE: Final = "GDY008"

CODES: Final = MappingProxyType(
    {
        FAULTS: "A game day has exactly one fault.",
        DURATION: "The fault lasts longer than a fault may, or not whole seconds.",
        TARGET: "The target is not the lab.",
        DEADLINE: "A deadline that nothing could miss, or that comes before an earlier stage's.",
        UNKNOWN: "The expected alert, runbook or service level does not exist.",
        ABORT: "A budget cannot be below this share.",
        SCHEDULE: "The schedule cannot be read, or never comes.",
        DUPLICATE: "Two game days have one name.",
    }
)
"""Every code, with what it says; stable, never reused."""
