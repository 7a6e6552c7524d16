"""Sums become budget, burn rates and firing rules.

The window of length `w` at time `now` is the minute of `now`, as far as it has come, and the whole minutes
before it, `w` in minutes altogether: it covers between `w - 1 min` and `w`. A total outage is therefore seen
with its first scrape, and never later than with windows to the millisecond.

Everything is compared exactly, before any rounding. A rule fires when the burn in its short and in its long
window is above its factor, and the long window has the policy's minimum of bad events.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import SLO, Burning, BurnRule, Evaluation, Measured, NoData, Ratio
from netsre.model.samples import Labels
from netsre.slo.history import History, Sums, minute_of

NO_TRAFFIC = "no_traffic"
NO_HISTORY = "no_history"
SOURCE_DOWN = "source_down"


@dataclass(frozen=True, slots=True)
class _Window:
    sums: Sums
    burn: Ratio


def evaluate(slo: SLO, group: Labels, history: History, now: Timestamp) -> Evaluation:
    """Return where one group of an SLO stands at one moment."""
    whole = _sums(slo, group, history, now, slo.window)
    # Minutes of the period in which a source was read, or none: that decides what silence means.
    ever = whole.measured > 0
    budget = 1 - slo.objective
    errors = _error_ratio(whole, ever=ever)
    windows = {
        length: _window(_sums(slo, group, history, now, length), budget, ever=ever)
        for length in (slo.policy.windows if slo.policy else ())
    }
    return Evaluation(
        slo=slo,
        group=group,
        at=now,
        bad=whole.bad,
        total=whole.total,
        sli=Measured(1 - errors.value) if isinstance(errors, Measured) else errors,
        budget_remaining=Measured(1 - errors.value / budget) if isinstance(errors, Measured) else errors,
        coverage=Fraction(whole.measured, slo.window // clock.MINUTE),
        burn={clock.duration_text(length): window.burn for length, window in windows.items()},
        firing=_firing(slo, windows),
    )


def _sums(slo: SLO, group: Labels, history: History, now: Timestamp, length: int) -> Sums:
    end = minute_of(now) + clock.MINUTE
    return history.sums(slo.name, group, Timestamp(end - length), Timestamp(end))


def _window(sums: Sums, budget: Fraction, *, ever: bool) -> _Window:
    errors = _error_ratio(sums, ever=ever)
    burn = Measured(errors.value / budget) if isinstance(errors, Measured) else errors
    return _Window(sums, burn)


def _error_ratio(sums: Sums, *, ever: bool) -> Ratio:
    if sums.total > 0:
        # One reduction instead of three: most of the time of an evaluation is spent in these lines.
        bad, bad_unit = sums.bad.as_integer_ratio()
        total, total_unit = sums.total.as_integer_ratio()
        return Measured(Fraction(bad * total_unit, bad_unit * total))
    if sums.measured:
        return NoData(NO_TRAFFIC)
    return NoData(SOURCE_DOWN if ever else NO_HISTORY)


def _firing(slo: SLO, windows: Mapping[int, _Window]) -> tuple[Burning, ...]:
    if slo.policy is None:
        return ()
    found = [_burning(slo, rule, slo.policy.minimum_bad_events, windows) for rule in slo.policy.rules]
    burning = [one for one in found if one is not None]
    return tuple(sorted(burning, key=lambda one: (one.rule.severity != "page", -one.factor)))


def _burning(
    slo: SLO, rule: BurnRule, minimum_bad_events: int, windows: Mapping[int, _Window]
) -> Burning | None:
    short, long = windows[rule.short].burn, windows[rule.long].burn
    if not isinstance(short, Measured) or not isinstance(long, Measured):
        return None
    if windows[rule.long].sums.bad < minimum_bad_events:
        return None
    factor = rule.factor(slo.window)
    if short.value <= factor or long.value <= factor:
        return None
    return Burning(rule, short.value, long.value, factor)
