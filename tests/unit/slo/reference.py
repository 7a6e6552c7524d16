"""The arithmetic of service levels, written a second time: over raw samples, in fractions, event by event.

Slow and obvious on purpose, and without anything of `netsre.slo`: where the engine and this disagree, one of
them is wrong. What it says, in words:

1. A counter adds what it grew since the last scrape in which it was seen. One that was never seen adds all it
   has, one that fell has begun anew and adds all it has. The first scrape of a source adds nothing.
2. A source that says it started later than before adds all it has, of every counter.
3. A scrape of the time of the last one is the same scrape.
4. Events between two scrapes at most two minutes apart belong to the minute of the later one. Over a longer
   gap, event `k` of `n` happened at `k/n` of it; on the border of two minutes it belongs to the earlier one.
5. A reading of a gauge is one event, at the time at which it was read.
6. A window is the present minute and the whole ones before it. One of more than 6 h is made of pieces of five
   minutes, one of more than 3 d of hours. A period of the calendar is every minute of it until now.
7. With a confidence, so many bad events in the long window, or more, must have a chance of at most what it
   leaves, were each event bad with the probability of the rule's factor. Of bad events the whole ones count,
   and a part of a good one counts as one.
"""

import datetime
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from netsre.model.levels import (
    SLO,
    BurnRule,
    LatencyIndicator,
    PromqlIndicator,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)
from netsre.model.samples import Scrape, Series

MINUTE = 60_000
HOUR = 60 * MINUTE
Values = dict[Series, Fraction]


@dataclass(frozen=True)
class Event:
    """Some of an event, mostly a whole one."""

    minute: int
    bad: bool
    amount: Fraction


@dataclass
class Ledger:
    """Everything that happened, and the minutes in which somebody looked."""

    events: list[Event] = field(default_factory=list)
    read: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Stand:
    """Where a service level stands; a number, or the reason why there is none."""

    bad: Fraction
    total: Fraction
    sli: Fraction | str
    budget_remaining: Fraction | str
    coverage: Fraction
    burn: dict[int, Fraction | str]
    """By window, in milliseconds."""
    firing: list[BurnRule]


def ledger(slo: SLO, scrapes: Iterable[Scrape]) -> Ledger:
    """Count the scrapes of one source, in the order in which they were read."""
    found = Ledger()
    last: Scrape | None = None
    seen: Values = {}
    for scrape in scrapes:
        if last is not None and scrape.at == last.at:
            continue
        now = {series: Fraction(value) for series, value in scrape.values.items()}
        restarted = last is not None and scrape.started_at - last.started_at > 500
        if restarted:
            seen = {}
        since = scrape.at
        if last is not None and not isinstance(slo.indicator, ThresholdIndicator):
            since = min(max(last.at, scrape.started_at), scrape.at) if restarted else last.at
        counted = events_of(slo, grown(seen, now) if last is not None else {}, now)
        if counted is not None:
            bad, total = counted
            found.read.add(minute_of(scrape.at))
            found.events += spread(bad, since, scrape.at, bad=True)
            found.events += spread(total - bad, since, scrape.at, bad=False)
        last, seen = scrape, {**seen, **now}
    return found


def grown(before: Values, now: Values) -> Values:
    """Return what every counter added."""
    return {
        series: value - before[series] if series in before and value >= before[series] else value
        for series, value in now.items()
    }


def events_of(slo: SLO, grew: Values, now: Values) -> tuple[Fraction, Fraction] | None:
    """Return bad events and all events of one scrape; None when it says nothing about them."""
    match slo.indicator:
        case RatioIndicator(bad, total):
            return (
                sum((n for series, n in grew.items() if selected(bad, series)), Fraction(0)),
                sum((n for series, n in grew.items() if selected(total, series)), Fraction(0)),
            )
        case LatencyIndicator(selector, below):
            name, le = selector.metric, str(below)
            quick = sum((n for s, n in grew.items() if s.name == f"{name}_bucket" and ("le", le) in s.labels))
            every = sum((n for s, n in grew.items() if s.name == f"{name}_count"))
            # More that were quick than there were: none was slow, and of none nothing is known.
            known = every or not quick
            return (max(Fraction(every) - Fraction(quick), Fraction(0)), Fraction(every)) if known else None
        case ThresholdIndicator(selector, _, limit):
            readings = [n for series, n in now.items() if series.name == selector.metric]
            # The tests ask for "<" only.
            return Fraction(sum(1 for n in readings if not n < Fraction(limit))), Fraction(len(readings))
        case PromqlIndicator():
            return None  # what a scrape shows says nothing about it


def selected(selector: Selector, series: Series) -> bool:
    """Tell whether a series is meant; a matcher names one value, or some between bars."""
    labels = dict(series.labels)
    return series.name == selector.metric and all(
        labels.get(matcher.label, "") in matcher.value.split("|") for matcher in selector.matchers
    )


