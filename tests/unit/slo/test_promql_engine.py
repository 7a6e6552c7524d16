"""Claims about counting pieces: exact, each once, whatever their age and whenever the process ends."""

import dataclasses
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import DAY, HOUR, MINUTE, Timestamp
from netsre.model.levels import SLO, BurnPolicy, BurnRule, Evaluation, Measured, NoData, Slices
from netsre.model.samples import Labels, Points
from netsre.slo import definition, promql
from netsre.slo.buckets import Bucket
from netsre.slo.engine import Engine, Note
from netsre.slo.indicators import Anomaly, Measure
from netsre.slo.promql import Piece
from tests import thorough
from tests.unit.slo.given import FAILED, PROMQL, START, WORKBOOK, after, scrape, slo

SETTLE: Final = 30 * clock.SECOND
NARROW: Final = BurnPolicy(
    "narrow",
    (
        BurnRule("page", 15 * MINUTE, HOUR, Fraction(2, 100)),
        BurnRule("page", 30 * MINUTE, 6 * HOUR, Fraction(5, 100)),
    ),
    5,
)
TEAM: Final = (("team", "a"),)


def level(
    every: int = MINUTE,
    *,
    window: int = 30 * DAY,
    slices: Slices | None = None,
    policy: BurnPolicy | None = None,
    group_by: tuple[str, ...] = ("team",),
) -> SLO:
    """Return an SLO that a Prometheus answers."""
    asked = dataclasses.replace(PROMQL, every=every)
    of = slo(asked, group_by=group_by, window=window, policy=policy, objective="99")
    return dataclasses.replace(of, slices=slices)


def piece(end: float, bad: str | int, total: str | int, group: Labels = TEAM) -> Piece:
    """Return a piece that ended so many seconds after `START`."""
    return Piece(0, group, after(end), Measure(Decimal(bad), Decimal(total)))


def asking(*slos: SLO) -> Engine:
    """Return an engine with a Prometheus to ask."""
    return Engine(slos, prometheus=True)


def only(engine: Engine, now: float) -> Evaluation:
    """Return where the one group of an engine stands."""
    (found,) = engine.evaluate(after(now))
    return found


