"""The engine against a second, slow and obvious implementation, over random series, to exact equality."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import BurnPolicy, BurnRule, Evaluation, Measured, NoData
from netsre.model.samples import Scrape, Series
from netsre.slo.engine import Engine
from netsre.slo.history import Bucket
from netsre.slo.increments import Cursor
from tests.unit.slo import reference
from tests.unit.slo.given import DELIVERED, FAILED, LATENCY, START, THRESHOLD, series, slo

POLICY = BurnPolicy(
    "short",
    (
        BurnRule("page", 5 * clock.MINUTE, clock.HOUR, Fraction(2, 100)),
        BurnRule("ticket", 30 * clock.MINUTE, 6 * clock.HOUR, Fraction(99, 100)),
    ),
    2,
)
LEVELS = (
    slo(name="all", objective="99.9", window=clock.DAY, group_by=(), policy=POLICY),
    slo(name="flow", objective="50", window=6 * clock.HOUR, policy=POLICY),
    slo(LATENCY, name="latency", objective="33.3", window=clock.DAY, policy=POLICY),
    slo(THRESHOLD, name="used", objective="99", window=clock.DAY, policy=POLICY),
)
QUICK, EVERY = series("seconds_bucket", le="0.25"), series("seconds_count")
USED, MORE = series("used", netns="a"), series("used", netns="b")
COUNTERS = (FAILED, DELIVERED, series("flows", outcome="denied"), QUICK, EVERY)


@dataclass(frozen=True)
class Step:
    """What happens to a source until its next scrape."""

    wait: int
    events: Mapping[Series, Decimal]
    restarts: bool
    forgets: bool
    """Counters begin anew, and the source does not say so."""
    hidden: Series | None
    used: Decimal
    lost: bool
    """Nobody scrapes."""
    again: bool
    """The scrape is told twice."""


@dataclass
class Source:
    """Something that counts, and does to its counters what real sources do."""

    node: str
    counts: dict[Series, Decimal]
    at: int = START
    started: int = START - 1_000_000
    told: set[Series] = field(default_factory=set)

    def live(self, step: Step) -> list[Scrape]:
        """Let time pass and events happen; return what a scraper tells of it."""
        self.at += step.wait
        if step.restarts:
            self.started, self.counts, self.told = self.at - min(step.wait, 700), {}, set()
        if step.forgets:
            self.counts = {key: Decimal(0) for key in self.counts}
        for key, more in step.events.items():
            self.counts[key] = self.counts.get(key, Decimal(0)) + more
        # What is quick is among everything; a histogram has both from its birth.
        quick = step.events.get(QUICK, Decimal(0))
        self.counts[EVERY] = self.counts.get(EVERY, Decimal(0)) + quick
        self.counts.setdefault(QUICK, Decimal(0))
        if step.lost:
            return []
        # Only what was there before can be missing for once.
        hidden = step.hidden if step.hidden in self.told else None
        shown = {key: value for key, value in self.counts.items() if key != hidden}
        self.told |= shown.keys()
        at, started = Timestamp(self.at), Timestamp(self.started)
        values = {**shown, USED: step.used, MORE: step.used}
        return [Scrape(at, self.node, started, values)] * (1 + step.again)


# Scrape intervals and their delays, the border of what is a gap, gaps of minutes and of hours.
WAITS = st.one_of(
    st.sampled_from([5_000, 15_000, 60_000, 119_999, 120_000, 120_001, 180_000, 300_000]),
    st.integers(1, 400_000),
    st.integers(1_000_000, 3 * 3_600_000),
)
SELDOM = st.integers(0, 9).map(lambda number: number == 0)
STEPS = st.builds(
    Step,
    wait=WAITS,
    events=st.dictionaries(
        st.sampled_from(COUNTERS),
        st.one_of(st.integers(0, 40).map(Decimal), st.sampled_from([Decimal("0.5"), Decimal("1e-7")])),
        max_size=3,
    ),
    restarts=SELDOM,
    forgets=SELDOM,
    hidden=st.sampled_from((None, None, FAILED, DELIVERED)),
    used=st.sampled_from([Decimal("0.1"), Decimal("0.4999"), Decimal("0.5"), Decimal(1)]),
    lost=SELDOM,
    again=SELDOM,
)
BORN = st.dictionaries(
    st.sampled_from(COUNTERS), st.sampled_from([Decimal(0), Decimal(500), Decimal(2**53 + 1)])
)
LIVES = st.tuples(BORN, st.lists(STEPS, max_size=12))


def scraped(lives: list[tuple[dict[Series, Decimal], list[Step]]]) -> list[Scrape]:
    """Return what several sources told, in the order of time."""
    found = []
    for number, (born, steps) in enumerate(lives):
        source = Source(f"n{number}", {**born, EVERY: born.get(QUICK, Decimal(0))})
        for step in steps:
            found += source.live(step)
    return sorted(found, key=lambda scrape: scrape.at)


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
@given(lives=st.lists(LIVES, min_size=1, max_size=2), later=st.integers(0, 2 * clock.HOUR))
def test_the_engine_agrees_with_the_reference(
    lives: list[tuple[dict[Series, Decimal], list[Step]]], later: int
) -> None:
    """Restarts, counters that forget, gaps, late and missing series, scrapes told twice; two sources."""
    scrapes = scraped(lives)
    engine = Engine(LEVELS)
    for scrape in scrapes:
        engine.observe(scrape)
    now = Timestamp(max((scrape.at for scrape in scrapes), default=START) + later)

    for found in engine.evaluate(now):
        nodes = [dict(found.group)["node"]] if found.group else sorted({scrape.node for scrape in scrapes})
        sources = [[scrape for scrape in scrapes if scrape.node == node] for node in nodes]
        ledgers = [reference.ledger(found.slo, source) for source in sources]
        assert by_engine(found) == reference.stand(found.slo, ledgers, now), found.slo.name


@settings(deadline=None)
@given(lives=st.lists(LIVES, min_size=1, max_size=2))
def test_no_sum_is_ever_negative(lives: list[tuple[dict[Series, Decimal], list[Step]]]) -> None:
    """In no minute and in no window, and nowhere are there more bad events than events."""
    engine = Engine(LEVELS)
    for scrape in scraped(lives):
        for bucket in engine.observe(scrape).buckets:
            assert 0 <= bucket.bad <= bucket.total
            assert bucket.readings >= 0
        for found in engine.evaluate(scrape.at):
            assert 0 <= found.bad <= found.total
            assert 0 <= found.coverage <= 1


@settings(deadline=None)
@given(lives=st.lists(LIVES, min_size=1, max_size=2), stops=st.sets(st.integers(0, 24)))
def test_a_restart_anywhere_changes_nothing(
    lives: list[tuple[dict[Series, Decimal], list[Step]]], stops: set[int]
) -> None:
    """An engine that was handed the minutes and the cursors says what one says that never stopped."""
    steady, mortal = Engine(LEVELS), Engine(LEVELS)
    kept: dict[tuple[str, object, int], Bucket] = {}
    cursors: dict[str, Cursor] = {}
    for at, scrape in enumerate(scraped(lives)):
        if at in stops:
            mortal = Engine(LEVELS, kept.values(), cursors.values())
        seen = mortal.observe(scrape)
        kept |= {(bucket.slo, bucket.group, bucket.minute): bucket for bucket in seen.buckets}
        cursors[seen.cursor.node] = seen.cursor

        assert seen == steady.observe(scrape)
        assert mortal.evaluate(scrape.at) == steady.evaluate(scrape.at)
