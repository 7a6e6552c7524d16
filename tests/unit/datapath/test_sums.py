"""The values of a table, summed over the slots of all CPUs."""

import struct

import pytest

from netsre.datapath import flows


@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("cpus", [1, 2, 5])
@pytest.mark.parametrize("entries", [0, 1, 7])
def test_each_word_of_each_value_is_summed_by_itself(words: int, cpus: int, entries: int) -> None:
    """Every slot has a number of its own, so that none can stand for another, and none is left out."""
    numbers = iter(range(1, 1 + words * cpus * entries))
    values = [[[next(numbers) for _ in range(words)] for _ in range(cpus)] for _ in range(entries)]
    raw = b"".join(struct.pack(f"<{words}Q", *slot) for value in values for slot in value)
    expected = [[sum(slot[word] for slot in value) for value in values] for word in range(words)]

    assert [list(column) for column in flows.sums_per_cpu(raw, entries, words)] == expected
