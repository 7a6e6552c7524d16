"""Samples of a store become the scrapes that they were, and what is doubtful is said."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from hypothesis import given as always
from hypothesis import strategies as st

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.model.samples import RecordedSeries, Scrape, Series, labels
from netsre.slo import targets
from netsre.slo.engine import Engine
from netsre.slo.targets import Chunk, Doubt, Reading, Scrapes
from tests.unit.slo import given

COUNTERS = frozenset({"flows"})
MINUTES = (0, 60, 120, 180)


def series(name: str = "flows", **pairs: str) -> Series:
    """Return a series of the agent on `n1`."""
    return Series(name, labels({"job": "agents", "instance": "n1", **pairs}))


FAILED = series(outcome="failed")
DELIVERED = series(outcome="delivered")
OWN_FAILED = Series("flows", labels({"outcome": "failed"}))
OWN_DELIVERED = Series("flows", labels({"outcome": "delivered"}))
"""As the agent shows them: job and instance are not its own."""
UP = series("up")
START = series(conventions.PROCESS_START_TIME)


def recorded(of: Series, samples: Iterable[tuple[float, int | float | str]]) -> RecordedSeries:
    """Return a series with a value so many seconds after `START`."""
    return RecordedSeries(
        of, tuple((given.after(seconds), Decimal(str(value))) for seconds, value in samples)
    )


def began_at(seconds: float) -> float:
    """Return so many seconds after `START` as a process says it."""
    return given.START / clock.SECOND + seconds


def up(*seconds: float, value: int = 1) -> RecordedSeries:
    """Return that the target was read at these moments."""
    return recorded(UP, [(at, value) for at in seconds])


def read(
    *chunks: Chunk, known: Iterable[Series] = (FAILED, DELIVERED), label: str = "instance"
) -> tuple[list[Reading], tuple[Doubt, ...]]:
    """Return the scrapes of some chunks, and the doubts."""
    scrapes = Scrapes(label, known, COUNTERS, frozenset({"outcome"}))
    return [reading for chunk in chunks for reading in scrapes.read(chunk)], scrapes.doubts


def times(readings: Iterable[Reading]) -> list[float]:
    """Return when the scrapes were, in seconds after `START`."""
    return [(reading.scrape.at - given.START) / clock.SECOND for reading in readings]


def firsts(readings: Iterable[Reading]) -> list[float]:
    """Return when a target was read for the first time."""
    return times(reading for reading in readings if reading.first)


def test_a_scrape_is_all_that_a_target_showed_at_one_moment() -> None:
    """Two series of one time are one scrape, under the name of the node, in the order of time."""
    chunk = Chunk(
        (recorded(FAILED, [(60, 1), (120, 2)]), recorded(DELIVERED, [(120, 9)])),
        (up(60, 120),),
        (recorded(START, [(60, 1_767_225_500.25), (120, 1_767_225_500.25)]),),
    )
    (first, second), doubts = read(chunk)
    started = Timestamp(1_767_225_500_250)

    assert doubts == ()
    assert first.scrape == Scrape(given.after(60), "n1", started, {OWN_FAILED: Decimal(1)})
    assert second.scrape == Scrape(
        given.after(120), "n1", started, {OWN_FAILED: Decimal(2), OWN_DELIVERED: Decimal(9)}
    )
    assert [first.first, second.first] == [True, False]


def test_a_target_that_was_read_and_showed_nothing_was_read() -> None:
    """Silence of the counters is no gap where `up` is 1; where it is 0 or missing, nobody was there."""
    failures = recorded(UP, [(0, 1), (60, 0), (180, 1)])
    readings, _ = read(Chunk((recorded(FAILED, [(180, 5)]),), (failures,), ()))

    assert times(readings) == [0, 180]
    assert readings[0].scrape.values == {}


def test_without_up_the_samples_say_when_a_target_was_read() -> None:
    """What was written by another program than Prometheus may have none."""
    readings, _ = read(Chunk((recorded(FAILED, [(0, 1), (60, 1)]),), (), ()))

    assert times(readings) == [0, 60]


def test_targets_without_a_series_of_ours_are_no_nodes() -> None:
    """A job may scrape much else: a node without any of these series would only be noise."""
    other = Series("up", labels({"job": "agents", "instance": "n2"}))
    readings, _ = read(Chunk((), (up(*MINUTES), recorded(other, [(0, 1)])), ()))

    assert {reading.scrape.node for reading in readings} == {"n1"}


def test_another_label_of_the_target_begins_it_anew_unless_its_start_says_more() -> None:
    """Counted twice it never is; the same process goes on, and one that began since is a restart."""
    flows, alive, start = (
        series(name, team="network", **more)
        for name, more in (("flows", {"outcome": "failed"}), ("up", {}), (conventions.PROCESS_START_TIME, {}))
    )

    def begun(before: Sequence[float], after: Sequence[float]) -> list[float]:
        """Return the first scrapes when the process began then, as told before and after the change."""
        chunk = Chunk(
            (recorded(FAILED, [(0, 100), (60, 101)]), recorded(flows, [(120, 102), (180, 103)])),
            (up(0, 60), recorded(alive, [(120, 1), (180, 1)])),
            (
                recorded(START, [(at, began_at(began)) for at in (0, 60) for began in before]),
                recorded(start, [(at, began_at(began)) for at in (120, 180) for began in after]),
            ),
        )
        readings, doubts = read(chunk)
        assert doubts == ()
        assert set(readings[-1].scrape.values) == {OWN_FAILED}
        # The start of the one is never told of the other.
        assert readings[-1].scrape.started_at == (given.after(after[0]) if after else 0)
        return firsts(readings)

    assert begun((), ()) == [0, 120]
    assert begun((-100,), ()) == [0, 120]
    assert begun((), (-100,)) == [0, 120]
    assert begun((-100,), (-100,)) == [0]
    assert begun((-100,), (-50,)) == [0, 120]
    assert begun((-100,), (90,)) == [0]
    assert begun((), (90,)) == [0]


def test_a_counter_whose_series_all_changed_their_labels_begins_anew() -> None:
    """Relabelling of the series alone leaves the target as it was; a restart explains the change."""
    renamed = series(outcome="failed", zone="a")
    followed = (recorded(FAILED, [(0, 100), (60, 101)]), recorded(renamed, [(120, 102), (180, 103)]))
    same_life = tuple((at, 1_767_225_000) for at in MINUTES)
    new_life = ((0, 1_767_225_000), (60, 1_767_225_000), (120, 1_767_225_700), (180, 1_767_225_700))

    assert firsts(read(Chunk(followed, (up(*MINUTES),), (recorded(START, same_life),)))[0]) == [0, 120]
    assert firsts(read(Chunk(followed, (up(*MINUTES),), (recorded(START, new_life),)))[0]) == [0]


def test_a_series_that_joins_others_is_born() -> None:
    """One more outcome is no new name for the old one, also when it comes with the next chunk."""
    earlier = Chunk((recorded(FAILED, [(0, 1), (60, 1)]),), (up(0, 60),), ())
    later = Chunk((recorded(FAILED, [(120, 1)]), recorded(DELIVERED, [(120, 7)])), (up(120),), ())

    assert firsts(read(earlier, later)[0]) == [0]


def test_a_start_that_becomes_known_is_no_restart() -> None:
    """Without it a life cannot be told from the next: what was counted so far is not counted again."""
    start = recorded(START, [(120, 1_767_225_000)])
    readings, _ = read(Chunk((recorded(FAILED, [(at, 100) for at in MINUTES]),), (up(*MINUTES),), (start,)))

    assert firsts(readings) == [0, 120]
    assert readings[-1].scrape.started_at == 1_767_225_000_000


def test_a_start_that_is_no_time_is_none() -> None:
    """NaN, zero, and a year with five digits are not when a process began."""
    starts = recorded(START, [(0, "NaN"), (60, 0), (120, -5), (180, 10**15)])
    readings, _ = read(Chunk((recorded(FAILED, [(at, 1) for at in MINUTES]),), (up(*MINUTES),), (starts,)))

    assert {reading.scrape.started_at for reading in readings} == {0}


def test_two_targets_that_take_turns_under_one_node_are_doubted() -> None:
    """Two replicas of a Prometheus, or two jobs: their events would count twice."""
    replicas = {"a": [(0, 1), (60, 2)], "b": [(5, 1), (65, 2)]}
    twins = [recorded(series(replica=name), samples) for name, samples in replicas.items()]
    ups = [
        recorded(series("up", replica=name), [(at, 1) for at, _ in samples])
        for name, samples in replicas.items()
    ]
    _, doubts = read(Chunk(tuple(twins), tuple(ups), ()))

    assert [(doubt.reason, doubt.node) for doubt in doubts] == [(targets.AMBIGUOUS_TARGET, "n1")]
    assert 'replica="a"' in doubts[0].about
    assert 'replica="b"' in doubts[0].about


def test_a_target_that_comes_back_after_a_while_is_not_doubted() -> None:
    """A change of its labels that was taken back: each time it begins anew."""
    other = series(outcome="failed", team="x")
    away = [(at, 5) for at in range(120, 600, 60)]
    chunk = Chunk(
        (recorded(FAILED, [(0, 1), (60, 2), (600, 9), (660, 10)]), recorded(other, away)),
        (up(0, 60, 600, 660), recorded(series("up", team="x"), [(at, 1) for at, _ in away])),
        (),
    )
    readings, doubts = read(chunk)

    assert doubts == ()
    assert firsts(readings) == [0, 120, 600]


def test_samples_that_contradict_each_other_are_doubted() -> None:
    """The same sample twice is one; another value of the same time, and a time that falls, are no order."""
    harmless = recorded(FAILED, [(0, 1), (0, 1), (60, "NaN"), (60, "NaN")])
    readings, doubts = read(Chunk((harmless,), (), ()))
    assert doubts == ()
    assert times(readings) == [0, 60]

    for wrong in ([(0, 1), (0, 2)], [(60, 2), (0, 1)]):
        _, doubts = read(Chunk((recorded(FAILED, wrong),), (), ()))
        assert [(doubt.reason, doubt.name) for doubt in doubts] == [(targets.CONTRADICTORY_SAMPLES, "flows")]
        # Of what decides which scrapes there were, it puts everything in doubt.
        _, doubts = read(Chunk((), (recorded(UP, wrong),), ()))
        assert [(doubt.reason, doubt.name) for doubt in doubts] == [(targets.CONTRADICTORY_SAMPLES, None)]


def test_series_of_nobody_are_doubted() -> None:
    """Sums over many nodes have no instance: which counters restarted with which agent is lost."""
    summed = Series("flows", labels({"outcome": "failed", "job": "agents"}))
    readings, doubts = read(Chunk((recorded(summed, [(0, 1)]),), (up(0),), ()), known=(summed,))

    assert readings == []
    assert [(doubt.reason, doubt.name) for doubt in doubts] == [(targets.NO_NODE_LABEL, "flows")]


def test_a_label_change_loses_an_interval_and_counts_nothing_twice() -> None:
    """100 failures were long ago: of three intervals the one of the change is not counted."""
    renamed = series(outcome="failed", team="network")
    chunk = Chunk(
        (recorded(FAILED, [(0, 100), (60, 101)]), recorded(renamed, [(120, 102), (180, 103)])),
        (up(0, 60), recorded(series("up", team="network"), [(120, 1), (180, 1)])),
        (),
    )
    engine = Engine([given.slo()])
    for reading in read(chunk)[0]:
        engine.observe(reading.scrape, first=reading.first)

    assert [evaluation.bad for evaluation in engine.evaluate(given.after(200))] == [2]


BORN = [Series("flows", labels({"outcome": "failed", "reason": reason})) for reason in ("reset", "stalled")]
SHOWN = st.fixed_dictionaries(
    {OWN_FAILED: st.integers(0, 9)},
    optional={OWN_DELIVERED: st.integers(0, 9), **dict.fromkeys(BORN, st.integers(0, 9))},
)


@always(
    st.lists(st.tuples(st.integers(1, 400), SHOWN, st.booleans()), min_size=1, max_size=12),
    st.integers(1, 900),
)
def test_scrapes_come_back_as_they_were_however_they_are_cut(
    life: list[tuple[int, dict[Series, int], bool]], length: int
) -> None:
    """Late, missing, after a restart, with any series there or not: what a live agent showed, and no more."""
    at, started, shown = given.START, given.after(-100), []
    for gap, values, restarts in life:
        at = Timestamp(at + gap * clock.SECOND)
        started = Timestamp(at - clock.SECOND) if restarts else started
        exact = {one: Decimal(value) for one, value in values.items()}
        shown.append(Scrape(at, "n1", started, exact))
    cuts = range(given.START, at + 1, length * clock.SECOND)
    chunks = [_kept([one for one in shown if cut < one.at <= cut + length * clock.SECOND]) for cut in cuts]
    readings, doubts = read(*chunks)

    assert [reading.scrape for reading in readings] == shown
    assert [reading.first for reading in readings] == [True] + [False] * (len(shown) - 1)
    assert doubts == ()


def _kept(shown: list[Scrape]) -> Chunk:
    """Return some scrapes as a store keeps them: by series, with the labels of the target."""
    followed = sorted({one for scrape in shown for one in scrape.values}, key=str)
    samples = {
        one: tuple((scrape.at, scrape.values[one]) for scrape in shown if one in scrape.values)
        for one in followed
    }
    starts = tuple((scrape.at, Decimal(scrape.started_at) / clock.SECOND) for scrape in shown)
    return Chunk(
        tuple(RecordedSeries(series(one.name, **dict(one.labels)), samples[one]) for one in followed),
        (RecordedSeries(UP, tuple((scrape.at, Decimal(1)) for scrape in shown)),),
        (RecordedSeries(START, starts),),
    )
