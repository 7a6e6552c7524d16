"""Sources that do to their counters what real ones do, made by hypothesis for the tests that need many."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import strategies as st

from netsre.clock import Timestamp
from netsre.model.samples import Scrape, Series
from tests.unit.slo.given import DELIVERED, FAILED, START, series

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
Life = tuple[dict[Series, Decimal], list[Step]]
"""What a source was born with, and what happens to it."""
LIVES = st.lists(st.tuples(BORN, st.lists(STEPS, max_size=12)), min_size=1, max_size=2)


def scraped(lives: list[Life]) -> list[Scrape]:
    """Return what several sources told, in the order of time."""
    found = []
    for number, (born, steps) in enumerate(lives):
        source = Source(f"n{number}", {**born, EVERY: born.get(QUICK, Decimal(0))})
        for step in steps:
            found += source.live(step)
    return sorted(found, key=lambda scrape: scrape.at)
