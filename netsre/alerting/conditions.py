"""Readings become condition alerts: one per rule and group, and every decision names its reason.

An alert begins when one value of its group was read to be beyond the rule's value, without a break, for the
rule's `for`. It ends only after every value was read to be on the good side of the clearing value, without a
break, for the hold. Between the two nothing changes, and what was not read, or is no number, changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from netsre import clock, conventions
from netsre.alerting import describe_condition, transitions
from netsre.alerting.describe import NO_LINKS, Links
from netsre.alerting.describe_condition import Reading
from netsre.alerting.transitions import Reason, Transition
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert, AlertSource
from netsre.model.samples import Labels, Scrape, labels
from netsre.slo import exact, selectors

REMOVED_AFTER: Final = 5 * clock.MINUTE
"""For how long every reading must lack a group before its alert ends; a table may be gone for a moment."""
NODE_REMOVED_AFTER: Final = 1 * clock.HOUR
"""The same for a group of a node that cannot be read while others are: it may be down, and come back."""


class Opinion(Enum):
    """What a reading says of a condition."""

    TRUE = auto()
    """A value is beyond the rule's."""
    BETWEEN = auto()
    """None is, but one is still beyond the clearing value."""
    OVER = auto()
    NONE = auto()
    """Not read, or no number."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision hands to the next, by fingerprint of the alert; all of it begins anew after a break.

    Not kept over a restart, which is a break too: a condition that is true then waits for its `for` once
    more, and an alert whose group is gone stays for five minutes more.
    """

    pending: Mapping[str, Timestamp] = field(default_factory=lambda: MappingProxyType({}))
    """Since when a condition is true that did not hold for long enough yet."""
    absent: Mapping[str, Timestamp] = field(default_factory=lambda: MappingProxyType({}))
    """Since when the group of a firing alert is in no reading; its `clearing_since` says something else."""
    readings: Mapping[str, Reading] = field(default_factory=lambda: MappingProxyType({}))
    """The last value of each group."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Every alert that fires, began or ended, and what to hand to the next decision."""

    transitions: tuple[Transition, ...]
    memory: Memory


def decide(
    rules: Sequence[AlertRule],
    scrapes: Collection[Scrape],
    active: Mapping[str, Alert],
    memory: Memory,
    now: Timestamp,
    links: Links = NO_LINKS,
) -> Decision:
    """Judge every rule by the latest reading of each node, none of one that nobody could read this time.

    `active` holds the firing alerts of conditions by fingerprint.
    """
    wanted = {rule.name: rule for rule in rules}
    ours = {name: rule for name, alert in active.items() if (rule := _rule_of(alert, wanted)) is not None}
    removed = [
        transitions.end(alert, now, Reason.RULE_REMOVED) for name, alert in active.items() if name not in ours
    ]
    turn = _Turn(scrapes, memory, now, links)
    for rule in rules:
        turn.judge(rule, active)
    for name in ours:
        turn.miss(active[name])
    return Decision((*removed, *turn.found), turn.next)


def identify(rule: AlertRule, group: Labels) -> Labels:
    """Return the labels of an alert, which are its identity; one by service has the name of each."""
    named = dict(group)
    own = {"alertname": rule.name, "severity": rule.severity, "service": named.get("service") or rule.service}
    return labels(named | own)


def opinion(rule: AlertRule, identity: Labels, scrape: Scrape) -> Opinion:
    """Return what a reading says of one alert of a rule."""
    found = (said for group, said in _groups(rule, scrape).items() if identify(rule, group) == identity)
    return next((said.opinion(rule) for said in found), Opinion.NONE)


def _rule_of(alert: Alert, rules: Mapping[str, AlertRule]) -> AlertRule | None:
    """Return the rule that would give an alert its labels; None when no rule does so any more."""
    pairs = dict(alert.labels)
    rule = rules.get(pairs["alertname"])
    if rule is None:
        return None
    group = [(name, pairs.get(name, "")) for name in _group_by(rule)]
    return rule if identify(rule, tuple(group)) == alert.labels else None


def _group_by(rule: AlertRule) -> frozenset[str]:
    # Every alert says on which node it is.
    return frozenset({*rule.group_by, conventions.NODE})


