"""The counters of the policy datapath: by what became of packets, and in which row of a table they are."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.datapath.policy import layouts
from netsre.datapath.policy.programs import COUNTS, FREE_ROWS, LAST_ROW, ROWS

MAPS: Final = (ROWS, COUNTS, LAST_ROW, FREE_ROWS)

_ONLY: Final = bytes(4)
_NONE: Final = bytes(layouts.LAST_ROW.size)


def read(maps: Mapping[str, BpfMap]) -> Mapping[bytes, bytes]:
    """Return what each counter has, of every CPU; raises `OSError`.

    One whose row was given to another while this was read is not there: it was taken out.
    """
    before = dict(maps[ROWS].entries())
    (last,) = layouts.LAST_ROW.unpack(maps[LAST_ROW].lookup(_ONLY) or _NONE)
    _, values, _ = maps[COUNTS].batch(None, int(last) + 1)
    counts = list(syscalls.split(values, maps[COUNTS].stride))
    after = before.items() & dict(maps[ROWS].entries()).items()
    rows = ((key, layouts.ROW.unpack(row)[0]) for key, row in after)
    # Of a row that was given after the last one was looked up, nothing is known yet.
    return {key: counts[row] for key, row in rows if row < len(counts)}


def take(maps: Mapping[str, BpfMap], keys: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Take counters out, and yield what each of them had; raises `OSError`.

    No connection leads to them, and every run of a program that has met one is over. A row is given back when
    nobody can count in it any more; who is killed before that costs the table this row.
    """
    taken = {key: row for key in keys if (row := maps[ROWS].take(key)) is not None}
    if taken:
        syscalls.wait_for_programs()
    for key, row in taken.items():
        counted = maps[COUNTS].lookup(row) or b""
        maps[COUNTS].put(row, bytes(maps[COUNTS].stride))
        maps[FREE_ROWS].push(row)
        yield key, counted
