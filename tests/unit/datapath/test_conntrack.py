"""Conntrack statistics as kernels print them, and what is counted of them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.conntrack import (
    STATES,
    EventTotals,
    LargestSources,
    Statistics,
    parse_statistics,
    state_of,
)

_HEADER = (
    "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop "
    "icmp_error  expect_new expect_create expect_delete search_restart"
)
_TWO_CPUS = f"""{_HEADER}
0000001f  00000000 00000000 00000000 00000001 00000000 00000000 00000007 00000000 0000000a 00000002 00000100 \
00000000  00000000 00000000 00000000 00000000
0000001f  00000003 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000001 00000003 000000ff \
00000000  00000000 00000000 00000000 00000010
"""
_LEAST = "insert_failed drop early_drop"


def test_entries_are_the_total_and_every_other_column_is_an_event_of_each_cpu() -> None:
    """`entries` repeats the table's total on every line; adding it up would double it."""
    found = parse_statistics(_TWO_CPUS)

    assert found.entries == 31
    assert len(found.cpus) == 2
    assert set(found.cpus[0]) == set(_HEADER.split()) - {"entries", "chainlength"} | {"chaintoolong"}
    first, second = found.cpus
    assert (first["insert_failed"], second["insert_failed"]) == (10, 1)
    assert (first["early_drop"], second["early_drop"]) == (256, 255)
    assert (first["chaintoolong"], second["clashres"], second["search_restart"]) == (7, 3, 16)


def test_columns_are_found_by_name_and_those_of_other_kernels_are_events_too() -> None:
    """Another order and another set change nothing; a column that nobody knows is told by its own name."""
    text = "drop early_drop insert_failed entries searched brand_new\n1 2 3 4 5 a\n"

    event = {"drop": 1, "early_drop": 2, "insert_failed": 3, "searched": 5, "brand_new": 10}
    assert parse_statistics(text) == Statistics(4, (event,))


def test_what_the_kernel_does_not_count_is_absent_and_not_zero() -> None:
    """Columns that are printed for old readers only are no events."""
    found = parse_statistics(_TWO_CPUS, uncounted=frozenset({"new", "ignore", "delete"}))

    assert not {"new", "ignore", "delete"} & found.cpus[0].keys()
    assert len(found.cpus[0]) == 13


def test_names_and_their_number_are_bounded() -> None:
    """A name that is none of a column is no label, and there are at most 32."""
    many = [f"more_{number}" for number in range(60)]
    header = ["entries", *_LEAST.split(), 'x"}', "x" * 33, *many]
    found = parse_statistics(" ".join(header) + "\n" + "1 " * len(header))

    assert len(found.cpus[0]) == 32
    assert not {'x"}', "x" * 33} & found.cpus[0].keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line for any CPU"),
        (_HEADER, "no line for any CPU"),
        ("entries insert_failed drop\n1 2 3\n", "no column 'early_drop' on this kernel"),
        (f"{_LEAST}\n1 2 3\n", "no column 'entries' on this kernel"),
        (f"entries {_LEAST}\n1 2 3\n", "4 columns and a line of 3"),
        (f"entries {_LEAST}\n1 2 3 4\n1 2 3 4 5\n", "4 columns and a line of 5"),
        (f"entries {_LEAST}\nx 2 3 4\n", "invalid literal"),
    ],
)
def test_statistics_that_are_not_as_expected_are_an_error_and_never_a_zero(text: str, message: str) -> None:
    """A column that is missing is named."""
    with pytest.raises(ValueError, match=message):
        parse_statistics(text)


@pytest.mark.parametrize(("entries", "event", "used"), [(0, 0, False), (1, 0, True), (0, 1, True)])
def test_a_table_is_in_use_if_any_of_its_numbers_says_so(entries: int, event: int, *, used: bool) -> None:
    """Entries now, or anything that ever happened, on whichever CPU."""
    assert Statistics(entries, ({"drop": 0}, {"drop": event})).in_use is used


_TOP = (1 << 32) - 1


