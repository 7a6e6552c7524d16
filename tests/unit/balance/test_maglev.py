"""Maglev's table: everybody gets their share, few slots change hands, and all nodes agree."""

import hashlib
import random
from collections import Counter
from fractions import Fraction

import hypothesis
import pytest
from hypothesis import strategies

from netsre.datapath.balance import maglev
from netsre.model.balance.values import MOST_BACKENDS, MOST_WEIGHT
from tests import thorough

NAMES = strategies.integers(0, 2**32).map(lambda number: f"10.0.{number}:80")
WEIGHTS = strategies.dictionaries(NAMES, strategies.integers(1, MOST_WEIGHT), min_size=1, max_size=20)


def equal(count: int) -> dict[str, int]:
    """Return so many backends of one weight."""
    return {f"10.1.{number // 200}.{number % 200}:80": 1 for number in range(count)}


def test_the_size_is_prime_and_a_hundred_times_the_most_backends() -> None:
    """Otherwise a step would not lead through all slots, and shares would not be within 1 %."""
    assert all(maglev.SIZE % number for number in range(2, 128))
    assert 128**2 > maglev.SIZE >= 100 * MOST_BACKENDS


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, MOST_BACKENDS])
def test_equal_backends_have_equal_shares(count: int) -> None:
    """To one slot, which is within 1 % where there are a hundred slots for each."""
    slots = Counter(maglev.table(equal(count)))

    assert len(slots) == count
    assert set(slots.values()) <= {maglev.SIZE // count, maglev.SIZE // count + 1}
    assert all(abs(Fraction(have * count, maglev.SIZE) - 1) <= Fraction(1, 100) for have in slots.values())


@hypothesis.settings(max_examples=thorough.cases(60))
@hypothesis.given(WEIGHTS)
def test_shares_follow_weights(weights: dict[str, int]) -> None:
    """Within two slots above, and 1 % and one slot below; nobody is left out."""
    size = 2003
    slots = Counter(maglev.table(weights, size))

    assert set(slots) == set(weights)
    for name, weight in weights.items():
        share = Fraction(size * weight, sum(weights.values()))
        assert share * Fraction(99, 100) - 1 <= slots[name] <= share + 2


@hypothesis.settings(max_examples=thorough.cases(30))
@hypothesis.given(WEIGHTS, strategies.randoms(use_true_random=False))
def test_the_table_follows_from_names_and_weights_alone(
    weights: dict[str, int], chance: random.Random
) -> None:
    """In whatever order they are written."""
    names = list(weights)
    chance.shuffle(names)

    assert maglev.table({name: weights[name] for name in names}, 509) == maglev.table(weights, 509)


@pytest.mark.parametrize("count", [2, 3, 10, 40, MOST_BACKENDS])
def test_few_slots_change_hands_when_one_leaves(count: int) -> None:
    """Its own must; of those of the others at most one in fifty, where a modulo would move nearly all."""
    weights = equal(count)
    whole = maglev.table(weights)
    for gone in list(weights)[:: max(1, count // 5)]:
        without = maglev.table({name: 1 for name in weights if name != gone})
        moved = sum(before not in {gone, after} for before, after in zip(whole, without, strict=True))

        assert moved <= maglev.SIZE // 50
        assert gone not in without


def of_the_paper(names: list[str], size: int) -> list[str]:
    """Return the table as the pseudo-code of the paper makes it, from whole permutations."""
    permutation = []
    for name in names:
        digest = hashlib.sha256(name.encode()).hexdigest()
        offset, skip = int(digest[:16], 16) % size, int(digest[16:32], 16) % (size - 1) + 1
        permutation.append([(offset + j * skip) % size for j in range(size)])
    following, entry = [0] * len(names), [-1] * size
    filled = 0
    while True:
        for i in range(len(names)):
            c = permutation[i][following[i]]
            while entry[c] >= 0:
                following[i] += 1
                c = permutation[i][following[i]]
            entry[c] = i
            following[i] += 1
            filled += 1
            if filled == size:
                return [names[number] for number in entry]


@hypothesis.settings(max_examples=thorough.cases(30))
@hypothesis.given(strategies.lists(NAMES, min_size=1, max_size=20, unique=True), strategies.integers(1, 9))
def test_backends_of_one_weight_have_the_table_of_the_paper(names: list[str], weight: int) -> None:
    """Slot by slot, with the hash that is written down."""
    table = maglev.table(dict.fromkeys(names, weight), 211)

    assert table == of_the_paper(sorted(names), 211)


def test_the_table_is_the_same_on_every_node_for_ever() -> None:
    """A change of the hash would give every node another table than its neighbours'."""
    table = maglev.table({"192.0.2.1:80": 1, "192.0.2.2:80": 1, "192.0.2.3:80": 2}, 13)

    assert "".join(name[8] for name in table) == "3311322113323"


def test_cookies_that_count_up_are_spread_over_all_slots() -> None:
    """Sockets of one process, made one after the other, are given to all backends alike."""
    slots = Counter(maglev.slot(cookie, 101) for cookie in range(1, 101 * 200))

    assert len(slots) == 101
    assert max(slots.values()) < 2 * min(slots.values())


@pytest.mark.parametrize("count", [0, 8])
def test_what_makes_no_table_is_refused(count: int) -> None:
    """Nobody, or more than there are slots."""
    with pytest.raises(ValueError, match=f"{count} backends do not fit into 7 slots"):
        maglev.table(equal(count), 7)


def of_the_definition(weights: dict[str, int], size: int) -> list[str]:
    """Return the table turn by turn, as it is defined."""
    greatest, turn, slots = max(weights.values()), 0, [""] * size
    taken = dict.fromkeys(sorted(weights), 0)
    while True:
        for name, weight in ((name, weights[name]) for name in taken):
            if turn * weight < taken[name] * greatest:
                continue
            digest = hashlib.sha256(name.encode()).hexdigest()
            slot, skip = int(digest[:16], 16) % size, int(digest[16:32], 16) % (size - 1) + 1
            while slots[slot]:
                slot = (slot + skip) % size
            slots[slot] = name
            taken[name] += 1
            if all(slots):
                return slots
        turn += 1


@hypothesis.settings(max_examples=thorough.cases(100))
@hypothesis.given(WEIGHTS, strategies.sampled_from([23, 101, 211]))
def test_backends_of_any_weights_have_the_table_of_the_definition(weights: dict[str, int], size: int) -> None:
    """Slot by slot, also where the last round is not whole."""
    assert maglev.table(weights, size) == of_the_definition(weights, size)
