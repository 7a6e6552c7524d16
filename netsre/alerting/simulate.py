"""What fires when: scrapes go through the engine and the decisions, as in the controller, in virtual time.

Every interval the scrapes since the last one are counted, everything is evaluated, and alerts are decided on.
Where nothing was read for longer than the series usually takes, nobody looked: nothing begins or ends.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.alerting import decide, describe
from netsre.alerting.onset import Onsets
from netsre.alerting.transitions import Reason, Transition
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertState
from netsre.model.levels import SLO, Burning, BurnRule, Evaluation, Measured, Ratio, Severity
from netsre.model.samples import Labels
from netsre.slo.engine import Engine
from netsre.slo.targets import Reading

COLUMNS: Final = 48
"""Into how many pieces of equal length a replay is cut, to be drawn."""

_PRUNE_EVERY: Final = clock.HOUR


@dataclass(frozen=True, slots=True)
class Pace:
    """When things happen; milliseconds."""

    start: Timestamp
    end: Timestamp
    """The last scrape: the first evaluation at or after it is the last."""
    interval: int
    hold: int
    """How long a burn must be measured to have stopped before its alert ends."""
    patience: int
    """After so long without any scrape nobody looks."""

    @property
    def steps(self) -> int:
        """Return how many evaluations there are."""
        return 1 - (self.start - self.end) // self.interval

    def column(self, at: Timestamp) -> int:
        """Return the piece of the replay that a time is in."""
        return min(COLUMNS - 1, (at - self.start) * COLUMNS // max(1, self.end - self.start))


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of an alert."""

    slo: SLO
    group: Labels
    severity: Severity
    burning: Burning
    """The rule that began it, with the burn rates of that moment."""
    began: Timestamp
    why_began: Reason
    burning_since: Timestamp | None
    """Since when errors were ahead of the rule's factor, at most its long window ago; see `onset`."""
    ended: Timestamp | None = None
    why_ended: Reason | None = None
    short_at_end: Ratio | None = None
    long_at_end: Ratio | None = None

    @property
    def time_to_detect(self) -> int | None:
        """Return milliseconds from the beginning of the burn to the alert."""
        return None if self.burning_since is None else self.began - self.burning_since


@dataclass(frozen=True, slots=True)
class Cell:
    """A rule in one piece of the replay."""

    level: Fraction
    """The highest burn over its factor, in whichever of its windows burned less."""
    fired: bool
    """Whether the rule held at any time."""


Strip = dict[int, Cell]
"""What is known of a rule by piece of the replay."""


@dataclass(slots=True)
class Result:
    """What a replay came to."""

    scrapes: int = 0
    evaluations: tuple[Evaluation, ...] = ()
    """Where everything stands at the end."""
    episodes: list[Episode] = field(default_factory=list)
    """By the time at which they began."""
    strips: dict[tuple[str, Labels, BurnRule], Strip] = field(default_factory=dict)
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often the engine said what about which node, series or SLO."""


class _Replay:
    """Virtual time, and everything that lives in it."""

    def __init__(self, slos: Iterable[SLO], pace: Pace) -> None:
        self._engine = Engine(slos)
        self._pace = pace
        self._onsets = Onsets()
        self._active: dict[str, Alert] = {}
        self._open: dict[str, int] = {}
        self._read_at = pace.start
        self._prune_at = Timestamp(pace.start + _PRUNE_EVERY)
        self.result = Result()

    def read(self, reading: Reading) -> None:
        scrape = reading.scrape
        seen = self._engine.observe(scrape, first=reading.first)
        self.result.scrapes += 1
        self.result.notes.update((note.reason, note.subject) for note in seen.notes)
        self._onsets.observe(self._engine.slos, seen.buckets, scrape.at)
        self._read_at = scrape.at

    def judge(self, now: Timestamp) -> None:
        evaluations = tuple(self._engine.evaluate(now))
        blind = now - self._read_at > self._pace.patience
        found = decide.decide(evaluations, self._active, now, self._pace.hold, blind=blind)
        self._active = {
            one.alert.fingerprint: one.alert for one in found if one.alert.state is AlertState.FIRING
        }
        self._follow(evaluations, found)
        for evaluation in evaluations:
            self._draw(evaluation, self._pace.column(now))
        self.result.evaluations = evaluations
        if now >= self._prune_at:
            self._onsets.prune(self._engine.prune(now)[clock.MINUTE])
            self._prune_at = Timestamp(now + _PRUNE_EVERY)

    def _follow(self, evaluations: tuple[Evaluation, ...], found: tuple[Transition, ...]) -> None:
        """Keep what was announced as an episode."""
        announced = {one.alert.fingerprint: one for one in found if one.announced}
        if not announced:
            return
        told: dict[str, Evaluation] = {}
        for evaluation in evaluations:
            for severity in decide.SEVERITIES:
                name = alerts.fingerprint(decide.identify(evaluation, severity))
                told[name] = evaluation
                if name in announced and announced[name].alert.state is AlertState.FIRING:
                    self._open[name] = len(self.result.episodes)
                    self.result.episodes.append(self._begun(evaluation, severity, announced[name]))
        for name, one in announced.items():
            if one.alert.state is AlertState.RESOLVED:
                self._end(self._open.pop(name), one, told.get(name))

    def _begun(self, evaluation: Evaluation, severity: Severity, how: Transition) -> Episode:
        burning = next(one for one in evaluation.firing if one.rule.severity == severity)
        since = self._onsets.since(evaluation.slo, evaluation.group, burning.rule, evaluation.at)
        return Episode(evaluation.slo, evaluation.group, severity, burning, evaluation.at, how.reason, since)

    def _end(self, number: int, how: Transition, evaluation: Evaluation | None) -> None:
        episode = self.result.episodes[number]
        rule = episode.burning.rule
        self._onsets.forget(episode.slo, episode.group, episode.severity)
        self.result.episodes[number] = replace(
            episode,
            ended=how.alert.resolved_at,
            why_ended=how.reason,
            short_at_end=describe.burn_in(evaluation, rule.short) if evaluation else None,
            long_at_end=describe.burn_in(evaluation, rule.long) if evaluation else None,
        )

    def _draw(self, evaluation: Evaluation, column: int) -> None:
        firing = {one.rule for one in evaluation.firing}
        for rule in evaluation.slo.policy.rules if evaluation.slo.policy else ():
            short, long = (describe.burn_in(evaluation, length) for length in (rule.short, rule.long))
            if not isinstance(short, Measured) or not isinstance(long, Measured):
                continue
            key = (evaluation.slo.name, evaluation.group, rule)
            strip, burn = self.result.strips.setdefault(key, {}), min(short.value, long.value)
            if not burn and column in strip:
                continue  # nearly always, and lower than anything
            level = burn / rule.factor(evaluation.slo.window)
            before = strip.get(column, Cell(level, fired=False))
            strip[column] = Cell(max(level, before.level), before.fired or rule in firing)


def replay(
    slos: Iterable[SLO],
    readings: Iterable[Reading],
    pace: Pace,
    tell: Callable[[], None] = lambda: None,
) -> Result:
    """Replay readings, given in the order of their time; `tell` hears of every evaluation."""
    course, rest = _Replay(slos, pace), iter(readings)
    waiting = next(rest, None)
    for now in _moments(pace):
        while waiting is not None and waiting.scrape.at <= now:
            course.read(waiting)
            waiting = next(rest, None)
        course.judge(now)
        tell()
    return course.result


def _moments(pace: Pace) -> Iterator[Timestamp]:
    return (Timestamp(pace.start + step * pace.interval) for step in range(pace.steps))