@pytest.mark.parametrize(
    ("what", "readings", "totals"),
    [
        ("what is older than the watch counts nowhere", [[5, 7]], [0]),
        ("what happens is summed over CPUs", [[5, 7], [6, 9], [6, 9], [106, 10]], [0, 3, 3, 104]),
        ("a CPU's counter wraps by itself", [[_TOP, 7], [1, 8], [2, 9]], [0, 3, 5]),
        ("again and again", [[0, 0], [1 << 30, 0], [1 << 31, 0], [3 << 30, 0], [0, 0], [7, 0]],
         [0, 1 << 30, 1 << 31, 3 << 30, 1 << 32, (1 << 32) + 7]),
        ("another table in its place begins anew", [[5, 70], [6, 71], [3, 2], [4, 2]], [0, 2, 5, 6]),
        ("a CPU whose line is gone", [[5, 7], [6, 9], [6], [7], [8, 20]], [0, 3, 3, 4, 4]),
        ("a CPU that comes back", [[5, 7], [9], [9, 30], [10, 31]], [0, 0, 0, 2]),
    ],
)  # fmt: skip
def test_events_add_up_whatever_the_cpus_do(what: str, readings: list[list[int]], totals: list[int]) -> None:
    """One event, by the numbers of each CPU: the total falls only where the table itself began anew."""
    watched = EventTotals(born=False)
    for reading, total in zip(readings, totals, strict=True):
        watched.add(tuple({"drop": value} for value in reading))
        assert watched.totals == {"drop": total}, what


def test_a_table_that_was_made_meanwhile_counts_from_its_beginning() -> None:
    """Its namespace did not exist before: all that it tells happened since."""
    watched = EventTotals(born=True)
    watched.add(({"drop": 2}, {"drop": 3}))
    assert watched.totals == {"drop": 5}
    watched.add(({"drop": 2}, {"drop": 4}))
    assert watched.totals == {"drop": 6}


@pytest.mark.parametrize(
    ("protocol", "status", "tcp_state", "state"),
    [
        (6, 0x2, 0, "tcp_none"),
        (6, 0x0, 1, "tcp_syn_sent"),
        (6, 0x2, 2, "tcp_syn_recv"),
        (6, 0x6, 3, "tcp_established"),
        (6, 0x6, 7, "tcp_time_wait"),
        (6, 0x6, 8, "tcp_close"),
        (6, 0x0, 9, "tcp_syn_sent2"),
        (6, 0x0, 10, "other"),
        (6, 0x0, 255, "other"),
        (17, 0x8, 0, "udp_unreplied"),
        (17, 0xA, 0, "udp_replied"),
        (17, 0xE, 0, "udp_assured"),
        (1, 0x2, 0, "icmp"),
        (58, 0x0, 0, "icmp"),
        (132, 0x6, 3, "other"),
        (47, 0x0, 0, "other"),
    ],
)
def test_states_have_the_names_of_the_kernel(protocol: int, status: int, tcp_state: int, state: str) -> None:
    """TCP by its state machine, UDP by what was answered, ICMP of both families, and the rest."""
    assert state_of(protocol, status, tcp_state) == state
    assert state in STATES


def _of_chunks(room: int, chunks: list[list[bytes]]) -> LargestSources:
    largest = LargestSources(room)
    for chunk in chunks:
        largest.add(Counter(chunk))
    return largest


_SOURCES = st.sampled_from([bytes([number]) for number in range(12)])


@given(st.integers(1, 12), st.lists(st.lists(_SOURCES, max_size=20), max_size=20))
def test_no_order_of_entries_has_a_source_counted_short_by_more_than_its_share(
    room: int, chunks: list[list[bytes]]
) -> None:
    """Never more than there is room for, and none counted above what it has; who has more is there."""
    largest = _of_chunks(room, chunks)
    true = Counter(source for chunk in chunks for source in chunk)

    assert len(largest.counts) <= room
    share = (true.total() - sum(largest.counts.values())) // (room + 1)
    for source, entries in true.items():
        assert entries - share <= largest.counts.get(source, 0) <= entries


def test_sources_that_there_is_room_for_are_counted_exactly() -> None:
    """In as many chunks as there are."""
    assert _of_chunks(2, [[b"a", b"b"], [b"a"], [b"b", b"a"]]).counts == {b"a": 3, b"b": 2}


def test_a_source_that_comes_back_again_and_again_is_counted_short_by_no_more_than_its_share() -> None:
    """Three of eight entries between others, with room for two: never forgotten for good."""
    chunks = [[b"a", other, other + b"x"] for other in (b"b", b"c", b"d")]

    assert _of_chunks(2, [*chunks, [b"a"]]).counts == {b"a": 1}
