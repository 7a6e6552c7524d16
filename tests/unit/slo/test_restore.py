"""Claims about a start: buckets in any order make one history, and each slot counts once."""

from collections.abc import Iterable
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.slo.buckets import Bucket
from netsre.slo.history import History
from tests.unit.slo.given import NODE, START, after

FIVE = 5 * clock.MINUTE
STEPS = (clock.MINUTE, FIVE, clock.HOUR)
Place = tuple[str, int, int]
"""Name of the SLO, length and begin."""
Numbers = tuple[Decimal, int, Decimal]
"""Events, minutes with a reading, bad events: in the order in which more is told from less."""

PLACES = st.one_of(
    [
        st.tuples(st.sampled_from(["a", "b"]), st.just(step), st.integers(0, 3 * clock.HOUR // step - 1))
        for step in STEPS
    ]
)
AMOUNTS = st.tuples(
    st.sampled_from(["1", "2", "2.5", "9000000000000"]), st.sampled_from(["0", "0.5", "1"]), st.integers(0, 1)
)


def bucket(place: tuple[str, int, int], amounts: tuple[str, str, int]) -> Bucket:
    """Return a bucket of the first three hours."""
    (slo, step, number), (total, bad, measured) = place, amounts
    begin = Timestamp(START + number * step)
    return Bucket(slo, NODE, begin, Decimal(bad), Decimal(total), measured, "what", step)


def numbers(buckets: Iterable[Bucket]) -> dict[Place, Numbers]:
    """Return what buckets say, by what they are of."""
    return {(one.slo, one.step, one.begin): (one.total, one.measured, one.bad) for one in buckets}


def made(stored: Iterable[Bucket]) -> dict[Place, Numbers]:
    """Return the coarser slots that minutes make, one after the other."""
    found: dict[Place, Numbers] = {}
    for one in stored:
        for step in STEPS[1:] if one.step == clock.MINUTE else ():
            place = one.slo, step, one.begin - one.begin % step
            total, measured, bad = found.get(place, (Decimal(0), 0, Decimal(0)))
            found[place] = total + one.total, measured + one.measured, bad + one.bad
    return found


@given(stored=st.dictionaries(PLACES, AMOUNTS, min_size=1, max_size=40), order=st.randoms())
def test_each_slot_holds_what_was_stored_or_what_its_minutes_make_in_whatever_order_they_come(
    stored: dict[tuple[str, int, int], tuple[str, str, int]], order: Random
) -> None:
    """The larger of both; what the disk lacks of slots that are over is handed out once."""
    kept = [bucket(place, amounts) for place, amounts in stored.items()]
    order.shuffle(kept)
    known, fresh = numbers(kept), made(kept)
    newest = max(one.begin for one in kept)
    true = {
        place: max((found for found in (fresh.get(place), known.get(place)) if found), key=lambda n: n[:2])
        for place in {**known, **fresh}
    }

    history = History(kept)

    assert numbers(history.held(Timestamp(0), Timestamp(START + clock.DAY))) == true
    owed = {place: found for place, found in true.items() if known.get(place) != found}
    over = {place: found for place, found in owed.items() if place[2] + place[1] <= newest}
    assert numbers(history.close(newest)) == over
    assert history.close(newest) == []


@pytest.mark.parametrize("total", ["3", "0.5"])
@pytest.mark.parametrize("between", [0, 1])
def test_a_slot_that_comes_twice_is_an_error(total: str, between: int) -> None:
    """Side by side or apart, whole events or not: it would count twice, and nobody would see it."""
    one = Bucket("flow", NODE, START, Decimal(0), Decimal(total), 1, "what")
    others = [one._replace(begin=after(60))] * between

    with pytest.raises(ValueError, match="came twice"):
        History([one, *others, one])


def test_the_end_of_what_was_read_is_that_of_the_finest_slot() -> None:
    """Of the groups of an SLO those that were read last, and of slots that begin together the shortest."""
    hour = Bucket("flow", NODE, START, Decimal(0), Decimal(1), 60, "what", clock.HOUR)
    minute = Bucket("flow", (("node", "n2"),), START, Decimal(0), Decimal(1), 1, "what")
    unread = Bucket("flow", NODE, after(600), Decimal(0), Decimal(1), 0, "what")

    assert History([hour, unread]).read_until({"flow"}) == {"flow": START + clock.HOUR}
    assert History([hour, minute, unread]).read_until({"flow"}) == {"flow": START + clock.MINUTE}
    assert History([unread]).read_until({"flow"}) == {}


@pytest.mark.parametrize("total", ["3", "3.5"])
def test_of_as_many_events_those_of_the_minutes_are_right(total: str) -> None:
    """The coarser slot differs in its bad events alone, and is handed out to be written over."""
    minute = Bucket("flow", NODE, START, Decimal(1), Decimal(total), 1, "what")
    five = minute._replace(bad=Decimal(2), step=FIVE)
    later = Bucket("flow", NODE, after(3600), Decimal(0), Decimal(1), 1, "what")

    history = History([five, minute, later])

    assert numbers(history.close(after(3600))) == {
        ("flow", step, START): (Decimal(total), 1, Decimal(1)) for step in (FIVE, clock.HOUR)
    }
