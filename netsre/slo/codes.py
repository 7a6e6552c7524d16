"""The codes of findings in SLO and burn policy files; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

OBJECTIVE: Final = "SLO001"
OBJECTIVE_AS_FRACTION: Final = "SLO002"
CALENDAR_WINDOW: Final = "SLO003"
WINDOW: Final = "SLO004"
PROMQL: Final = "SLO005"
UNKNOWN_POLICY: Final = "SLO006"
NEVER_FIRES: Final = "SLO007"
FACTOR_BELOW_ONE: Final = "SLO008"
SHORT_NOT_SHORTER: Final = "SLO009"
DUPLICATE_SLO: Final = "SLO010"
DUPLICATE_POLICY: Final = "SLO011"
UNKNOWN_METRIC: Final = "SLO012"
METRIC_KIND: Final = "SLO013"
NOT_A_BOUND: Final = "SLO014"
MATCH: Final = "SLO015"
UNKNOWN_LABEL: Final = "SLO016"
RESERVED_LABEL: Final = "SLO017"
BAD_OUTSIDE_TOTAL: Final = "SLO018"
BURN_RULE: Final = "SLO019"
BOUNDS_UNKNOWN: Final = "SLO020"
UNKNOWN_RUNBOOK: Final = "SLO021"
BUDGETING: Final = "SLO022"
ABSENT: Final = "SLO023"
CONFIDENCE: Final = "SLO024"

CODES: Final = MappingProxyType(
    {
        OBJECTIVE: "The objective is not above 0 and below 100 percent.",
        OBJECTIVE_AS_FRACTION: "The objective looks like a fraction instead of a percentage.",
        CALENDAR_WINDOW: "The calendar has no time zone that is known and whole quarter hours from UTC.",
        WINDOW: "The window is not whole minutes, too long, or shorter than a window of its policy.",
        PROMQL: "The PromQL of an indicator, or how often it is asked, cannot be used.",
        UNKNOWN_POLICY: "The burn policy does not exist.",
        NEVER_FIRES: "A burn rule can never fire at this objective.",
        FACTOR_BELOW_ONE: "A burn rule would fire while the objective is met.",
        SHORT_NOT_SHORTER: "The short window of a burn rule is not shorter than its long one.",
        DUPLICATE_SLO: "Two SLOs have one name.",
        DUPLICATE_POLICY: "Two burn policies have one name.",
        UNKNOWN_METRIC: "The metric does not exist, or no source of SLOs exposes it.",
        METRIC_KIND: "The metric is of a kind that this indicator cannot use.",
        NOT_A_BOUND: "The latency limit is not a bucket bound of the histogram.",
        MATCH: "The label matchers cannot be read.",
        UNKNOWN_LABEL: "The metric does not have this label, or it is listed twice.",
        RESERVED_LABEL: "A label whose name is not valid, or belongs to netsre.",
        BAD_OUTSIDE_TOTAL: "Bad events are not part of the total.",
        BURN_RULE: "A value of a burn rule is impossible.",
        BOUNDS_UNKNOWN: "The bucket bounds of the histogram are not known.",
        UNKNOWN_RUNBOOK: "The runbook does not exist.",
        ABSENT: "Silence is told of too early to mean anything.",
        BUDGETING: "The slices of a budget are too long, no part of an hour, or their target is impossible.",
        CONFIDENCE: "The confidence of a burn policy is impossible, or a single event is to give it.",
    }
)
"""Every code, with what it says; stable, never reused."""
