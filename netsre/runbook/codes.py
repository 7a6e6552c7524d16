"""The codes of findings in files of runbooks and of people; explained for people in `docs/codes.md`."""

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
VETO: Final = "RUN015"
CALENDAR: Final = "RUN016"
CALENDAR_NAME: Final = "RUN017"
UNKNOWN_RUNBOOK: Final = "RUN018"
PERSON: Final = "RUN019"

SAME_NAME: Final = "PPL001"
NO_HASH: Final = "PPL002"
MEMBER: Final = "PPL003"
NO_ACCOUNT: Final = "PPL004"

CODES: Final = MappingProxyType(
    {
        CONDITION: "The condition in `when` or `if` cannot be read.",
        UNKNOWN_ACTION: "The action of a step does not exist.",
        PARAMETER: "A parameter of a step is missing or impossible.",
        MODE: "The approval is impossible: its mode, or what stands beside it.",
        TARGET: "The target in `lock` cannot be read, or needs a label that no alert has.",
        NO_STEPS: "A runbook without a step does nothing.",
        NO_TRIGGER: "A runbook without a trigger never runs.",
        DUPLICATE: "Two runbooks have one name.",
        LIMIT: "A limit of zero would refuse every run, or a share is impossible.",
        REFERENCE: "A reference names nothing that an earlier observation gives.",
        VERIFICATION: "A value of the verification is impossible.",
        CHANGE: "A runbook that changes something lacks what that takes.",
        UNKNOWN_SLO: "The SLO of the verification does not exist.",
        UNKNOWN_ALERT: "The alert of a trigger, or under `unless`, does not exist.",
        VETO: "A veto under `unless` asks for a label that no alert has.",
        CALENDAR: "A window of a maintenance calendar cannot be read, never comes, or is too long.",
        CALENDAR_NAME: "Two maintenance calendars have one name.",
        UNKNOWN_RUNBOOK: "The runbook that a maintenance calendar names does not exist.",
        PERSON: "A person or group of the approval does not exist, or there are too few of them.",
        SAME_NAME: "Two people or groups have one name, or one has a name that netsre gives.",
        NO_HASH: "The hash of a token is none, or somebody else's.",
        MEMBER: "A member of a group is no person.",
        NO_ACCOUNT: "The account in Slack is no member id, or somebody else's.",
    }
)
"""Every code, with what it says; stable, never reused."""