def spread(amount: Fraction, since: int, until: int, *, bad: bool) -> list[Event]:
    """Return the events of one scrape, one by one."""
    if until - since <= 2 * MINUTE:
        return [Event(minute_of(until), bad, amount)]
    whole = int(amount)
    moments = [since + Fraction(number * (until - since), whole) for number in range(1, whole + 1)]
    events = [Event(before(moment), bad, Fraction(1)) for moment in moments]
    return [*events, Event(minute_of(until), bad, amount - whole)]


def minute_of(at: int) -> int:
    """Return which minute a time is in."""
    return at // MINUTE


def before(at: Fraction) -> int:
    """Return which minute a time ends or is in."""
    minute = int(at / MINUTE)
    return minute - 1 if at == minute * MINUTE else minute


def stand(slo: SLO, sources: Sequence[Ledger], now: int) -> Stand:
    """Return where a service level stands that is made of these sources."""
    bad, total, read = sums(sources, period_of(slo, now))
    budget = 1 - slo.objective
    silent = "source_down" if read else "no_history"
    windows = slo.policy.windows if slo.policy else ()
    burn = {window: divided(*sums(sources, minutes_of(now, window)), silent, budget) for window in windows}
    errors = divided(bad, total, read, silent, Fraction(1))
    return Stand(
        bad,
        total,
        errors if isinstance(errors, str) else 1 - errors,
        errors if isinstance(errors, str) else 1 - errors / budget,
        Fraction(read, len(period_of(slo, now))),
        burn,
        [rule for rule in (slo.policy.rules if slo.policy else ()) if holds(slo, rule, burn, sources, now)],
    )


def holds(
    slo: SLO, rule: BurnRule, burn: dict[int, Fraction | str], sources: Sequence[Ledger], now: int
) -> bool:
    """Tell whether a rule fires: both windows above its factor, and in the long one enough bad events."""
    short, long, factor = burn[rule.short], burn[rule.long], rule.budget_share * slo.window / rule.long
    enough = (
        slo.policy is not None
        and sums(sources, minutes_of(now, rule.long))[0] >= slo.policy.minimum_bad_events
    )
    above = not isinstance(short, str) and not isinstance(long, str) and short > factor and long > factor
    sure = slo.policy.confidence if slo.policy else None
    if not above or not enough or sure is None:
        return above and enough
    bad, total, _ = sums(sources, minutes_of(now, rule.long))
    return is_unlikely(math.floor(bad), math.ceil(total - bad), factor * (1 - slo.objective), sure)


def chance(bad: int, good: int, ratio: Fraction) -> Fraction:
    """Return the chance of so many bad events or more, of as many as there are, each bad at this ratio."""
    return Fraction(*ways(bad, good, ratio))


def is_unlikely(bad: int, good: int, ratio: Fraction, confidence: Fraction) -> bool:
    """Tell whether that chance is at most what the confidence leaves."""
    above, below = ways(bad, good, ratio)
    return above * confidence.denominator <= (confidence.denominator - confidence.numerator) * below


def ways(bad: int, good: int, ratio: Fraction) -> tuple[int, int]:
    """Return that chance as a fraction that is not reduced."""
    events, likely, unit = bad + good, ratio.numerator, ratio.denominator
    fewer = (
        math.comb(events, count) * likely**count * (unit - likely) ** (events - count) for count in range(bad)
    )
    return unit**events - sum(fewer), unit**events


def sums(sources: Sequence[Ledger], minutes: range) -> tuple[Fraction, Fraction, int]:
    """Return bad events, all events, and how many minutes were read, in some minutes."""
    inside = [event for source in sources for event in source.events if event.minute in minutes]
    read = {minute for source in sources for minute in source.read if minute in minutes}
    bad = sum((event.amount for event in inside if event.bad), Fraction(0))
    return bad, sum((event.amount for event in inside), Fraction(0)), len(read)


def period_of(slo: SLO, now: int) -> range:
    """Return the minutes that a budget is for, as far as they have come."""
    if slo.calendar is None:
        return minutes_of(now, slo.window)
    # The tests ask for days only: as far back as people there wrote the same date.
    first, zone = minute_of(now), slo.calendar.zone
    today = date_of(first, zone)
    while date_of(first - 1, zone) == today:
        first -= 1
    return range(first, minute_of(now) + 1)


def date_of(minute: int, zone: datetime.tzinfo | None) -> datetime.date:
    """Return which date a minute has somewhere."""
    return datetime.datetime.fromtimestamp(minute * 60, zone).date()


def minutes_of(now: int, window: int) -> range:
    """Return the minutes of a window, as far as they have come."""
    step = MINUTE if window <= 6 * HOUR else 5 * MINUTE if window <= 72 * HOUR else HOUR
    slots = -(-window // step)
    first = (now // step - slots + 1) * step
    return range(minute_of(first), minute_of(now) + 1)


def divided(bad: Fraction, total: Fraction, read: int, silent: str, unit: Fraction) -> Fraction | str:
    """Return the share of bad events in this unit, or why there is none."""
    if total:
        return bad / total / unit
    return "no_traffic" if read else silent