@dataclass(slots=True)
class _Group:
    """What one scrape says of one group."""

    worst: Decimal | None = None
    whole: bool = True

    def add(self, value: Decimal, rule: AlertRule) -> None:
        if not exact.is_usable(value):
            self.whole = False
        elif self.worst is None or exact.COMPARE[rule.op](value, self.worst):
            self.worst = value

    def opinion(self, rule: AlertRule) -> Opinion:
        beyond = exact.COMPARE[rule.op]
        if self.worst is not None and beyond(self.worst, rule.value):
            return Opinion.TRUE
        if self.worst is None or not self.whole:
            return Opinion.NONE
        return Opinion.BETWEEN if beyond(self.worst, rule.clear_value) else Opinion.OVER


def _groups(rule: AlertRule, scrape: Scrape) -> dict[Labels, _Group]:
    groups: dict[Labels, _Group] = {}
    for series, value in scrape.values.items():
        if series.name != rule.selector.metric:
            continue
        pairs = dict(series.labels)
        if selectors.selects(rule.selector, pairs, scrape.node):
            group = selectors.group_of(pairs, _group_by(rule), scrape.node)
            groups.setdefault(group, _Group()).add(value, rule)
    return groups


class _Turn:
    """One reading of each node, judged rule by rule."""

    def __init__(self, scrapes: Collection[Scrape], before: Memory, now: Timestamp, links: Links) -> None:
        self._before, self._now, self._links = before, now, links
        self._scrapes = {scrape.node: scrape for scrape in scrapes}
        self._seen: set[str] = set()
        self._pending: dict[str, Timestamp] = {}
        self._absent: dict[str, Timestamp] = {}
        self._readings: dict[str, Reading] = {}
        self.found: list[Transition] = []

    @property
    def next(self) -> Memory:
        """Return what the next turn goes on from."""
        return Memory(self._pending, self._absent, self._readings)

    def judge(self, rule: AlertRule, active: Mapping[str, Alert]) -> None:
        """Decide on every group of a rule that was read."""
        for scrape in self._scrapes.values():
            for group, found in _groups(rule, scrape).items():
                self._judge(rule, group, found, scrape.at, active)

    def _judge(
        self, rule: AlertRule, group: Labels, found: _Group, at: Timestamp, active: Mapping[str, Alert]
    ) -> None:
        identity = identify(rule, group)
        name = alerts.fingerprint(identity)
        self._seen.add(name)
        if found.worst is not None:
            self._readings[name] = Reading(at, found.worst)
        said, known = found.opinion(rule), active.get(name)
        if known is not None:
            self.found.append(self._continue(rule, group, said, known))
        elif said is Opinion.TRUE:
            self._begin(rule, group, identity, name)

    def miss(self, known: Alert) -> None:
        """Decide on an alert whose group was not read."""
        name = known.fingerprint
        if name in self._seen:
            return
        if not self._scrapes:
            self.found.append(transitions.keep(known, self._now))
            return
        since = self._since(self._before.absent, name)
        read = dict(known.labels).get(conventions.NODE) in self._scrapes
        if self._now - since >= (REMOVED_AFTER if read else NODE_REMOVED_AFTER):
            self.found.append(transitions.end(known, self._now, Reason.GROUP_REMOVED))
            return
        self._absent[name] = since
        self.found.append(transitions.keep(known, self._now))

    def _begin(self, rule: AlertRule, group: Labels, identity: Labels, name: str) -> None:
        since = self._since(self._before.pending, name)
        if self._now - since < rule.hold:
            self._pending[name] = since
            return
        told = self._annotations(rule, group, name)
        began = transitions.begin(identity, told, self._now, Reason.CONDITION_STARTED, AlertSource.CONDITION)
        self.found.append(began)

    def _continue(self, rule: AlertRule, group: Labels, said: Opinion, known: Alert) -> Transition:
        match said:
            case Opinion.TRUE:
                told = self._annotations(rule, group, known.fingerprint)
                return transitions.go_on(known, told, self._now, Reason.STILL_TRUE)
            case Opinion.OVER:
                return transitions.clear(known, self._now, rule.clear_hold, Reason.CONDITION_ENDED)
            case Opinion.BETWEEN:
                return transitions.keep(known, self._now, Reason.BETWEEN)
            case Opinion.NONE:
                return transitions.keep(known, self._now)

    def _annotations(self, rule: AlertRule, group: Labels, name: str) -> Mapping[str, str]:
        reading, before = self._readings[name], self._before.readings.get(name)
        return describe_condition.annotations(rule, group, reading, before, self._links)

    def _since(self, marks: Mapping[str, Timestamp], name: str) -> Timestamp:
        # A clock that was set back makes nothing longer.
        return min(marks.get(name, self._now), self._now)
