"""Reading a BPF ring buffer: what the kernel's programs put in, in order, without a library.

The kernel maps one page with our position, then one with its own, then the ring twice in a row, so that no
record is ever in two pieces. Each record has a header of two words: its length with two flags, and where its
page is (linux/bpf.h, kernel/bpf/ringbuf.c).
"""

import mmap
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from netsre.adapters.bpf.syscalls import BpfMap

_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_HEADER_BYTES: Final = 8

_T = TypeVar("_T")


class Ring:
    """One ring buffer, read by this object alone."""

    def __init__(self, ring: BpfMap) -> None:
        """Map a ring that we hold; raises `OSError`."""
        page = mmap.PAGESIZE
        self._size = ring.capacity
        self._ours = mmap.mmap(ring.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._theirs = mmap.mmap(ring.fd, page + 2 * self._size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        # Native words: each is read and written by one load or store.
        self._consumed = memoryview(self._ours)[:8].cast("Q")
        self._produced = memoryview(self._theirs)[:8].cast("Q")
        self._data = memoryview(self._theirs)[page:]
        self._words = self._data.cast("I")
        self._order = threading.Lock()

    def drain(self, decode: Callable[[memoryview], _T]) -> list[_T]:
        """Take out what is there now, at most one ring full; `decode` must not keep what it is given."""
        at, end = self._consumed[0], self._produced[0]
        whole: list[tuple[int, int]] = []
        while at < end:
            offset = at % self._size
            header = self._words[offset // 4]
            if header & _BUSY:
                # Its program has room and has not filled it yet; what comes after waits for it.
                break
            length = header & ~(_BUSY | _DISCARDED)
            if not header & _DISCARDED:
                begin = offset + _HEADER_BYTES
                whole.append((begin, begin + length))
            at += (_HEADER_BYTES + length + 7) // 8 * 8
        self._in_order()
        found = [decode(self._data[begin:end]) for begin, end in whole]
        self._in_order()
        self._consumed[0] = at
        return found

    def _in_order(self) -> None:
        """Keep what is read and written before apart from what is after, also on CPUs that would mix them.

        A lock that is let go and taken again does: a record is read after the word that says it is whole,
        and before the kernel is told that it may write there.
        """
        with self._order:
            pass
        with self._order:
            pass

    def close(self) -> None:
        """Let go of the memory; nothing can be read afterwards."""
        for view in (self._words, self._data, self._produced, self._consumed):
            view.release()
        self._ours.close()
        self._theirs.close()
