"""Sums become budget, burn rates and firing rules.

A rule fires when the burn in its short and in its long window is above its factor, and the long window has
the policy's minimum of bad events; where the policy has a confidence, so many must be no chance either.
Everything is compared exactly, before any rounding: an evaluation works with fractions. That none of
thousands of levels is near its factor is seen in one sweep over their sums; those that may be are then worked
out one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import (
    SLO,
    Burning,
    BurnRule,
    Calendar,
    Evaluation,
    Measured,
    NoData,
    PromqlIndicator,
    Ratio,
)
from netsre.model.samples import Labels
from netsre.slo import binomial, exact, indicators
from netsre.slo.grid import Columns, Integers
from netsre.slo.moments import Seen
from netsre.slo.track import Sums

NO_TRAFFIC = "no_traffic"
NO_HISTORY = "no_history"
SOURCE_DOWN = "source_down"
NEEDS_PROMETHEUS = "needs_prometheus"
NEEDS_DATAPATH = "needs_datapath"

_SLACK: Final = 1 - 1e-9
"""A sweep in floats may err by less than this: what is so near its factor is worked out exactly."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one window of a level holds."""

    sums: Sums
    minutes: int
    """How many minutes it has."""


Span = int | Calendar
"""A window: a length in milliseconds that ends now, or the present period of a calendar."""


def evaluate(
    slo: SLO,
    group: Labels,
    window: Callable[[Span], Window],
    now: Timestamp,
    seen: Seen = (None, None),
    *,
    prometheus: bool = False,
) -> Evaluation:
    """Return where one group of an SLO stands at one moment; `window` returns what a span holds.

    `prometheus` says whether there is one that is asked what only it can answer.
    """
    whole = window(slo.calendar or slo.window)
    # Minutes of the period in which a source was read, or none: that decides what silence means.
    silence = NoData(SOURCE_DOWN) if whole.sums.measured else unread(slo, prometheus=prometheus)
    budget = 1 - slo.objective
    errors = _error_ratio(whole.sums, silence)
    sums = {length: window(length).sums for length in (slo.policy.windows if slo.policy else ())}
    burn = {length: _burn(held, budget, silence) for length, held in sums.items()}
    return Evaluation(
        slo=slo,
        group=group,
        at=now,
        bad=whole.sums.bad,
        total=whole.sums.total,
        sli=Measured(1 - errors.value) if isinstance(errors, Measured) else errors,
        budget_remaining=Measured(1 - errors.value / budget) if isinstance(errors, Measured) else errors,
        coverage=_coverage(slo, whole, now, seen[0]),
        burn={clock.duration_text(length): rate for length, rate in burn.items()},
        firing=_firing(slo, sums, burn),
        read_at=seen[0],
        event_at=seen[1],
    )


def unread(slo: SLO, *, prometheus: bool) -> NoData:
    """Return why an SLO was never measured; `prometheus` says whether one is asked."""
    if indicators.needs_datapath(slo):
        return NoData(NEEDS_DATAPATH)
    answerable = prometheus or not isinstance(slo.indicator, PromqlIndicator)
    return NoData(NO_HISTORY if answerable else NEEDS_PROMETHEUS)


