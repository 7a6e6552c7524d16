"""Since when a burn has been going on, told from single readings and not from windows.

A window is full of the past, so that it says when a rule begins to hold and not when things went wrong. For
each rule the errors that are ahead of its factor are summed, reading by reading, and never below nothing
(Page's cumulative sum): what began when that sum last left zero is what goes on now. Errors that the factor
allows, and an idle source, neither begin nor end it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import SLO, BurnRule, Severity
from netsre.model.samples import Labels
from netsre.slo.buckets import Bucket

_Events = tuple[Fraction, Fraction]
_NONE: Final = (Fraction(0), Fraction(0))


@dataclass(slots=True)
class _Sum:
    ahead: Fraction = Fraction(0)
    since: Timestamp | None = None


@dataclass(slots=True)
class _Group:
    """Minutes as they were told last, and when: what changes is what happened since."""

    at: Timestamp
    minutes: dict[Timestamp, _Events] = field(default_factory=dict)
    sums: dict[BurnRule, _Sum] = field(default_factory=dict)


class Onsets:
    """Sums of every group and rule."""

    def __init__(self) -> None:
        """Know nothing."""
        self._groups: dict[tuple[str, Labels], _Group] = {}

    def observe(self, slos: Iterable[SLO], buckets: Iterable[Bucket], at: Timestamp) -> None:
        """Add what a scrape at this time changed."""
        events: dict[tuple[str, Labels], _Events] = {}
        by_name = {slo.name: slo for slo in slos}
        for bucket in (one for one in buckets if one.step == clock.MINUTE and one.slo in by_name):
            key = (bucket.slo, bucket.group)
            group = self._groups.setdefault(key, _Group(at))
            told, now = (
                group.minutes.get(bucket.begin, _NONE),
                (Fraction(bucket.bad), Fraction(bucket.total)),
            )
            bad, total = events.get(key, _NONE)
            events[key] = bad + now[0] - told[0], total + now[1] - told[1]
            group.minutes[bucket.begin] = now
        for key, (bad, total) in events.items():
            _add(self._groups[key], by_name[key[0]], bad, total)
            self._groups[key].at = at

    def since(self, slo: SLO, group: Labels, rule: BurnRule, now: Timestamp) -> Timestamp | None:
        """Return the last reading before errors went ahead; None when they are not.

        What is older than the rule's long window had no part in it.
        """
        known = self._groups.get((slo.name, group))
        found = known.sums.get(rule) if known else None
        if found is None or found.since is None:
            return None
        return max(found.since, Timestamp(now - rule.long))

    def forget(self, slo: SLO, group: Labels, severity: Severity) -> None:
        """Begin anew for the rules of an alert that ended: what burns later is another burn."""
        known = self._groups.get((slo.name, group))
        if known is not None:
            known.sums = {rule: found for rule, found in known.sums.items() if rule.severity != severity}

    def prune(self, before: Timestamp) -> None:
        """Forget minutes that begin before a time."""
        for group in self._groups.values():
            group.minutes = {minute: events for minute, events in group.minutes.items() if minute >= before}


def _add(group: _Group, slo: SLO, bad: Fraction, total: Fraction) -> None:
    if not bad and not any(found.ahead for found in group.sums.values()):
        return  # nearly always
    for rule in slo.policy.rules if slo.policy else ():
        found = group.sums.setdefault(rule, _Sum())
        found.ahead = max(
            Fraction(0), found.ahead + bad - rule.factor(slo.window) * (1 - slo.objective) * total
        )
        if not found.ahead:
            found.since = None
        elif found.since is None:
            found.since = group.at
