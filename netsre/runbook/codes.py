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
REFERENCE: Final = "RUN010"
VERIFICATION: Final = "RUN011"
CHANGE: Final = "RUN012"
UNKNOWN_SLO: Final = "RUN013"
UNKNOWN_ALERT: Final = "RUN014"

CODES: Final = MappingProxyType(
    {
        CONDITION: "The condition in `when` or `if` cannot be read.",
        UNKNOWN_ACTION: "The action of a step does not exist.",
        PARAMETER: "A parameter of a step is missing or impossible.",
        MODE: "The approval mode is not supported yet.",
        TARGET: "The target in `lock` cannot be read, or needs a label that no alert has.",
        NO_STEPS: "A runbook without a step does nothing.",
        NO_TRIGGER: "A runbook without a trigger never runs.",
        DUPLICATE: "Two runbooks have one name.",
        LIMIT: "A limit of zero would refuse every run, or a share is impossible.",
        REFERENCE: "A reference names nothing that an earlier observation gives.",
        VERIFICATION: "A value of the verification is impossible.",
        CHANGE: "A runbook that changes something lacks what that takes.",
        UNKNOWN_SLO: "The SLO of the verification does not exist.",
        UNKNOWN_ALERT: "The alert of a trigger does not exist.",
    }
)
"""Every code, with what it says; stable, never reused."""