def _coverage(slo: SLO, whole: Window, now: Timestamp, read_at: Timestamp | None) -> Fraction:
    # A slice is read once, and stands for all of its minutes.
    each = 1 if slo.slices is None else slo.slices.length // clock.MINUTE
    minutes = whole.minutes
    if isinstance(slo.indicator, PromqlIndicator):
        # The present piece is not over, and the one before it may not have been asked for yet.
        piece = slo.indicator.every if slo.slices is None else slo.slices.length
        over = now // piece * piece
        until = (
            over - piece if read_at is None else min(max(read_at + each * clock.MINUTE, over - piece), over)
        )
        minutes = max(minutes - (now // clock.MINUTE - until // clock.MINUTE + 1), 1)
    return Fraction(min(whole.sums.measured * each, minutes), minutes)


def _burn(sums: Sums, budget: Fraction, silence: NoData) -> Ratio:
    errors = _error_ratio(sums, silence)
    return Measured(errors.value / budget) if isinstance(errors, Measured) else errors


def _error_ratio(sums: Sums, silence: NoData) -> Ratio:
    if sums.total > 0:
        # One reduction instead of three: most of the time of an evaluation is spent in these lines.
        bad, bad_unit = sums.bad.as_integer_ratio()
        total, total_unit = sums.total.as_integer_ratio()
        return Measured(Fraction(bad * total_unit, bad_unit * total))
    return NoData(NO_TRAFFIC) if sums.measured else silence


def _firing(slo: SLO, sums: Mapping[int, Sums], burn: Mapping[int, Ratio]) -> tuple[Burning, ...]:
    if slo.policy is None:
        return ()
    least, confidence = slo.policy.minimum_bad_events, slo.policy.confidence
    found = (
        _burning(rule, rule.factor(slo.window), burn, sums[rule.long])
        for rule in slo.policy.rules
        if sums[rule.long].bad >= least
    )
    burning = [
        one
        for one in found
        if one is not None and (confidence is None or _is_sure(one, 1 - slo.objective, confidence))
    ]
    return tuple(sorted(burning, key=lambda one: (one.rule.severity != "page", -one.factor)))


def _burning(rule: BurnRule, factor: Fraction, burn: Mapping[int, Ratio], held: Sums) -> Burning | None:
    short, long = burn[rule.short], burn[rule.long]
    if not isinstance(short, Measured) or not isinstance(long, Measured):
        return None
    if short.value <= factor or long.value <= factor:
        return None
    return Burning(rule, short.value, long.value, factor, held.bad, held.total)


def _is_sure(burning: Burning, budget: Fraction, confidence: Fraction) -> bool:
    good = exact.subtract(burning.total, burning.bad)
    return binomial.is_unlikely(burning.bad, good, burning.factor * budget, confidence)


@dataclass(frozen=True, slots=True)
class Level:
    """One SLO and group, and the row of the history that holds its past."""

    row: int
    slo: SLO
    group: Labels


@dataclass(frozen=True, slots=True)
class _Compared:
    """The levels with one rule, and the error ratio that each has to exceed."""

    short: int
    long: int
    least: int
    positions: Integers
    rows: Integers
    ratio: NDArray[np.float64]


class Frame:
    """All levels in their order, ready to be swept."""

    def __init__(self, levels: Iterable[Level], wide: frozenset[int]) -> None:
        """Take levels over; those in `wide` rows are not swept, and may always fire."""
        self.levels = tuple(sorted(levels, key=lambda level: (level.slo.name, level.group)))
        self.index = {(level.slo.name, level.group): at for at, level in enumerate(self.levels)}
        self.slos = {level.slo.name: level.slo for level in self.levels}
        self.wide = wide
        self.watched = tuple(at for at, level in enumerate(self.levels) if level.slo.absent is not None)
        grouped: dict[tuple[int, int, int], list[tuple[int, int, float]]] = {}
        for at, level in enumerate(self.levels):
            policy = level.slo.policy
            for rule in policy.rules if policy is not None and level.row not in wide else ():
                ratio = rule.factor(level.slo.window) * (1 - level.slo.objective)
                least = policy.minimum_bad_events if policy is not None else 0
                grouped.setdefault((rule.short, rule.long, least), []).append((at, level.row, float(ratio)))
        self.compared = tuple(_compared(key, found) for key, found in grouped.items())

    def near(self, columns: Mapping[int, Columns]) -> set[int]:
        """Return the positions of all levels that may fire; `columns` are the sums of all rows by window."""
        found = {at for at, level in enumerate(self.levels) if level.row in self.wide} if self.wide else set()
        for rule in self.compared:
            short, long, least = columns[rule.short], columns[rule.long], rule.ratio * _SLACK
            burns = long.bad[rule.rows] >= rule.least
            burns &= short.bad[rule.rows] > short.total[rule.rows] * least
            burns &= long.bad[rule.rows] > long.total[rule.rows] * least
            found.update(rule.positions[burns].tolist())
        return found


def _compared(key: tuple[int, int, int], found: Sequence[tuple[int, int, float]]) -> _Compared:
    positions, rows, ratios = zip(*found, strict=True)
    return _Compared(
        *key, np.array(positions, np.int64), np.array(rows, np.int64), np.array(ratios, np.float64)
    )


@dataclass(frozen=True, slots=True)
class Past:
    """What a history holds at one moment, by row; later events do not change it."""

    window: Callable[[int, Span], Window]
    seen: Callable[[int], Seen]
    prometheus: bool = False
    """Whether one is asked what only it can answer."""


class Evaluations(Sequence[Evaluation]):
    """Where all levels stand at one moment, by SLO and group; each is worked out when somebody asks."""

    def __init__(
        self,
        frame: Frame,
        past: Past,
        now: Timestamp,
        near: Iterable[int],
        gone: Iterable[int] = (),
    ) -> None:
        """Tell of the levels of a frame but those that are gone; `past` is what was summed until `now`.

        `near` are the positions of all that may fire.
        """
        self._frame, self._past, self._now = frame, past, now
        hidden = frozenset(gone)
        self._shown = [at for at in range(len(frame.levels)) if at not in hidden]
        self._hidden = hidden
        self._known: dict[int, Evaluation] = {}
        self.firing = tuple(found for at in sorted(set(near) - hidden) if (found := self._at(at)).firing)
        """Those of which a rule holds."""

    @property
    def watched(self) -> tuple[Evaluation, ...]:
        """Return those of which people want to know when they are silent."""
        return tuple(self._at(at) for at in self._frame.watched if at not in self._hidden)

    def find(self, name: str, labels: Mapping[str, str]) -> Evaluation | None:
        """Return the level of an SLO in the group of some labels."""
        slo = self._frame.slos.get(name)
        if slo is None:
            return None
        group = tuple((label, labels.get(label, "")) for label in sorted(slo.group_by))
        at = self._frame.index.get((name, group))
        return None if at is None or at in self._hidden else self._at(at)

    def __len__(self) -> int:
        """Return how many levels there are."""
        return len(self._shown)

    @overload
    def __getitem__(self, index: int) -> Evaluation: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Evaluation, ...]: ...
    def __getitem__(self, index: int | slice) -> Evaluation | tuple[Evaluation, ...]:
        """Return one level, or some."""
        if isinstance(index, slice):
            return tuple(self._at(at) for at in self._shown[index])
        return self._at(self._shown[index])

    def __iter__(self) -> Iterator[Evaluation]:
        """Yield all levels."""
        return (self._at(at) for at in self._shown)

    def _at(self, at: int) -> Evaluation:
        known = self._known.get(at)
        if known is None:
            level = self._frame.levels[at]
            known = self._known[at] = evaluate(
                level.slo,
                level.group,
                lambda span: self._past.window(level.row, span),
                self._now,
                self._past.seen(level.row),
                prometheus=self._past.prometheus,
            )
        return known
