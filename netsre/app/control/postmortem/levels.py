"""What an incident cost each service level, exactly, and since when it did."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import clock, conventions
from netsre.app.control.postmortem.period import Period
from netsre.app.control.postmortem.shapes import Level, Point
from netsre.app.numbers import number
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.levels import Evaluation
from netsre.slo.buckets import Bucket

MOST: Final = 12
"""Service levels that are shown."""
_MOST_ASKED: Final = 100
ALERT, VERIFICATION, BAD_EVENTS = "alert", "verification", "bad events"
_ORDER: Final = (ALERT, VERIFICATION, BAD_EVENTS)


@dataclass(frozen=True, slots=True)
class Asked:
    """A group of a service level that an incident may have cost something, and why."""

    now: Evaluation
    why: str


def concerned(
    evaluations: Iterable[Evaluation], alerts: Sequence[Alert], verified_by: frozenset[str], node: str
) -> list[Asked]:
    """Return what alerts are about, what runs were verified by, and all else of the node; in this order."""
    about = [dict(alert.labels) for alert in alerts]
    found: list[Asked] = []
    for one in evaluations:
        group = dict(one.group)
        ours = [labels for labels in about if group.items() <= labels.items()]
        if any(labels.get("slo") == one.slo.name for labels in ours):
            found.append(Asked(one, ALERT))
        elif group.get(conventions.NODE) == node:
            # Of a level with a group for each namespace, only that of the alert was looked at.
            verified = one.slo.name in verified_by and bool(ours)
            found.append(Asked(one, VERIFICATION if verified else BAD_EVENTS))
    found.sort(key=lambda asked: (_ORDER.index(asked.why), asked.now.slo.name, asked.now.group))
    return found[:_MOST_ASKED]


def build(asked: Asked, buckets: Sequence[Bucket], period: Period, now: Timestamp) -> Level:
    """Return what an incident cost one of them."""
    slo, at = asked.now.slo, {bucket.begin: bucket for bucket in buckets}
    inside = [bucket for bucket in buckets if period.counts(bucket.begin)]
    bad = sum((bucket.bad for bucket in inside), Decimal(0))
    total = sum((bucket.total for bucket in inside), Decimal(0))
    allowed = (1 - slo.objective) * Fraction(asked.now.total)
    minutes = (min(period.end, now + 1) - period.begin + clock.MINUTE - 1) // clock.MINUTE
    return Level(
        slo=slo.name,
        group=dict(asked.now.group),
        why=asked.why,
        objective=number(slo.objective),
        window=slo.window_text,
        bad=number(bad),
        total=number(total),
        allowed=number(allowed) if allowed else None,
        spent=number(Fraction(bad) / allowed) if allowed else None,
        reason=None if allowed else "no event in the whole window, so that there is no budget",
        minutes=minutes,
        minutes_measured=min(sum(bucket.measured for bucket in inside), minutes),
        points=[_point(begin, at.get(begin)) for begin in period.slots(now)],
    )


def shown(levels: Iterable[Level]) -> list[Level]:
    """Return those that were asked for by name, or lost something; the costly ones first of each kind."""
    kept = [level for level in levels if level.why != BAD_EVENTS or level.bad]
    return sorted(kept, key=lambda level: (_ORDER.index(level.why), -(level.spent or 0), level.slo))


def bad_since(level: Level, detected: Timestamp) -> Timestamp | None:
    """Return the begin of the slots in a row, up to the first alert, that had more bad events than allowed.

    None where there is none such, and where the slot before them was not measured: it may have been bad too.
    """
    before = [point for point in level.points if clock.parse_rfc3339(point.at) <= detected]
    bad = list(_while_bad(reversed(before), 1 - Fraction(level.objective)))
    earlier = [point for point in before if bad and point.at < bad[-1].at]
    return clock.parse_rfc3339(bad[-1].at) if earlier and earlier[-1].measured else None


def _while_bad(points: Iterable[Point], allowed: Fraction) -> Iterator[Point]:
    for number_of, point in enumerate(points):
        over = point.total > 0 and Fraction(point.bad) / Fraction(point.total) > allowed
        # The slot of the alert itself may have just begun.
        if not over and number_of == 0:
            continue
        if not over:
            return
        yield point


def _point(begin: Timestamp, bucket: Bucket | None) -> Point:
    at = clock.rfc3339(begin)
    if bucket is None:
        return Point(at=at, bad=0, total=0, measured=False)
    return Point(at=at, bad=number(bucket.bad), total=number(bucket.total), measured=bucket.measured > 0)
