"""Conntrack statistics as kernels print them."""

import pytest

from netsre.datapath.conntrack import ConntrackCounters, parse_statistics

_HEADER = (
    "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop "
    "icmp_error  expect_new expect_create expect_delete search_restart"
)
_TWO_CPUS = f"""{_HEADER}
0000001f  00000000 00000000 00000000 00000001 00000000 00000000 00000000 00000000 0000000a 00000002 00000100 \
00000000  00000000 00000000 00000000 00000000
0000001f  00000000 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000001 00000003 000000ff \
00000000  00000000 00000000 00000000 00000000
"""


def test_entries_are_the_total_and_the_rest_is_summed_over_cpus() -> None:
    """`entries` repeats the table's total on every line; adding it up would double it."""
    assert parse_statistics(_TWO_CPUS) == ConntrackCounters(
        entries=31, insert_failed=11, drops=5, early_drops=511
    )


def test_columns_are_found_by_name() -> None:
    """Another kernel's order and set of columns change nothing."""
    text = "drop early_drop insert_failed entries\n1 2 3 4\n"

    assert parse_statistics(text) == ConntrackCounters(entries=4, insert_failed=3, drops=1, early_drops=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line for any CPU"),
        (_HEADER, "no line for any CPU"),
        ("entries insert_failed drop\n1 2 3\n", "no column 'early_drop' on this kernel"),
        ("entries insert_failed drop early_drop\n1 2 3\n", "no column 'early_drop' on this kernel"),
        ("entries insert_failed drop early_drop\nx 2 3 4\n", "invalid literal"),
    ],
)
def test_statistics_that_are_not_as_expected_are_an_error_and_never_a_zero(text: str, message: str) -> None:
    """A column that is missing is named."""
    with pytest.raises(ValueError, match=message):
        parse_statistics(text)