def test_a_piece_is_in_the_minutes_before_its_end() -> None:
    """Five minutes, ten events and a half: two in each, and the half in the last; all were looked at."""
    of = level(5 * MINUTE)

    found = asking(of).count([piece(300, "5.5", "10.5")], after(330))

    measured = [b for b in found if b.step == MINUTE]
    assert [((b.begin - START) // MINUTE, str(b.bad), str(b.total), b.measured) for b in measured] == [
        (0, "1", "2", 1),
        (1, "1", "2", 1),
        (2, "1", "2", 1),
        (3, "1", "2", 1),
        (4, "1.5", "2.5", 1),
    ]
    assert {(b.step, b.begin, str(b.total), b.measured) for b in found if b.step > MINUTE} == {
        (5 * MINUTE, START, "10.5", 5)
    }


def test_a_budget_by_hand() -> None:
    """Two minutes of 10 events a second, one in a hundred bad; a third without any; 99 %."""
    engine = asking(level(policy=WORKBOOK))
    engine.count([piece(60, "6", "600"), piece(120, "6", "600"), piece(180, 0, 0)], after(210))

    found = only(engine, 210)

    assert (int(found.bad), int(found.total), found.sli) == (12, 1200, Measured(Fraction(99, 100)))
    assert (found.budget_remaining, found.burn["5m"]) == (Measured(Fraction(0)), Measured(Fraction(1)))
    assert (found.read_at, found.event_at) == (after(120), after(60))


def test_no_traffic_is_measured_and_no_answer_is_not() -> None:
    """Nor is what was no number."""
    engine = asking(level())
    engine.count([piece(60, 0, 0)], after(90))
    assert only(engine, 90).sli == NoData("no_traffic")

    broken = Measure(Decimal(0), Decimal(0), frozenset({Anomaly.NOT_A_NUMBER}))
    pieces = [Piece(0, (("team", "b"),), after(120), broken)]
    assert engine.count(pieces, after(150)) == ()
    assert engine.notes(pieces) == (Note("not_a_number", 'flow{team="b"}'),)
    assert engine.groups(engine.slos[0]) == (TEAM,)


def test_bad_events_without_others_are_all_there_were_and_are_said() -> None:
    """As with counters."""
    (one,) = promql.join(0, level(), [Points(TEAM, ((after(60), Decimal(1)),))], [])
    engine = asking(level())
    engine.count([one], after(90))

    found = only(engine, 90)
    assert (int(found.bad), int(found.total)) == (60, 60)
    assert engine.notes([one]) == (Note("bad_exceeds_total", 'flow{team="a"}'),)


def test_a_piece_that_comes_again_changes_nothing() -> None:
    """Neither do older ones: each SLO is counted once, oldest first."""
    engine = asking(level())
    engine.count([piece(120, 1, 10)], after(150))

    assert engine.count([piece(60, 1, 10), piece(120, 1, 10)], after(150)) == ()
    assert engine.counted_until(engine.slos[0]) == after(120)
    assert only(engine, 150).total == 10


def test_what_had_no_answer_is_not_asked_for_again() -> None:
    """Until the process ends: then once more."""
    engine = asking(level())

    engine.count([piece(60, 1, 10)], after(600), {"flow": after(300)})

    assert engine.counted_until(engine.slos[0]) == after(300)
    engine.count([], after(600), {"flow": after(240)})
    assert engine.counted_until(engine.slos[0]) == after(300)


@pytest.mark.parametrize("now", [30, 59, 60, 89, 3600, 5430])
@pytest.mark.parametrize("every", [1, 5, 15])
@pytest.mark.parametrize("slices", [None, Slices(15 * MINUTE, Fraction(1, 2))])
def test_coverage_is_whole_when_every_piece_was_answered(now: int, every: int, slices: Slices | None) -> None:
    """Whatever the present piece will be; and less by each minute of one that was not."""
    for missing in (False, True):
        of = level(every * MINUTE, window=4 * DAY, slices=slices)
        engine = asking(of)
        indicator = promql.indicator(of)
        assert indicator is not None
        ends = promql.due(of, indicator, None, after(now), SETTLE)
        hole = -90_000 // (every * 60) * every * 60
        engine.count(
            [
                piece((end - START) / 1000, 0, 1)
                for end in ends
                if not missing or not after(hole) < end <= after(hole + 900)
            ],
            after(now),
        )

        coverage = only(engine, now).coverage

        assert (coverage == 1) is not missing
        assert coverage > Fraction(99, 100)


def test_a_slice_of_pieces_is_one_event() -> None:
    """Five pieces: of 100 events six were bad, all in one of them; 95 % must be good."""
    engine = asking(level(slices=Slices(5 * MINUTE, Fraction(95, 100))))
    first = [piece(60 * n, 0, 20) for n in range(1, 5)]
    engine.count([*first, piece(300, 6, 20)], after(330))
    engine.count([piece(600, 5, 100)], after(630))

    found = only(engine, 630)

    assert (int(found.bad), int(found.total)) == (1, 2)
    assert engine.counted_until(engine.slos[0]) == after(600)


def test_a_group_goes_when_the_others_were_answered_for_an_hour_without_it() -> None:
    """A pod ends. While nobody answers, none is gone; and nodes of an agent have no say in it."""
    engine = Engine([level(group_by=("node", "pod"))], nodes={"here"}, prometheus=True)
    one, other = (("node", "there"), ("pod", "a")), (("node", "there"), ("pod", "b"))
    engine.count([piece(60, 0, 1, one), piece(60, 0, 1, other)], after(90))
    engine.observe(scrape(9_000, {FAILED: 1}, node="here"))
    assert [found.group for found in engine.evaluate(after(9_000))] == [one, other]

    engine.count([piece(3_720, 0, 1, one)], after(9_030))
    assert [found.group for found in engine.evaluate(after(9_030))] == [one]


def test_a_week_that_is_counted_late_is_as_if_it_had_been_counted_in_time() -> None:
    """By the hour, five minutes and minute, in memory and out of what was kept."""
    of = level(15 * MINUTE, window=7 * DAY, policy=WORKBOOK)
    late, steady = asking(of), asking(of)
    kept: dict[tuple[int, int], Bucket] = {}
    pieces = [piece(900 * n, n % 3, 10 + n % 7) for n in range(1, 7 * 96 + 1)]
    now = after(7 * 86_400 + 30)
    for one in pieces:
        steady.count([one], Timestamp(one.end + SETTLE))
    for at in range(0, len(pieces), 96):
        kept |= {(b.step, b.begin): b for b in late.count(pieces[at : at + 96], now)}

    again = Engine([of], kept.values(), prometheus=True)

    assert tuple(late.evaluate(now)) == tuple(steady.evaluate(now)) == tuple(again.evaluate(now))
    assert again.counted_until(of) == after(7 * 86_400)
    assert len(kept) < 7 * 24 + 3 * 288 + 6 * 60 + 10


class Turn(NamedTuple):
    """One turn of a controller."""

    seconds: int
    """Since the one before."""
    dies: str
    """Whether, and when, its process ends."""


RATES: Final = st.sampled_from(["0", "0.05", "1", "0.3333333333333333", "1e-05", "123456.75"])
PATTERN: Final = st.lists(st.one_of(st.none(), st.tuples(RATES, RATES)), min_size=1, max_size=7)
TURNS: Final = st.lists(
    st.builds(
        Turn,
        st.one_of(st.integers(1, 900), st.integers(3_600, 100_000)),
        st.sampled_from(["no", "no", "after", "before"]),
    ),
    min_size=1,
    max_size=8,
)
KINDS: Final = st.sampled_from(
    [
        (MINUTE, 7 * HOUR, None),
        (5 * MINUTE, DAY, None),
        (15 * MINUTE, 4 * DAY, None),
        (15 * MINUTE, 4 * DAY, 15 * MINUTE),
        (5 * MINUTE, DAY, 15 * MINUTE),
        (MINUTE, 7 * HOUR, 5 * MINUTE),
    ]
)


class World:
    """A controller that is ended now and then, a Prometheus, and what should come of it, in fractions."""

    def __init__(self, of: SLO, pattern: list[tuple[str, str] | None]) -> None:
        """Begin with nothing counted."""
        self.of, self.pattern = of, pattern
        indicator = promql.indicator(of)
        assert indicator is not None
        self.indicator = indicator
        self.kept: dict[tuple[int, int], Bucket] = {}
        self.engine = self.started()
        self.ends: set[int] = set()

    def started(self) -> Engine:
        """Return an engine that goes on from what was kept."""
        return Engine([self.of], definition.current([self.of], self.kept.values()), prometheus=True)

    def rates(self, end: int) -> tuple[Decimal, Decimal] | None:
        """Return bad and all events per second of a piece; None where there is no answer."""
        found = self.pattern[end // self.indicator.every % len(self.pattern)]
        if found is None:
            return None
        bad, good = map(Decimal, found)
        return bad, bad + good

    def answers(self, ends: range, side: int) -> Iterable[Points]:
        """Return what the Prometheus answers about one of the expressions."""
        found = ((end, self.rates(end)) for end in ends)
        return [Points((), tuple((Timestamp(end), rates[side]) for end, rates in found if rates))]

    def turn(self, now: Timestamp, dies: str) -> None:
        """Ask for what is due, count and keep it."""
        ends = promql.due(self.of, self.indicator, self.engine.counted_until(self.of), now, SETTLE)
        self.ends |= set(ends)
        for batch in promql.batches(ends):
            pieces = promql.join(0, self.of, self.answers(batch, 0), self.answers(batch, 1))
            found = self.engine.count(pieces, now, {self.of.name: Timestamp(batch[-1])})
            if dies == "before":
                self.engine = self.started()
                self.turn(now, "no")
                return
            self.kept |= {(bucket.step, bucket.begin): bucket for bucket in found}
        if dies == "after":
            self.engine = self.started()

    def minutes(self) -> dict[int, tuple[Fraction, Fraction]]:
        """Return bad and all events of every minute that was measured."""
        found: dict[int, tuple[Fraction, Fraction]] = {}
        every, slices = self.indicator.every, self.of.slices
        events = {
            end: tuple(Fraction(rate) * every / 1000 for rate in rates)
            for end in self.ends
            if (rates := self.rates(end))
        }
        if slices is not None:
            for begin in {(end - every) // slices.length * slices.length for end in events}:
                inside = [events[end] for end in events if begin < end <= begin + slices.length]
                bad, total = (sum((one[side] for one in inside), Fraction(0)) for side in (0, 1))
                assert slices.target is not None
                is_bad = total > 0 and 1 - bad / total < slices.target
                found[begin] = Fraction(is_bad), Fraction(total > 0)
            return found
        for end, (bad, total) in events.items():
            shares = zip(shared(bad, every // MINUTE), shared(total - bad, every // MINUTE), strict=True)
            for number, (failed, good) in enumerate(shares):
                found[end - every + number * MINUTE] = failed, failed + good
        return found


def shared(amount: Fraction, count: int) -> list[Fraction]:
    """Return an amount shared out: whole events evenly, the rest in the last minute."""
    whole = int(amount)
    found = [Fraction(whole * (n + 1) // count - whole * n // count) for n in range(count)]
    found[-1] += amount - whole
    return found


def expected(
    minutes: dict[int, tuple[Fraction, Fraction]], length: int, now: int
) -> tuple[Fraction, Fraction, int, int]:
    """Return bad and all events, measured minutes, and all minutes of a window, as its definition says it."""
    step = MINUTE if length <= 6 * HOUR else 5 * MINUTE if length <= 3 * DAY else HOUR
    end = now - now % step + step
    inside = [events for at, events in minutes.items() if end - length <= at < end]
    bad, total = (sum((one[side] for one in inside), Fraction(0)) for side in (0, 1))
    return bad, total, len(inside), (now - (end - length)) // MINUTE + 1


@settings(max_examples=thorough.cases(60))
@given(kind=KINDS, pattern=PATTERN, turns=TURNS)
def test_every_piece_that_was_answered_is_counted_once_wherever_the_process_ends(
    kind: tuple[int, int, int | None], pattern: list[tuple[str, str] | None], turns: list[Turn]
) -> None:
    """Against fractions: every window, and how much of it was measured."""
    every, window, length = kind
    slices = None if length is None else Slices(length, Fraction(95, 100))
    world = World(level(every, window=window, slices=slices, policy=NARROW, group_by=()), pattern)
    at = START + 17 * HOUR
    for turn in turns:
        at += turn.seconds * clock.SECOND
        world.turn(Timestamp(at), turn.dies)

    (one,) = world.engine.evaluate(Timestamp(at))

    minutes = world.minutes()
    bad, total, measured, all_minutes = expected(minutes, window, at)
    assert (Fraction(one.bad), Fraction(one.total)) == (bad, total)
    piece_length, each = length or every, 1 if length is None else length // MINUTE
    over = at // piece_length * piece_length
    # The newest piece counts as missing only when the next one is over.
    newest = max(minutes, default=0) + (length or MINUTE) == over
    known = max(all_minutes - (at - over) // MINUTE - 1 - (0 if newest else piece_length // MINUTE), 1)
    assert one.coverage == min(Fraction(measured * each, known), 1)
    for text, span in (("15m", 15 * MINUTE), ("30m", 30 * MINUTE), ("1h", HOUR), ("6h", 6 * HOUR)):
        bad, total, _, _ = expected(minutes, span, at)
        burn = one.burn[text]
        assert (burn == Measured(bad / total * 100)) if total else isinstance(burn, NoData)
