"""How much of very many cases a run of the tests tries: a part chosen by a rule, and all in `make soak`."""

import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

VARIABLE: Final = "NETSRE_TEST_ALL"
"""What `make soak` sets in the environment to have all of them tried."""
ALL: Final = os.environ.get(VARIABLE) == "true"
NTH: Final = 10
_MORE: Final = 10
"""How many times as many cases made by chance are tried where all are."""


def some(names: Sequence[str], known: AbstractSet[str] = frozenset()) -> list[int]:
    """Return at which points of a life it is to end, by number, counted from 1.

    They are the first one of each name, unless it is known from a life before, and every tenth of all.
    """
    numbers = range(1, len(names) + 1)
    if ALL:
        return list(numbers)
    first = {name: number for number, name in reversed(list(enumerate(names, 1))) if name not in known}
    return sorted({*first.values(), *numbers[::NTH]})


def cases(usual: int) -> int:
    """Return how many cases are made by chance."""
    return _MORE * usual if ALL else usual
