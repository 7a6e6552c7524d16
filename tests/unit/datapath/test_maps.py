"""Which series come of which maps."""

import pytest

from netsre.conventions import OTHER
from netsre.datapath.commands import owner_of, printable
from netsre.datapath.maps import MapFacts, MapSeries, MapState, series


def state(number: int, name: str = "m", owner: str = "o", entries: int | None = 1, kind: int = 1) -> MapState:
    """Return a map of ten entries and as many bytes as its number."""
    return MapState(MapFacts(number, name, kind, 4, 8, 10, number), owner, entries)


def test_equal_name_and_owner_are_one_series() -> None:
    """What adds up is summed; the pressure is that of the fullest."""
    [one] = series([state(1, entries=9), state(2, entries=1)])

    assert one == MapSeries("m", "o", 2, 10, 20, 3, 0.9, 0.9)


def test_a_sum_of_which_a_part_is_unknown_is_unknown() -> None:
    """No number is better than one that is too small; the pressure that is known is told."""
    [one] = series([state(1, entries=9), state(2, entries=None)])

    assert (one.entries, one.capacity, one.pressure) == (None, 20, 0.9)


def test_an_array_is_full_by_nature_and_under_no_pressure() -> None:
    """Its entries are its capacity, counted or not."""
    [one] = series([state(1, entries=None, kind=2)])

    assert (one.entries, one.capacity, one.pressure) == (10, 10, None)


@pytest.mark.parametrize("kind", [9, 10])
def test_a_table_that_evicts_is_never_exhausted(kind: int) -> None:
    """A full cache is as it should be; a plain table of the same name still counts."""
    [cache] = series([state(1, entries=10, kind=kind)])
    [mixed] = series([state(1, entries=10, kind=kind), state(2, entries=4)])

    assert (cache.pressure, cache.exhaustion) == (1.0, None)
    assert (mixed.pressure, mixed.exhaustion) == (1.0, 0.4)


@pytest.mark.parametrize("kind", [27, 33])
def test_a_size_in_bytes_is_no_capacity(kind: int) -> None:
    """A ring buffer or an arena has memory, and nothing else that could be told."""
    [one] = series([state(1, entries=None, kind=kind)])

    assert (one.entries, one.capacity, one.memory_bytes, one.pressure) == (None, None, 1, None)


def test_beyond_the_bound_the_smallest_are_one_series() -> None:
    """The largest by memory keep their names; nothing is lost."""
    found = series([state(n, name=f"m{n}", entries=n) for n in range(1, 6)], most=2)

    assert [one.name for one in found] == ["m4", "m5", OTHER]
    assert found[-1] == MapSeries(OTHER, OTHER, 3, 6, 30, 6, 0.3, 0.3)


@pytest.mark.parametrize(
    ("command", "owner"),
    [
        (b"cilium-agent\0\0\0\0", "cilium-agent"),
        (b"netsre\0junk", "comm:netsre"),
        (b"netsre2", "netsre2"),
        (b"~kernel", "comm:~kernel"),
        (b"pinned:x", "comm:pinned:x"),
        (b"comm:netsre", "comm:comm:netsre"),
        (b"\xc3\xa9t\xc3\xa9", "\u00e9t\u00e9"),
        (b"\xff\n\t", "\\xff\\x0a\\x09"),
        ("\u202egpj".encode(), "\\u202egpj"),
    ],
)
def test_a_command_name_is_an_owner_that_nobody_can_forge(command: bytes, owner: str) -> None:
    """Names of ours and markers give way, and what is not printable is an escape."""
    assert owner_of(command) == owner


def test_printable_text_is_left_alone() -> None:
    """Backslashes and quotes are the exposition's business."""
    assert printable(b'a\\b"c') == 'a\\b"c'
