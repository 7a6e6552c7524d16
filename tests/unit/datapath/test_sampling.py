"""How the share of the flow log follows what was counted: when more, for how long, and why."""

import itertools
from collections.abc import Iterator

import pytest

from netsre.datapath.sampling import MORE, USUAL, Sampling, Totals


def seconds(sampling: Sampling, *rates: tuple[int, int, int]) -> Iterator[tuple[int, str, int]]:
    """Run (seconds, delivered, failed a second) one after the other; yield (second, reason, one in)."""
    at = delivered = failed = 0
    for length, good, bad in rates:
        for _ in range(length):
            for half in (0.0, 0.5):
                sampling.turn(Totals(at + half, delivered, failed))
            at, delivered, failed = at + 1, delivered + good, failed + bad
            yield at, sampling.reason, sampling.one_in


def changes(sampling: Sampling, *rates: tuple[int, int, int]) -> list[tuple[int, str, int]]:
    """Return when the reason changed."""
    found = [(0, USUAL, sampling.one_in)]
    for each in seconds(sampling, *rates):
        if each[1] != found[-1][1]:
            found.append(each)
    return found[1:]


@pytest.mark.parametrize(
    "rates",
    [
        [(600, 100, 0)],
        [(600, 0, 0)],
        [(300, 1000, 3), (300, 1000, 5)],
        [(300, 100, 10), (300, 100, 20)],
        [(300, 1, 0), (1, 0, 4), (300, 1, 0)],
    ],
    ids=["quiet", "idle", "under-one-in-a-hundred", "twice-the-usual", "four-failures"],
)
def test_the_usual_share_stays_where_nothing_is_well_above_usual(rates: list[tuple[int, int, int]]) -> None:
    """Few failures, small shares of them, and what is bad every day are no reason."""
    assert changes(Sampling(100), *rates) == []


def test_an_outage_brings_ten_times_as_many_within_seconds_and_ends_after_it() -> None:
    """From the failure on until a minute after the last seconds that were bad."""
    assert changes(Sampling(100), (300, 100, 0), (30, 50, 50), (300, 100, 0)) == [
        (302, MORE, 10),
        (398, USUAL, 100),
    ]


def test_what_does_not_end_becomes_the_usual_after_five_minutes() -> None:
    """The log does not stay large because nobody mends it; it can begin again when it was mended."""
    found = changes(Sampling(100), (600, 100, 0), (900, 98, 2), (1000, 100, 0), (20, 50, 50))

    assert [(reason, one_in) for _, reason, one_in in found[:2]] == [(MORE, 10), (found[1][1], 100)]
    assert found[0][0] == 606
    assert found[1][0] - found[0][0] <= 301
    assert found[-1][1:] == (MORE, 10)


def test_failures_that_stay_above_their_usual_for_long_are_named_so() -> None:
    """A share that keeps rising is above its usual for ever, and the larger sample ends all the same."""
    rising = [(10, 1_000_000 // 2**step, 2**step) for step in range(5, 60)]
    found = changes(Sampling(100), (600, 1_000_000, 0), *rising)

    assert (MORE, 10) in [(reason, one_in) for _, reason, one_in in found]
    longest = max(end[0] - begin[0] for begin, end in itertools.pairwise(found) if begin[1] == MORE)
    assert longest <= 300


@pytest.mark.parametrize(("usual", "more"), [(0, 0), (1, 1), (5, 1), (10, 1), (1_000, 100)])
def test_none_stays_none_and_all_stays_all(usual: int, more: int) -> None:
    """Whoever wants no delivered attempt gets none; there is no more than all of them."""
    sampling = Sampling(usual)
    found = list(seconds(sampling, (100, 100, 0), (20, 0, 100)))

    assert found[-1][1:] == (MORE, more)


def test_nothing_is_above_a_usual_that_nobody_knows_yet() -> None:
    """An agent that starts into an outage logs the failures, and the usual share of the rest."""
    assert changes(Sampling(100), (300, 50, 50)) == []
    assert changes(Sampling(100), (60, 100, 0), (300, 50, 50))[0][1] == MORE
