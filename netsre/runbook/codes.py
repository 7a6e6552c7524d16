"""The codes of findings in runbook files; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

CONDITION: Final = "RUN001"
UNKNOWN_ACTION: Final = "RUN002"
PARAMETER: Final = "RUN003"
MODE: Final = "RUN004"
TARGET: Final = "RUN005"
NO_STEPS: Final = "RUN006"
NO_TRIGGER: Final = "RUN007"
DUPLICATE: Final = "RUN008"
LIMIT: Final = "RUN009"

CODES: Final = MappingProxyType(
    {
        CONDITION: "The condition in `when` cannot be read.",
        UNKNOWN_ACTION: "The action of a step does not exist.",
        PARAMETER: "A parameter of a step is missing or impossible.",
        MODE: "The approval mode is not supported yet.",
        TARGET: "The target in `lock` cannot be read, or needs a label that no alert has.",
        NO_STEPS: "A runbook without a step does nothing.",
        NO_TRIGGER: "A runbook without a trigger never runs.",
        DUPLICATE: "Two runbooks have one name.",
        LIMIT: "A limit of zero would refuse every run.",
    }
)
"""Every code, with what it says; stable, never reused."""
