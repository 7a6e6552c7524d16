"""The words of an alert: what a person reads first when the pager goes off."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.model.levels import Burning, Evaluation, Measured, NoData, Ratio, Severity

ALERT_NAME: Final = "ErrorBudgetBurn"
ABSENT: Final = "TelemetryAbsent"
"""The alert of levels that cannot be judged any more."""
NEEDS_HUMAN: Final = "RunbookNeedsHuman"
"""The alert of runs that people must look at."""
AWAITS_APPROVAL: Final = "RunbookAwaitsApproval"
"""The alert of runs that wait for the word of people."""
CALLS: Final = frozenset({NEEDS_HUMAN, AWAITS_APPROVAL})
"""Alerts by which automation calls people: they start no run."""

_ALL_PLACES: Final = 30
"""Of a percentage: a file has no more."""


def is_call(labels: Mapping[str, str]) -> bool:
    """Tell whether it is automation that calls people, which is the cause of nothing."""
    return labels.get("alertname") in CALLS


@dataclass(frozen=True, slots=True)
class Links:
    """Where a person goes from an alert: the address of the controller, without a slash at the end."""

    base: str

    def runbook(self, name: str | None) -> str:
        """Return the page of a runbook, or the list of all where the SLO names none."""
        return f"{self.base}/runbooks/{name}" if name else f"{self.base}/runbooks"

    def dashboard(self, slo: str) -> str:
        """Return the place that shows an SLO."""
        return f"{self.base}/#{slo}"

    def alerts(self) -> str:
        """Return the place that shows what fires."""
        return f"{self.base}/#alerts"

    def alert(self, fingerprint: str) -> str:
        """Return the place that shows an alert."""
        return f"{self.base}/#alert-{fingerprint}"


NO_LINKS: Final = Links("")


def annotations(evaluation: Evaluation, severity: Severity, links: Links) -> Mapping[str, str]:
    """Return the annotations of an alert that burns now."""
    slo = evaluation.slo
    burning = next(found for found in evaluation.firing if found.rule.severity == severity)
    where = ", ".join(f"{name}={value}" for name, value in evaluation.group)
    return {
        "summary": f"{slo.name} burns its error budget {decimal(burning.long_burn)}x as fast as it may"
        + (f" ({where})" if where else ""),
        "description": f"{slo.description} {_evidence(evaluation, burning)}".strip(),
        "runbook_url": links.runbook(slo.runbook),
        "dashboard_url": links.dashboard(slo.name),
        "budget_remaining": percent(evaluation.budget_remaining),
        "time_to_exhaustion": time_to_exhaustion(evaluation, burning),
    }


def burn_in(evaluation: Evaluation, window: int) -> Ratio:
    """Return the burn rate measured in a window of so many milliseconds."""
    return evaluation.burn.get(clock.duration_text(window), NoData("not_evaluated"))


def time_to_exhaustion(evaluation: Evaluation, burning: Burning) -> str:
    """Say how long the budget lasts when it goes on burning as in the long window."""
    if isinstance(evaluation.budget_remaining, NoData):
        return f"unknown ({evaluation.budget_remaining.reason})"
    if evaluation.budget_remaining.value <= 0:
        return "exhausted"
    if burning.long_burn <= 0:
        return "never"
    return coarse(int(evaluation.budget_remaining.value * evaluation.slo.window / burning.long_burn))


def coarse(left: int) -> str:
    """Write a length of time in milliseconds as exactly as somebody in a hurry needs it."""
    unit = clock.HOUR if left >= clock.DAY else clock.MINUTE if left >= clock.HOUR else clock.SECOND
    return clock.duration_text(left // unit * unit)


def decimal(value: Fraction, places: int = 2) -> str:
    """Write an exact number for a person, rounded half to even."""
    scaled = round(value * 10**places)
    whole, rest = divmod(abs(scaled), 10**places)
    digits = f"{whole}.{rest:0{places}d}".rstrip("0").rstrip(".")
    return f"-{digits}" if scaled < 0 else digits


def _evidence(evaluation: Evaluation, burning: Burning) -> str:
    short, long = clock.duration_text(burning.rule.short), clock.duration_text(burning.rule.long)
    policy, factor = evaluation.slo.policy, decimal(burning.factor)
    rates = (
        f"Burn rate {decimal(burning.long_burn)} over {long} and {decimal(burning.short_burn)} over {short}; "
        f"both are above {factor}."
    )
    if policy is None or policy.confidence is None:
        return rates
    # How few they are is what a person asks first where there is little traffic.
    bad, total = decimal(Fraction(burning.bad)), decimal(Fraction(burning.total))
    chance = decimal((1 - policy.confidence) * 100, _ALL_PLACES)
    return (
        f"{rates} {bad} of {total} events in {long} were bad: "
        f"at burn {factor} the chance of that many is at most {chance}%."
    )


def percent(ratio: Ratio) -> str:
    """Write a ratio for a person, or why there is none."""
    if isinstance(ratio, Measured):
        return f"{decimal(ratio.value * 100)}%"
    return f"unknown ({ratio.reason})"
