"""Claims about the whole engine: from scrapes to what fires, across pauses and restarts."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from netsre import clock, conventions
from netsre.model.levels import BurnPolicy, Measured, NoData, RatioIndicator, Selector
from netsre.model.samples import Series, labels
from netsre.slo import definition, evaluate
from netsre.slo.buckets import Bucket, Slot, by_slot
from netsre.slo.engine import Engine, Note, Observation
from netsre.slo.increments import Cursor
from tests.unit.slo.given import (
    DELIVERED,
    FAILED,
    LATENCY,
    NODE,
    PROMQL,
    THRESHOLD,
    WORKBOOK,
    after,
    node_group,
    scrape,
    series,
    slo,
)

LEVELS = (slo(), slo(LATENCY, name="latency"), slo(THRESHOLD, name="headroom", group_by=("netns", "node")))


def traffic(engine: Engine, first: int, last: int, *, rate: int = 10, fails_from: float = 10**9) -> None:
    """Scrape a steady node every 5 s; from a moment on all of its connections fail."""
    for at in range(first, last + 1, 5):
        bad = int(max(0, at - fails_from) * rate)
        good = (at + 10**5) * rate - bad
        engine.observe(scrape(at, {DELIVERED: good, FAILED: bad}, started=-(10**5)))


def pages(engine: Engine, at: int) -> list[int]:
    """Return the long windows of the pages that fire, in minutes."""
    (found,) = engine.evaluate(after(at))
    return [one.rule.long // clock.MINUTE for one in found.firing if one.rule.severity == "page"]


def test_a_total_outage_pages_within_a_minute_and_not_at_once() -> None:
    """99.9 %, an hour of steady traffic, then none succeeds; whatever second of the minute it begins in."""
    level = slo(policy=BurnPolicy("one", WORKBOOK.rules[:1], 5))
    for begins in (3600, 3615, 3630, 3655):
        engine = Engine([level])
        traffic(engine, 0, begins + 60, fails_from=begins)
        early = Engine([level])
        traffic(early, 0, begins + 40, fails_from=begins)

        assert pages(engine, begins + 60) == [60]
        assert pages(early, begins + 40) == []


def test_a_page_ends_when_the_short_window_is_clean() -> None:
    """Ten minutes of outage, then five clean minutes: the fast page is over, long before its hour is."""
    engine = Engine([slo()])
    traffic(engine, 0, 3600, fails_from=3000)
    assert 60 in pages(engine, 3600)

    for at in range(3605, 3600 + 6 * 60, 5):
        engine.observe(scrape(at, {DELIVERED: 10**7 + at, FAILED: 6000}, started=-(10**5)))

    assert 60 not in pages(engine, 3600 + 6 * 60)


def test_a_pause_of_the_controller_loses_no_event_and_does_not_page() -> None:
    """Away for six hours of 1 % errors: every event counts, in the hours in which it happened."""
    engine = Engine([slo(objective="99")])
    for at in (0, 5):
        engine.observe(scrape(at, {DELIVERED: 990 * at, FAILED: 10 * at}))

    seen = engine.observe(scrape(6 * 3600, {DELIVERED: 990 * 6 * 3600, FAILED: 10 * 6 * 3600}))

    (found,) = engine.evaluate(after(6 * 3600))
    assert (int(found.bad), int(found.total)) == (10 * 6 * 3600, 1000 * 6 * 3600)
    assert found.firing == ()
    assert [bucket.step for bucket in seen.buckets].count(clock.MINUTE) == 360
    assert abs(_burn(found.burn["1h"]) - 1) < Decimal("0.01")


def _burn(ratio: Measured | NoData) -> Decimal:
    assert isinstance(ratio, Measured)
    return Decimal(ratio.value.numerator) / ratio.value.denominator


def test_an_observation_carries_whole_minutes_of_every_slo_that_was_measured() -> None:
    """Written over what was there, any number of times, they are right; what did not change is not told."""
    engine = Engine(LEVELS)
    used = series("used", netns="blue")
    engine.observe(scrape(0, {FAILED: 0, used: "0.4"}))

    seen = engine.observe(scrape(5, {FAILED: 2, used: "0.9"}))

    group = (("netns", "blue"), ("node", "n1"))
    measures = {level.name: definition.of(level) for level in LEVELS}
    assert seen.buckets == (
        Bucket("flow", NODE, after(0), Decimal(2), Decimal(2), 1, measures["flow"]),
        Bucket("headroom", group, after(0), Decimal(1), Decimal(2), 1, measures["headroom"]),
    )
    assert seen.cursor.at == after(5)


def test_a_scrape_that_is_not_newer_changes_nothing() -> None:
    """Not even the reading of a gauge."""
    engine = Engine(LEVELS)
    one = scrape(5, {FAILED: 2, series("used", netns="blue"): "0.9"})
    engine.observe(one)
    before = engine.evaluate(after(6))

    assert engine.observe(one) == Observation((), engine.observe(one).cursor, (Note("duplicate", "n1"),))
    assert tuple(engine.evaluate(after(6))) == tuple(before)


def test_notes_name_what_people_should_know() -> None:
    """First contact, a reset, a histogram without the bucket; one note for a metric, not for each series."""
    engine = Engine(LEVELS)
    first = engine.observe(scrape(0, {FAILED: 9, DELIVERED: 9}))

    second = engine.observe(scrape(5, {FAILED: 1, DELIVERED: 1, series("seconds_count"): 3}))

    assert first.notes == (Note("baseline", "n1"),)
    assert second.notes == (
        Note("counter_reset", "flows"),
        Note("bucket_missing", 'latency{node="n1"}'),
    )


def test_what_could_not_be_measured_is_no_reading() -> None:
    """Coverage shows it, although the source answered."""
    engine = Engine([slo(LATENCY)])
    engine.observe(scrape(0, {}))

    assert engine.observe(scrape(60, {series("seconds_count"): 3})).buckets == ()


def test_nodes_are_apart_and_without_groups_together() -> None:
    """Each node has its own cursor and group; an SLO without groups adds all nodes up."""
    engine = Engine([slo(), slo(name="all", group_by=())])
    for node, number in (("n1", 3), ("n2", 4)):
        engine.observe(scrape(0, {FAILED: 0}, node=node))
        engine.observe(scrape(5, {FAILED: number}, node=node))

    found = {(one.slo.name, one.group): int(one.total) for one in engine.evaluate(after(6))}

    assert found == {("all", ()): 7, ("flow", node_group("n1")): 3, ("flow", node_group("n2")): 4}


def test_a_scrape_says_nothing_of_what_only_a_prometheus_answers() -> None:
    """Not even that there was no traffic; and where none is asked, that is the reason."""
    for prometheus, reason in ((False, "needs_prometheus"), (True, "no_history")):
        engine = Engine([slo(PROMQL, group_by=())], prometheus=prometheus)

        assert engine.observe(scrape(0, {FAILED: 1})).buckets == ()
        (found,) = engine.evaluate(after(0))
        assert (found.sli, found.coverage) == (NoData(reason), Fraction(0))


def test_a_level_of_the_datapath_waits_until_somebody_shows_its_metric() -> None:
    """A node that is read and has none measures nothing of it; the first series of one that has does."""
    verdicts = Selector(conventions.POLICY_VERDICTS)
    level = slo(RatioIndicator(verdicts, verdicts), group_by=("node",))
    engine = Engine([level])
    assert engine.observe(scrape(0, {FAILED: 1})).buckets == ()
    assert tuple(engine.evaluate(after(0))) == ()
    assert evaluate.unread(level, prometheus=False) == NoData("needs_datapath")

    engine.observe(scrape(15, {FAILED: 1, Series(conventions.POLICY_VERDICTS, ()): 1}))
    (found,) = engine.evaluate(after(15))
    assert found.total == 1


def test_what_only_a_datapath_counts_as_bad_is_unknown_without_one() -> None:
    """Connections of a node without a prefilter are no proof that its rules are right."""
    missed = Series(conventions.PREFILTER_MISSED, labels({"rule": "192.0.2.0/24"}))
    level = slo(RatioIndicator(Selector(conventions.PREFILTER_MISSED), Selector("flows")), group_by=("node",))
    engine = Engine([level])
    for second, read in ((0, {FAILED: 1}), (15, {FAILED: 5})):
        assert engine.observe(scrape(second, read)).buckets == ()
    assert tuple(engine.evaluate(after(15))) == ()
    assert evaluate.unread(level, prometheus=False) == NoData("needs_datapath")

    engine.observe(scrape(30, {FAILED: 7, missed: 0}))
    engine.observe(scrape(45, {FAILED: 9, missed: 1}))
    engine.observe(scrape(60, {FAILED: 99}))
    (found,) = engine.evaluate(after(60))
    assert (int(found.bad), int(found.total)) == (1, 4)


def test_an_slo_without_groups_shows_before_its_first_reading() -> None:
    """With the reason why there is nothing to say."""
    (found,) = Engine([slo(group_by=())]).evaluate(after(0))

    assert found.sli == NoData("no_history")


def test_pruning_tells_what_no_window_needs_and_changes_nothing() -> None:
    """The store may drop what is older: minutes after twelve hours, five minutes after three days."""
    level = slo(window=4 * clock.DAY, policy=None)
    engine = Engine([level])
    traffic(engine, 0, 7200)
    before = tuple(engine.evaluate(after(7200)))

    assert engine.prune(after(7200)) == {
        clock.MINUTE: after(7200) - 12 * clock.HOUR,
        5 * clock.MINUTE: after(7200) - 3 * clock.DAY - clock.HOUR,
        clock.HOUR: after(7200) - 4 * clock.DAY,
        15 * clock.MINUTE: after(7200) - 4 * clock.DAY,
    }
    assert tuple(engine.evaluate(after(7200))) == before


def test_pruning_forgets_a_source_that_no_window_reaches() -> None:
    """Nodes come and go under new names: who was not read for so long begins anew, should it return."""
    engine = Engine([slo(window=4 * clock.DAY, policy=None)])
    for at, node in ((0, "gone"), (3_700, "silent"), (349_200, "here")):
        engine.observe(scrape(at, {DELIVERED: 1}, node=node))
    engine.prune(after(349_205))

    assert set(engine.read) == {"silent", "here"}


def test_readings_of_a_gauge_belong_to_their_own_moment() -> None:
    """Ten minutes nobody looked; then one of three tables is full: one of three readings of now is bad."""
    engine = Engine([slo(THRESHOLD, objective="99")])
    tables = [series("used", netns=name) for name in "abc"]
    engine.observe(scrape(0, dict.fromkeys(tables, "0.1")))
    engine.observe(scrape(600, {tables[0]: "0.9", tables[1]: "0.1", tables[2]: "0.1"}))

    (found,) = engine.evaluate(after(600))

    assert found.burn["5m"] == Measured(Fraction(1, 3) / Fraction(1, 100))
    assert found.burn["1h"] == Measured(Fraction(1, 6) / Fraction(1, 100))


def test_stored_minutes_of_an_slo_that_is_gone_are_left_aside() -> None:
    """They neither show nor fail the start, and neither do those of another definition."""
    level = slo()
    now = Bucket(level.name, NODE, after(0), Decimal(1), Decimal(1), 1, definition.of(level))
    gone, other = now._replace(slo="gone"), now._replace(definition="another")

    assert list(definition.current([level], [gone, other, now])) == [now]
    assert tuple(Engine([level], [gone]).evaluate(after(5))) == ()


SCRAPES = st.lists(
    st.tuples(
        st.integers(-20, 400),
        st.dictionaries(st.sampled_from([FAILED, DELIVERED]), st.integers(0, 100)),
        st.sampled_from(["0.1", "0.7", "NaN"]),
        st.booleans(),
    ),
    max_size=15,
)


@given(steps=SCRAPES, stops=st.sets(st.integers(0, 15)))
def test_stopping_anywhere_changes_nothing(
    steps: list[tuple[int, dict[Series, int], str, bool]], stops: set[int]
) -> None:
    """An engine restored from what observations left behind agrees with one that never stopped."""
    steady, mortal = Engine(LEVELS), Engine(LEVELS)
    kept: dict[Slot, Bucket] = {}
    cursors: dict[str, Cursor] = {}
    at = started = 0
    totals: dict[Series, int] = {}
    for number, (step, events, used, restarts) in enumerate(steps):
        at += step
        started, totals = (at, {}) if restarts else (started, totals)
        totals = {**totals, **{key: totals.get(key, 0) + more for key, more in events.items()}}
        one = scrape(at, {**totals, series("used", netns="a"): used}, started=started)
        if number in stops:
            mortal = Engine(LEVELS, kept.values(), cursors.values())
        seen = mortal.observe(one)
        kept |= by_slot(seen.buckets)
        cursors[seen.cursor.node] = seen.cursor
        unharmed = steady.observe(one)
        assert (unharmed.cursor, unharmed.notes) == (seen.cursor, seen.notes)
        # One that was restored tells anew of what it cannot know to be kept already.
        assert set(unharmed.buckets) <= {*seen.buckets, *kept.values()}

    restored = Engine(LEVELS, kept.values(), cursors.values())
    found = [tuple(engine.evaluate(after(at))) for engine in (restored, mortal, steady)]
    assert found[0] == found[1] == found[2]


def test_evaluations_are_those_of_the_single_groups_in_order() -> None:
    """By SLO name, then by group."""
    engine = Engine(LEVELS)
    engine.observe(scrape(0, {series("used", netns="b"): 0, series("used", netns="a"): 0}))

    found = engine.evaluate(after(1))

    assert [(one.slo.name, dict(one.group).get("netns")) for one in found] == [
        ("flow", None),
        ("headroom", "a"),
        ("headroom", "b"),
        ("latency", None),
    ]
    assert found.find("headroom", {"node": "n1", "netns": "b"}) is found[2]
    assert found.find("headroom", {"node": "n1"}) is None


def test_a_group_that_its_source_no_longer_knows_is_gone_after_an_hour() -> None:
    """A namespace ends: its level is left out, the other's stays; the minutes are kept for its return."""
    engine = Engine([slo(THRESHOLD, name="headroom", group_by=("netns", "node"))])
    for at in range(0, 7200, 60):
        stays, ends = series("used", netns="stays"), series("used", netns="ends")
        values: dict[Series, int | str] = {stays: "0.1"}
        engine.observe(scrape(at, values | ({ends: "0.1"} if at < 1800 else {})))
        found = [dict(one.group)["netns"] for one in engine.evaluate(after(at))]

        assert found == (["ends", "stays"] if at <= 1740 + 3600 else ["stays"])
    assert len(engine.groups(engine.slos[0])) == 2


