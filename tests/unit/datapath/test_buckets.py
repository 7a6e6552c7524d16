"""The cells that times are counted in: their ends, how C finds one, and what they add up to."""

import subprocess
from bisect import bisect_left
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.app.resources import directory
from netsre.datapath.buckets import (
    CLASSIC,
    CLASSIC_AND_NATIVE,
    CONNECT_BOUNDS,
    NATIVE_SCHEMA,
    STALL_SECONDS,
    ZERO_THRESHOLD,
    Cells,
)
from netsre.datapath.flows import UNKNOWN_BUCKET
from netsre.datapath.tcp import DETAILS

EITHER: Final = pytest.mark.parametrize("cells", [CLASSIC, CLASSIC_AND_NATIVE], ids=["classic", "native"])
LONGEST_RTT_NS: Final = (2**32 - 1) // 8 * 1000
TIMES: Final = st.one_of(
    st.integers(0, LONGEST_RTT_NS),
    st.sampled_from(CLASSIC_AND_NATIVE.ends_ns[:-1]).flatmap(lambda end: st.integers(end - 2, end + 2)),
)
_PROGRAM: Final = """
#include <stdio.h>
#include <linux/types.h>
#include "buckets.h"
int main(void) {
  unsigned long long ns;
  while (scanf("%llu", &ns) == 1) printf("%d\\n", bucket_of(ns));
  return 0;
}
"""


def native_bucket(ns: int) -> int | None:
    """Return the bucket of a time as it is defined: the least n with time <= 2^(n/4); None for zero."""
    with localcontext(prec=60):
        seconds = Decimal(ns) / 10**9
        if seconds <= Decimal(ZERO_THRESHOLD):
            return None
        per_doubling = 2**NATIVE_SCHEMA
        fourth = seconds**per_doubling
        number = -16 * per_doubling
        while fourth > Decimal(2) ** number:
            number += 1
        return number


def counted(cells: Cells, times: list[int]) -> list[int]:
    """Count as the kernel does."""
    counts = [0] * cells.number
    for ns in times:
        counts[bisect_left(cells.ends_ns, ns)] += 1
    return counts


@EITHER
def test_ends_ascend_and_their_numbers_fit_the_kernels_tables(cells: Cells) -> None:
    """One byte holds every number, with one left for no latency; and it is a detail of a TCP event."""
    assert all(before < after for before, after in pairwise(cells.ends_ns))
    assert cells.number <= min(UNKNOWN_BUCKET, DETAILS)


def test_the_classic_cells_are_the_bounds_that_people_know() -> None:
    """In whole nanoseconds, without a float's error."""
    assert [Decimal(end) / 10**9 for end in CLASSIC.ends_ns] == list(CONNECT_BOUNDS)


def test_whatever_is_timed_has_a_finite_native_bucket() -> None:
    """An attempt stalls long before, and the kernel's 32 bits hold no longer round-trip time."""
    assert CLASSIC_AND_NATIVE.ends_ns[-1] >= max(STALL_SECONDS * 10**9, LONGEST_RTT_NS)


@pytest.mark.requires("cc")
@EITHER
def test_c_finds_the_cell_of_every_end_and_its_neighbours(cells: Cells, tmp_path: Path) -> None:
    """Compiled by the host's compiler: an end belongs to its cell, one more nanosecond does not."""
    source = tmp_path / "bucket.c"
    source.write_text(_PROGRAM, encoding="ascii")
    defines = [f"-D{name}={value}" for name, value in cells.defines().items()]
    include = f"-I{directory('bpf') / 'include'}"
    command = [
        "cc",
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
        include,
        *defines,
        "-o",
        str(tmp_path / "b"),
        str(source),
    ]
    subprocess.run(command, check=True)
    times = [0, *(end + more for end in cells.ends_ns for more in (-1, 0, 1)), 2**64 - 1]
    given = "\n".join(map(str, times))
    found = subprocess.run([tmp_path / "b"], input=given, capture_output=True, text=True, check=True).stdout

    assert list(map(int, found.split())) == [bisect_left(cells.ends_ns, ns) for ns in times]


@EITHER
@given(times=st.lists(TIMES))
def test_classic_buckets_are_exact_sums_of_cells(cells: Cells, times: list[int]) -> None:
    """As if each time had been compared with each bound."""
    bounds = [*CONNECT_BOUNDS, Decimal("Infinity")]
    expected = tuple(sum(Decimal(ns) / 10**9 <= bound for ns in times) for bound in bounds)

    assert cells.cumulative(counted(cells, times)) == expected


@given(times=st.lists(TIMES))
def test_native_buckets_are_exact_sums_of_cells(times: list[int]) -> None:
    """As if each time had been put into its bucket by exact arithmetic."""
    numbers = [native_bucket(ns) for ns in times]
    native = CLASSIC_AND_NATIVE.native(counted(CLASSIC_AND_NATIVE, times))

    assert native is not None
    assert native.zero == numbers.count(None)
    assert list(native.buckets.items()) == [
        (number, numbers.count(number)) for number in sorted({one for one in numbers if one is not None})
    ]


def test_what_is_beyond_all_ends_is_in_the_infinite_bucket() -> None:
    """Nothing that is timed is; but what is counted is never in too low a bucket."""
    native = CLASSIC_AND_NATIVE.native([0] * (CLASSIC_AND_NATIVE.number - 1) + [3])

    assert native is not None
    assert (native.zero, native.buckets) == (0, {4097: 3})


def test_classic_cells_make_no_native_histogram() -> None:
    """Rather none than one whose buckets are estimates."""
    assert CLASSIC.native([0] * CLASSIC.number) is None
