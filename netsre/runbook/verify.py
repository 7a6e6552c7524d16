"""Did it help? The service level answers, over readings made after the last effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from netsre import conventions
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.levels import SLO
from netsre.model.runbooks import JournalKind, Verification
from netsre.model.samples import Labels, Scrape
from netsre.runbook import queries
from netsre.runbook.journal import Line
from netsre.slo import exact, increments, indicators
from netsre.slo.increments import Cursor, Reason
from netsre.slo.indicators import Measure

NO_READING: Final = "no_reading"
"""The word of a sample that nothing was read for, or nothing to compare with."""


class Outcome(StrEnum):
    """What one sample says; only `pass` is success."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the service level."""

    verdict: Outcome
    bad: Decimal
    total: Decimal
    reason: str
    """A word: `met`, `missed`, `no_reading`, `no_events`, `slo_unknown`, `group_unknown` or an anomaly's."""
    read_at: Timestamp
    """When the newest reading was made that it looked at; 0 without any."""

    def line(self) -> Line:
        """Return the line for the journal."""
        data: Document = {
            "verdict": self.verdict.value,
            "bad": f"{self.bad:f}",
            "total": f"{self.total:f}",
            "reason": self.reason,
            "read_at": self.read_at,
        }
        return Line(JournalKind.SAMPLE, -1, "", data)


def sample(
    verification: Verification,
    slo: SLO | None,
    scrapes: Sequence[Scrape],
    labels: Labels,
    since: Timestamp,
) -> Sample:
    """Judge the SLO, or the query, for the group of an alert's labels, by the readings made after `since`.

    `scrapes` are in the order in which they were read; `slo` is None when there is none of that name.
    """
    pairs, query = dict(labels), verification.query
    node = pairs.get(conventions.NODE)
    fresh = [scrape for scrape in scrapes if scrape.at > since and scrape.node == node]
    read_at = fresh[-1].at if fresh else Timestamp(0)
    level = slo if query is None else queries.level(query)
    if level is None:
        return _nothing(Outcome.ERROR, "slo_unknown", read_at)
    group = tuple((name, pairs.get(name, "")) for name in sorted(level.group_by))
    if not all(value for _, value in group):
        return _nothing(Outcome.ERROR, "group_unknown", read_at)
    counted = _count(level, group, fresh, verification.window)
    rose = query is not None and queries.rises(query)
    if query is not None and not queries.shown(query, group, fresh):
        counted = None
    if counted is None or (not counted.total and not rose):
        verdict = Outcome.FAIL if verification.no_data == "fail" else Outcome.INCONCLUSIVE
        return _nothing(verdict, NO_READING if counted is None else "no_events", read_at)
    if counted.anomalies:
        return Sample(Outcome.ERROR, counted.bad, counted.total, min(counted.anomalies).value, read_at)
    if query is not None and rose:
        met = exact.COMPARE[query.op](counted.total, query.value)
    else:
        met = Fraction(counted.total - counted.bad) / Fraction(counted.total) >= level.objective
    verdict = Outcome.PASS if met else Outcome.FAIL
    bad = exact.ZERO if rose else counted.bad
    return Sample(verdict, bad, counted.total, "met" if met else "missed", read_at)


def _nothing(verdict: Outcome, reason: str, read_at: Timestamp) -> Sample:
    return Sample(verdict, exact.ZERO, exact.ZERO, reason, read_at)


def _count(slo: SLO, group: Labels, scrapes: Sequence[Scrape], window: int) -> Measure | None:
    """Return the events within the window before the newest reading; None where that one has none to say."""
    if not scrapes:
        return None
    start = scrapes[-1].at - window
    followed = indicators.followed((slo,))
    cursor: Cursor | None = None
    measured: Measure | None = None
    bad = total = exact.ZERO
    anomalies: frozenset[indicators.Anomaly] = frozenset()
    for scrape in scrapes:
        counted, cursor = increments.advance(cursor, scrape, followed)
        if scrape.at <= start or counted.reason is Reason.DUPLICATE:
            continue  # what it counted lies before the window; the next one counts from it
        measured = indicators.measure(slo, scrape, counted).get(group)
        if measured is not None:
            bad, total = exact.add(bad, measured.bad), exact.add(total, measured.total)
            anomalies |= measured.anomalies
    # A group that the newest reading does not show may be gone: what was read of it before proves nothing.
    return None if measured is None else Measure(bad, total, anomalies)
