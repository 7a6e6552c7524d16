"""Maglev's table: which backend each slot belongs to (Eisenbud et al., NSDI 2016, section 3.4).

Each backend has an order of its own in which it would like the slots, and in turns each takes the next of its
order that is free. So all get as many, and when one leaves few slots of the others change hands. The order
follows from the name of the backend alone: every node makes the same table from the same backends.

Of the SHA-256 of the name, the first 8 bytes modulo the size are the first slot that a backend likes, and the
next 8 bytes modulo one less, plus 1, the step from each to the next; both big-endian. The size is prime, so
that every step leads through all slots.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

SIZE: Final = 16_381
"""Slots of a table, a prime number; Cilium's default."""

_FREE: Final = -1
_WORD: Final = (1 << 64) - 1


def table(weights: Mapping[str, int], size: int = SIZE) -> list[str]:
    """Return the name of the backend in each slot; see `owners`."""
    names = sorted(weights)
    return [names[owner] for owner in owners(weights, size)]


def owners(weights: Mapping[str, int], size: int = SIZE) -> list[int]:
    """Return whose each slot is, by place in the sorted names; `size` is a prime number.

    In round t, from 0 on, a backend takes a turn unless it has had more than t times its weight by the
    greatest: it has slots by its weight, of at least 1, and at least one. Raises `ValueError` for no backend,
    or more than slots.
    """
    if not 0 < len(weights) <= size:
        raise ValueError(f"{len(weights)} backends do not fit into {size} slots")
    greatest, found = max(weights.values()), [_FREE] * size
    each = [
        _turns(found, number, (weights[name], greatest), *_walk(name, size))
        for number, name in enumerate(sorted(weights))
    ]

    def taken(rounds: int) -> int:
        return sum((rounds - 1) * weight // greatest + 1 for weight in weights.values())

    whole = size * greatest // sum(weights.values()) + 1
    while taken(whole) > size:
        whole -= 1
    # Nobody looks at a turn: most of the time here is that of the interpreter between them.
    deque(islice(zip(*each, strict=True), whole), maxlen=0)
    left = size - taken(whole)
    for turns in each:
        if left:
            left -= next(turns)
    return found


def _turns(found: list[int], number: int, weight: tuple[int, int], slot: int, step: int) -> Iterator[bool]:
    """Take a slot in each turn, for ever, and yield whether one was: who has had more than its weight waits.

    `weight` is that of this backend, and the greatest of all.
    """
    ours, greatest = weight
    ahead, back = 0, step - len(found)
    while True:
        if ahead > 0:
            ahead -= ours
            yield False
            continue
        while found[slot] != _FREE:
            slot += back
            if slot < 0:
                slot += len(found)
        found[slot] = number
        ahead += greatest - ours
        yield True


def slot(cookie: int, size: int = SIZE) -> int:
    """Return the slot of a socket by its cookie, which the last step of MurmurHash3 spreads.

    `balance_slot` in `bpf/balance.c` is the same.
    """
    cookie ^= cookie >> 33
    cookie = cookie * 0xFF51AFD7ED558CCD & _WORD
    cookie ^= cookie >> 33
    cookie = cookie * 0xC4CEB9FE1A85EC53 & _WORD
    cookie ^= cookie >> 33
    return cookie % size


def _walk(name: str, size: int) -> tuple[int, int]:
    """Return the first slot that a backend likes, and the step to the next."""
    digest = hashlib.sha256(name.encode()).digest()
    first, step = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")
    return first % size, step % (size - 1) + 1
