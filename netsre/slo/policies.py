"""Burn policies as people write them, and what they become for an SLO of one period."""

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from netsre import clock
from netsre.model import specs, values
from netsre.model.levels import BurnPolicy, BurnRule, Origin, Severity
from netsre.slo import codes

KIND = "BurnPolicy"


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One burn rule: either the share of the budget it may spend, or a burn rate; never both."""

    severity: Severity
    short: int
    """Milliseconds, whole minutes."""
    long: int
    """Milliseconds, whole minutes."""
    budget_share: Fraction | None
    burn_rate: Fraction | None

    def resolved(self, period: int) -> BurnRule:
        """Return the rule for an SLO of this period (milliseconds), its share exact in either case."""
        share = self.budget_share
        if share is None:
            share = (self.burn_rate or Fraction(0)) * self.long / period
        return BurnRule(self.severity, self.short, self.long, share)

    def __str__(self) -> str:
        """Return `page 5m/1h`."""
        return f"{self.severity} {clock.duration_text(self.short)}/{clock.duration_text(self.long)}"


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A burn policy, as read from its file."""

    name: str
    source: str
    """Where its numbers come from."""
    minimum_bad_events: int
    confidence: Fraction | None
    rules: tuple[RuleSpec, ...]
    origin: Origin

    def resolved(self, period: int) -> BurnPolicy:
        """Return the policy for an SLO of this period (milliseconds)."""
        rules = tuple(rule.resolved(period) for rule in self.rules)
        return BurnPolicy(self.name, rules, self.minimum_bad_events, self.confidence)


def read(document: specs.Document) -> PolicySpec | None:
    """Read one document of kind `BurnPolicy`; None when anything in it is wrong."""
    findings = document.spec.findings
    before = len(findings)
    spec = document.spec
    source = spec.text("source", required=False) or ""
    minimum = spec.integer("minimumBadEvents")
    if minimum is not None and minimum < 1:
        spec.wrong("minimumBadEvents", codes.BURN_RULE, "is 0; write 1 or more")
    confidence = _confidence(spec, minimum)
    items = spec.sequence("rules")
    if items is not None and not items.nodes:
        spec.wrong("rules", codes.BURN_RULE, "is empty; write a rule, or use policy: none in the SLO")
    rules = tuple(_rule(item) for item in items.mappings()) if items else ()
    spec.end()
    document.metadata.end()
    if len(findings) > before or minimum is None or document.name == "":
        return None
    good = tuple(rule for rule in rules if rule is not None)
    return PolicySpec(document.name, source, minimum, confidence, good, document.origin)


def _confidence(spec: values.Mapping, minimum: int | None) -> Fraction | None:
    confidence = spec.percent("confidence", required=False)
    if confidence is None:
        return None
    if not Fraction(1, 2) < confidence < 1:
        message = "is not above 50% and below 100%; write one such as 99%"
        spec.wrong("confidence", codes.CONFIDENCE, message)
    if minimum == 1:
        # One event says nothing about a ratio that a second one could bear out.
        message = "needs a second bad event to be sure of anything; write minimumBadEvents: 2 or more"
        spec.wrong("confidence", codes.CONFIDENCE, message)
    return confidence


def _rule(item: values.Mapping) -> RuleSpec | None:
    severity = item.choice("severity", "page", "ticket")
    short, long = _minutes(item, "short"), _minutes(item, "long")
    share = rate = None
    amount = item.one_of("budget", "factor")
    if amount == "budget":
        share = item.percent("budget")
        if share is not None and not 0 < share <= 1:
            item.wrong("budget", codes.BURN_RULE, "is not above 0% and at most 100%; write one such as 2%")
    elif amount == "factor":
        rate = item.exact("factor")
        if rate is not None and rate < 1:
            message = "is below 1: it would fire while the objective is met; write 1 or more"
            item.wrong("factor", codes.FACTOR_BELOW_ONE, message)
    item.end()
    if short is not None and long is not None and short >= long:
        message = f"is not shorter than long {clock.duration_text(long)}; write a twelfth of it"
        item.wrong("short", codes.SHORT_NOT_SHORTER, message)
    if severity is None or short is None or long is None or (share is None and rate is None):
        return None
    return RuleSpec(cast("Severity", severity), short, long, share, rate)


def _minutes(item: values.Mapping, key: str) -> int | None:
    length = item.duration(key)
    if length is not None and length % clock.MINUTE:
        item.wrong(key, codes.BURN_RULE, "is not whole minutes; history is kept by the minute")
        return None
    return length
