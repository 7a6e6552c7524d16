"""Claims about periods that begin inside of an hour: they count to the minute, for good, and alone."""

import zoneinfo
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

import pytest

from netsre import clock
from netsre.clock import Timestamp, parse_rfc3339
from netsre.model.levels import SLO, Calendar, Slices
from netsre.slo import definition
from netsre.slo.buckets import Bucket
from netsre.slo.engine import Engine
from netsre.slo.increments import Cursor
from netsre.slo.indicators import Measure
from netsre.slo.promql import Piece
from tests.unit.slo.given import DELIVERED, FAILED, PROMQL, START, scrape, slo

KOLKATA = parse_rfc3339("2026-03-31T18:30:00Z")
KATHMANDU = parse_rfc3339("2026-03-31T18:15:00Z")
"""Where April began there."""
QUARTER = 15 * clock.MINUTE
PARTS = pytest.mark.parametrize("part", [Decimal(1), Decimal("0.5")], ids=["whole", "half"])


@dataclass
class Disk:
    """What engines handed out, for as long as they said."""

    kept: dict[tuple[str, int, int], Bucket] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)

    def engine(self, *levels: SLO) -> Engine:
        """Return an engine that goes on from here."""
        return Engine(levels, definition.current(levels, self.kept.values()), self.cursors.values())

    def count(self, engine: Engine, begin: Timestamp, minutes: range, part: Decimal = Decimal(1)) -> None:
        """Count 10 good events a minute, and a bad one in the last before a begin and the first after it."""
        for minute in minutes:
            bad = part * sum(minute >= at for at in (-1, 0))
            counters = {FAILED: str(bad), DELIVERED: str(100_000 + 10 * minute)}
            seen = engine.observe(scrape((begin - START) / 1000 + 60 * minute, counters))
            self.kept |= {(bucket.slo, bucket.step, bucket.begin): bucket for bucket in seen.buckets}
            self.cursors[seen.cursor.node] = seen.cursor

    def prune(self, engine: Engine, now: Timestamp) -> None:
        """Keep what an engine says, as the store does; whatever else there is stays."""
        before = engine.prune(now)
        self.kept = {
            key: bucket for key, bucket in self.kept.items() if bucket.begin >= before.get(bucket.step, 0)
        }

    def quarters(self) -> list[int]:
        """Return where the quarters of an hour begin that were kept."""
        return sorted(bucket.begin for bucket in self.kept.values() if bucket.step == QUARTER)


def month_in(zone: str, name: str = "flow") -> SLO:
    """Return a level of 99 % over a month somewhere."""
    calendar = Calendar("month", zone, zoneinfo.ZoneInfo(zone))
    level = slo(name=name, objective="99", window=calendar.nominal, policy=None)
    return replace(level, calendar=calendar)


def later(begin: Timestamp, *, days: int = 0, minutes: int = 0) -> Timestamp:
    """Return a moment after a begin."""
    return Timestamp(begin + days * clock.DAY + minutes * clock.MINUTE)


@PARTS
@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("Asia/Kolkata", "2026-03-31T18:30:00Z"),
        ("Asia/Kathmandu", "2026-03-31T18:15:00Z"),
        ("Pacific/Chatham", "2026-03-31T10:15:00Z"),
        ("Australia/Adelaide", "2026-03-31T13:30:00Z"),
        # In April the clocks of Lord Howe go back by half an hour.
        ("Australia/Lord_Howe", "2026-03-31T13:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-30T13:30:00Z"),
        ("America/St_Johns", "2026-04-01T02:30:00Z"),
    ],
)
def test_a_month_counts_from_its_first_minute_on(zone: str, begins: str, part: Decimal) -> None:
    """A failure at 23:59 is last month's, one at 0:00 this month's: then, 20 days later, after a restart."""
    level, disk, begin = month_in(zone), Disk(), parse_rfc3339(begins)
    engine = disk.engine(level)
    disk.count(engine, begin, range(-90, 0), part)
    (before,) = engine.evaluate(later(begin, minutes=-1))
    (new,) = engine.evaluate(begin)
    disk.count(engine, begin, range(120), part)
    (soon,) = engine.evaluate(later(begin, minutes=119))
    disk.prune(engine, later(begin, days=20))
    (late,) = engine.evaluate(later(begin, days=20))
    (restored,) = disk.engine(level).evaluate(later(begin, days=20))

    assert (before.bad, before.total) == (part, part + 890)
    assert (new.total, new.coverage) == (Decimal(0), Fraction(0))
    assert (soon.bad, soon.total, soon.coverage) == (part, part + 1200, Fraction(1))
    assert (late.bad, late.total) == (soon.bad, soon.total)
    assert restored == late


def test_the_process_may_end_anywhere_in_the_first_hour() -> None:
    """Every five minutes a new one goes on from what was kept."""
    level, disk = month_in("Asia/Kathmandu"), Disk()
    for minute in range(-90, 120, 5):
        disk.count(disk.engine(level), KATHMANDU, range(minute, minute + 5))
    (found,) = disk.engine(level).evaluate(later(KATHMANDU, minutes=119))

    assert (int(found.bad), int(found.total), int(found.coverage)) == (1, 1201, 1)


def test_events_of_a_gap_over_midnight_are_shared_out_between_the_months() -> None:
    """Of 1200 in two hours 600 are this month's."""
    level, disk = month_in("Asia/Kolkata"), Disk()
    engine = disk.engine(level)
    disk.count(engine, KOLKATA, range(-60, 61, 120))
    (found,) = engine.evaluate(later(KOLKATA, minutes=60))
    (restored,) = disk.engine(level).evaluate(later(KOLKATA, days=20))

    # The two bad ones at the half and at the end of it, each good one before its minute is over.
    assert (int(found.bad), int(found.total)) == (1, 601)
    assert (restored.bad, restored.total) == (found.bad, found.total)


