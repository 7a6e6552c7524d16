"""How long compiles of policies took: histograms by stage and result that only ever grow.

They are kept beside the policies, because most compiles end before anybody reads how long they took.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from netsre.datapath.buckets import COMPILE_BOUNDS

OK: Final = "ok"
ERROR: Final = "error"
LOAD: Final = "load"
SYNC: Final = "sync"
TOTAL: Final = "total"
"""Stages beside those of `compiler.Stage`; the last is from the change to its being active."""

_CELLS: Final = len(COMPILE_BOUNDS) + 1
_BOUNDS: Final = tuple(map(float, COMPILE_BOUNDS))


class Kind(NamedTuple):
    """What is counted apart."""

    stage: str
    result: str


class Took(NamedTuple):
    """All that there were of one kind."""

    counts: tuple[int, ...] = (0,) * _CELLS
    """By the bounds of `COMPILE_BOUNDS`, those beyond the last one at the end."""
    seconds: float = 0.0
    """The sum."""

    def including(self, seconds: float) -> "Took":
        """Return the same with one more."""
        at = bisect_left(_BOUNDS, seconds)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Took(counts, self.seconds + seconds)


Compiles = Mapping[Kind, Took]


def including(known: Compiles, seconds: Mapping[str, float], result: str) -> Compiles:
    """Return what is known with one compile more, by its stages."""
    more = {Kind(stage, result): took for stage, took in seconds.items()}
    added = {kind: known.get(kind, Took()).including(took) for kind, took in more.items()}
    return MappingProxyType({**known, **added})


def document(known: Compiles) -> list[dict[str, Any]]:
    """Return what JSON can carry."""
    return [
        {"stage": kind.stage, "result": kind.result, "counts": list(took.counts), "seconds": took.seconds}
        for kind, took in sorted(known.items())
    ]


def of(found: Iterable[Mapping[str, Any]]) -> Compiles:
    """Return the compiles of a document; raises `ValueError`, `KeyError` or `TypeError`.

    Those that were counted by other bounds are forgotten.
    """
    return MappingProxyType(
        {
            Kind(str(one["stage"]), str(one["result"])): Took(
                tuple(map(int, one["counts"])), float(one["seconds"])
            )
            for one in found
            if len(one["counts"]) == _CELLS
        }
    )
