"""What stands under `limits` of a runbook: how often and how widely it may act, and when it is stopped."""

from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.model import values
from netsre.model.runbooks import Limits
from netsre.runbook import codes

DEFAULT_LIMITS: Final = Limits(cooldown=15 * clock.MINUTE, per_hour=3)
MOST_FAILURES: Final = 20
"""After which a circuit may open at the latest."""


def read(spec: values.Mapping) -> Limits | None:
    """Return the limits of a runbook; those that are left out have safe values."""
    limits = spec.mapping("limits", required=False)
    if limits is None:
        return DEFAULT_LIMITS
    usual = DEFAULT_LIMITS
    cooldown = limits.duration("cooldown", required=False)
    per_hour = _count(limits, "perHour")
    max_targets = _count(limits, "maxTargets")
    min_healthy = limits.percent("minHealthy", required=False)
    per_day = _count(limits, "perDay")
    target_per_hour, target_per_day = _per_target(limits)
    failures, retry = _breaker(limits)
    limits.end()
    return Limits(
        usual.cooldown if cooldown is None else cooldown,
        usual.per_hour if per_hour is None else per_hour,
        usual.max_targets if max_targets is None else max_targets,
        usual.min_healthy if min_healthy is None else _whole_percent(limits, min_healthy),
        per_day,
        target_per_hour,
        target_per_day,
        usual.breaker_failures if failures is None else failures,
        retry,
    )


def _per_target(limits: values.Mapping) -> tuple[int | None, int | None]:
    part = limits.mapping("perTarget", required=False)
    if part is None:
        return None, None
    found = _count(part, "perHour"), _count(part, "perDay")
    part.end()
    return found


def _breaker(limits: values.Mapping) -> tuple[int | None, int | None]:
    part = limits.mapping("breaker", required=False)
    if part is None:
        return None, None
    failures, retry = part.integer("failures", required=False), part.duration("retryAfter", required=False)
    part.end()
    if failures is not None and not 1 <= failures <= MOST_FAILURES:
        part.wrong("failures", codes.LIMIT, f"{failures} is outside 1 to {MOST_FAILURES}; 3 is customary")
    return failures, retry


def _count(part: values.Mapping, key: str) -> int | None:
    number = part.integer(key, required=False)
    if number == 0:
        part.wrong(key, codes.LIMIT, "0 would refuse every run; write at least 1")
    return number


def _whole_percent(limits: values.Mapping, share: Fraction) -> int:
    percent = share * 100
    if percent.denominator != 1 or not 0 <= percent <= 100:
        text = limits.text("minHealthy")
        limits.wrong("minHealthy", codes.LIMIT, f"{text} is no whole share of 0% to 100%; write 60%")
    return int(percent)