@PARTS
def test_nothing_but_the_rest_of_that_hour_is_kept_by_quarters(part: Decimal) -> None:
    """Two in Kolkata, three in Kathmandu; none in Berlin, and none without a calendar."""
    found = {}
    for level in (*map(month_in, ("Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin")), slo(policy=None)):
        disk = Disk()
        disk.count(disk.engine(level), KOLKATA, range(-300, 300), part)
        found[level.window_text] = disk.quarters()

    assert found == {
        "month Asia/Kolkata": [KOLKATA, KOLKATA + QUARTER],
        "month Asia/Kathmandu": [KATHMANDU, KATHMANDU + QUARTER, KATHMANDU + 2 * QUARTER],
        "month Europe/Berlin": [],
        "30d": [],
    }


def test_a_calendar_that_is_new_takes_the_past_as_it_was_kept() -> None:
    """To the minute while minutes are there; later the whole hour of the begin counts before it."""
    rolling, month, disk = slo(policy=None), month_in("Asia/Kolkata"), Disk()
    engine = disk.engine(rolling)
    disk.count(engine, KOLKATA, range(-90, 3 * 60))
    (fresh,) = disk.engine(month).evaluate(later(KOLKATA, minutes=3 * 60 - 1))
    disk.count(engine, KOLKATA, range(3 * 60, 20 * 60))
    now = later(KOLKATA, minutes=20 * 60 - 1)
    disk.prune(engine, now)
    (stale,) = disk.engine(month).evaluate(now)

    assert (int(fresh.bad), int(fresh.total)) == (1, 1 + 3 * 60 * 10)
    # From 18:30 to 19:00 there were 300 good events, and the failure of this month.
    assert (int(stale.bad), int(stale.total)) == (0, (20 * 60 - 30) * 10)


def test_a_calendar_that_comes_and_goes_changes_no_other_window() -> None:
    """Sums over 30 days stay; its quarters are there when it comes back, and go in time when it does not."""
    rolling, month, disk, plain = slo(policy=None), month_in("Asia/Kathmandu"), Disk(), Disk()
    disk.count(disk.engine(month), KATHMANDU, range(-90, 120))
    plain.count(plain.engine(rolling), KATHMANDU, range(-90, 120))
    now = later(KATHMANDU, days=20)
    before = tuple(disk.engine(month).evaluate(now))
    without = disk.engine(rolling)
    disk.prune(without, now)

    assert tuple(without.evaluate(now)) == tuple(plain.engine(rolling).evaluate(now))
    assert tuple(disk.engine(month).evaluate(now)) == before
    assert (int(before[0].bad), int(before[0].total)) == (1, 1201)
    assert len(disk.quarters()) == 3
    disk.prune(disk.engine(rolling), later(KATHMANDU, days=31))
    assert disk.kept == {}


@PARTS
@pytest.mark.parametrize("new", ["month", "rolling"])
def test_the_past_of_an_engine_is_taken_over_with_its_edges(new: str, part: Decimal) -> None:
    """As that of a new level is out of a Prometheus, whichever of the two has a calendar."""
    levels = month_in("Asia/Kathmandu", "month"), slo(name="rolling", policy=None)
    fresh = [level for level in levels if level.name == new]
    steady, main, past = Engine(levels), Engine(levels), Engine(fresh)
    for engine in (steady, past):
        Disk().count(engine, KATHMANDU, range(-90, 90), part)
    disk = Disk()
    # The turns have looked for half an hour: their own sums of the new level are not its past.
    disk.count(main, KATHMANDU, range(60, 90), part)
    main.take_over(fresh, past.history)
    for engine in (steady, main):
        disk.count(engine, KATHMANDU, range(90, 100), part)

    for at in (later(KATHMANDU, minutes=99), later(KATHMANDU, days=20)):
        found = [one for one in main.evaluate(at) if one.slo.name == new]
        assert found == [one for one in steady.evaluate(at) if one.slo.name == new]
        assert found[0].total > 0


def test_a_slice_counts_to_the_month_in_which_it_begins() -> None:
    """The 10 minutes from 0:00 on are this month's, those before it last month's."""
    level = replace(month_in("Asia/Kolkata"), slices=Slices(10 * clock.MINUTE, Fraction(1, 2)))
    engine = Engine([level])
    Disk().count(engine, KOLKATA, range(-90, 41))

    (found,) = engine.evaluate(later(KOLKATA, minutes=40))

    assert int(found.total) == 4


def test_an_answer_of_days_ago_counts_from_the_first_minute_on_too() -> None:
    """Pieces of five minutes, asked for five days late; also after a restart, when their minutes are gone."""
    calendar = Calendar("month", "Asia/Kathmandu", zoneinfo.ZoneInfo("Asia/Kathmandu"))
    asked = replace(PROMQL, every=5 * clock.MINUTE)
    level = replace(slo(asked, group_by=(), policy=None), calendar=calendar)
    engine, now = Engine([level], prometheus=True), later(KATHMANDU, days=5)
    ends = (later(KATHMANDU, minutes=minutes) for minutes in range(-60, 125, 5))
    pieces = [Piece(0, (), end, Measure(Decimal(1), Decimal(10))) for end in ends]
    disk = Disk()
    disk.kept = {(kept.slo, kept.step, kept.begin): kept for kept in engine.count(pieces, now)}
    (found,) = engine.evaluate(now)
    disk.prune(engine, now)
    restored = Engine([level], disk.kept.values(), prometheus=True).evaluate(now)[0]

    assert (int(found.bad), int(found.total)) == (24, 240)
    assert (restored.bad, restored.total) == (found.bad, found.total)
