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
REPEAT: Final = "RUN020"
TRY: Final = "RUN021"
GOES_ON: Final = "RUN022"
DECLARED: Final = "RUN023"
USED: Final = "RUN024"
HANDLE: Final = "RUN025"
UNTOLD: Final = "RUN026"
WIDE: Final = "RUN040"
NEVER_PAGES: Final = "RUN041"
BOUND: Final = "RUN042"
ADDRESS: Final = "RUN043"
MATCH: Final = "RUN050"

SAME_NAME: Final = "PPL001"
NO_HASH: Final = "PPL002"
MEMBER: Final = "PPL003"
NO_ACCOUNT: Final = "PPL004"

CODES: Final = MappingProxyType(
    {
        CONDITION: "The condition in `when`, `if` or `until` cannot be read.",
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
        REPEAT: "A loop has no end, changes nothing, is too long, or stands inside of another.",
        TRY: "The time or the number of tries of a step is impossible.",
        GOES_ON: "A run cannot go on without a step that changes something.",
        DECLARED: "A parameter of the runbook is declared with a value that it cannot have.",
        USED: "A step names a parameter that the runbook does not declare, or none names it.",
        HANDLE: "A secret stands where the action does not take one.",
        UNTOLD: "People are asked about a change that their plan could not tell them.",
        WIDE: "A silence names neither an alert nor a service nor a service level.",
        NEVER_PAGES: "A silence is meant for pages, or for what calls people.",
        BOUND: "A value that is filled in at its turn is none that can be.",
        ADDRESS: "The address of a call is none that can be called.",
        MATCH: "A trigger asks for a label that no alert has.",
        SAME_NAME: "Two people or groups have one name, or one has a name that netsre gives.",
        NO_HASH: "The hash of a token is none, or somebody else's.",
        MEMBER: "A member of a group is no person.",
        NO_ACCOUNT: "The account in Slack is no member id, or somebody else's.",
    }
)
"""Every code, with what it says; stable, never reused."""