def test_a_node_that_is_silent_is_not_gone() -> None:
    """Whole nodes stay, and so do the groups of a node that nobody could read."""
    levels = [slo(), slo(THRESHOLD, name="headroom", group_by=("netns", "node"))]
    engine = Engine(levels)
    for at in (0, 60, 120):
        engine.observe(scrape(at, {DELIVERED: at, series("used", netns="a"): "0.1"}))

    assert len(engine.evaluate(after(86_400))) == 2
    engine.observe(scrape(86_400, {}))
    assert [one.slo.name for one in engine.evaluate(after(86_400))] == ["flow"]


def test_a_node_that_is_not_read_any_more_is_gone() -> None:
    """It was given another name: its page must not stay for a window, and its past begin no other."""
    first = Engine([slo()])
    kept = [first.observe(scrape(at, {FAILED: at, DELIVERED: at})) for at in (0, 5)]
    buckets = {bucket.begin: bucket for seen in kept for bucket in seen.buckets}.values()

    renamed = Engine([slo()], buckets, [kept[-1].cursor], {"n2"})
    renamed.observe(scrape(10, {FAILED: 11, DELIVERED: 11}, node="n2"))

    assert [one.group for one in renamed.evaluate(after(10))] == [node_group("n2")]
    again = Engine([slo()], buckets, [kept[-1].cursor], {"n1"})
    assert [one.total for one in again.evaluate(after(10))] == [10]
