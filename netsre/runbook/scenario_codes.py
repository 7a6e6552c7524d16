"""The codes of findings in scenarios; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

DUPLICATE: Final = "SCN001"
RUNBOOK: Final = "SCN002"
SERIES: Final = "SCN003"
FACT: Final = "SCN004"
EVENT: Final = "SCN005"
POINT: Final = "SCN006"
LOOK: Final = "SCN007"
EFFECT: Final = "SCN008"
PERSON: Final = "SCN009"
INTERVAL: Final = "SCN010"
OTHERS: Final = "SCN011"

CODES: Final = MappingProxyType(
    {
        DUPLICATE: "Two scenarios have one name.",
        RUNBOOK: "The runbook of a scenario does not exist.",
        SERIES: "A series cannot be read, its metric does not exist, or its value is none.",
        FACT: "What the node answers is nothing that it is asked, or is not whole.",
        EVENT: "An event is impossible.",
        POINT: "The point at which something happens is none, or it cannot happen there.",
        LOOK: "What is expected is nothing, or is not in the order of time.",
        EFFECT: "An effect has no kind, or none is named.",
        PERSON: "A person who says something is nobody who is given.",
        INTERVAL: "The interval between two readings is too long.",
        OTHERS: "An address that calls go to is none.",
    }
)
"""Every code, with what it says; stable, never reused."""
