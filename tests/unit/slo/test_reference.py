"""The engine against a second, slow and obvious implementation, over random series, to exact equality."""

import zoneinfo
from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import BurnPolicy, BurnRule, Calendar, Evaluation, Measured, NoData
from netsre.slo.buckets import Bucket, Slot, by_slot
from netsre.slo.engine import Engine
from netsre.slo.increments import Cursor
from tests.unit.slo import reference
from tests.unit.slo.given import LATENCY, START, THRESHOLD, slo
from tests.unit.slo.sources import LIVES, Life, scraped

POLICY = BurnPolicy(
    "short",
    (
        BurnRule("page", 5 * clock.MINUTE, clock.HOUR, Fraction(2, 100)),
        BurnRule("ticket", 30 * clock.MINUTE, 6 * clock.HOUR, Fraction(99, 100)),
    ),
    2,
)
SURE = replace(POLICY, confidence=Fraction(9, 10))
LEVELS = (
    slo(name="all", objective="99.9", window=clock.DAY, group_by=(), policy=POLICY),
    slo(name="flow", objective="50", window=6 * clock.HOUR, policy=POLICY),
    slo(LATENCY, name="latency", objective="33.3", window=clock.DAY, policy=POLICY),
    replace(
        slo(name="today", objective="90", window=clock.DAY, policy=POLICY),
        # The first day that these tests see ends there at 3:30 UTC.
        calendar=Calendar("day", "America/St_Johns", zoneinfo.ZoneInfo("America/St_Johns")),
    ),
    slo(THRESHOLD, name="used", objective="95", window=clock.DAY, policy=SURE),
)


def number(ratio: Measured | NoData) -> Fraction | str:
    """Return a number, or why there is none."""
    return ratio.value if isinstance(ratio, Measured) else ratio.reason


def by_engine(found: Evaluation) -> reference.Stand:
    """Return an evaluation as the reference writes it."""
    windows = found.slo.policy.windows if found.slo.policy else ()
    rules = found.slo.policy.rules if found.slo.policy else ()
    firing = {one.rule for one in found.firing}
    return reference.Stand(
        Fraction(found.bad),
        Fraction(found.total),
        number(found.sli),
        number(found.budget_remaining),
        found.coverage,
        {window: number(found.burn[clock.duration_text(window)]) for window in windows},
        [rule for rule in rules if rule in firing],
    )


@settings(deadline=None)
@given(lives=LIVES, later=st.integers(0, 2 * clock.HOUR))
def test_the_engine_agrees_with_the_reference(lives: list[Life], later: int) -> None:
    """Restarts, counters that forget, gaps, late and missing series, scrapes told twice; two sources."""
    scrapes = scraped(lives)
    engine = Engine(LEVELS)
    for scrape in scrapes:
        engine.observe(scrape)
    last = max((scrape.at for scrape in scrapes), default=START)
    told = {scrape.node: [one for one in scrapes if one.node == scrape.node] for scrape in scrapes}
    ledgers = {
        level.name: {node: reference.ledger(level, source) for node, source in told.items()}
        for level in LEVELS
    }

    # Minute by minute at first: the short window then passes over every border there is.
    for now in (*(last + minutes * clock.MINUTE for minutes in range(7)), last + later):
        for found in engine.evaluate(Timestamp(now)):
            by_node = ledgers[found.slo.name]
            sources = [by_node[dict(found.group)["node"]]] if found.group else list(by_node.values())
            assert by_engine(found) == reference.stand(found.slo, sources, now), found.slo.name


@settings(deadline=None)
@given(lives=LIVES)
def test_no_sum_is_ever_negative(lives: list[Life]) -> None:
    """In no minute and in no window, and nowhere are there more bad events than events."""
    engine = Engine(LEVELS)
    for scrape in scraped(lives):
        for bucket in engine.observe(scrape).buckets:
            assert 0 <= bucket.bad <= bucket.total
            assert 0 <= bucket.measured <= bucket.step // clock.MINUTE
        for found in engine.evaluate(scrape.at):
            assert 0 <= found.bad <= found.total
            assert 0 <= found.coverage <= 1


def slot(bucket: Bucket) -> Slot:
    """Return what a bucket is of, to order them by: one number may be written in several ways."""
    return bucket.slo, bucket.group, bucket.step, bucket.begin


@settings(deadline=None)
@given(lives=LIVES, stops=st.sets(st.integers(0, 24)))
def test_a_restart_anywhere_changes_nothing(lives: list[Life], stops: set[int]) -> None:
    """An engine that was handed the minutes and the cursors says what one says that never stopped."""
    steady, mortal = Engine(LEVELS), Engine(LEVELS)
    kept: dict[Slot, Bucket] = {}
    cursors: dict[str, Cursor] = {}
    for at, scrape in enumerate(scraped(lives)):
        if at in stops:
            mortal = Engine(LEVELS, kept.values(), cursors.values())
        seen = mortal.observe(scrape)
        kept |= by_slot(seen.buckets)
        cursors[seen.cursor.node] = seen.cursor

        unharmed = steady.observe(scrape)
        assert (seen.cursor, seen.notes) == (unharmed.cursor, unharmed.notes)
        assert sorted(seen.buckets, key=slot) == sorted(unharmed.buckets, key=slot)
        assert tuple(mortal.evaluate(scrape.at)) == tuple(steady.evaluate(scrape.at))
