"""A program that drops blocked sources, with maps of its own: made from a template, attached once.

The template is compiled once. Each attachment gets an instance, so that a program knows its interface by
being on it, whatever the interface is called or numbered in its namespace.
"""

import base64
import contextlib
import errno
import os
import time
from dataclasses import dataclass, field
from typing import Any, Final

from netsre.adapters.bpf import programs, syscalls
from netsre.adapters.bpf.syscalls import BpfMap, MapFull, MapShape
from netsre.datapath import block
from netsre.datapath.block import NOTHING, Drops

_FIRST: Final = 1 << 3
"""Before every other program: one that redirects would leave nothing to drop."""
_GENERIC: Final = 1 << 1
"""In the kernel's own path: a driver would reset its queues to take a program, amid an incident."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A place where packets come in, and how a program gets there."""

    name: str
    """As the metrics call it."""
    function: str
    """In the source."""
    program_type: str
    """As the metrics call it."""
    kind: programs.Kind
    attach_type: int
    """Of `enum bpf_attach_type`."""
    flags: int


TC_INGRESS: Final = Hook("tc_ingress", "block_tc", "sched_cls", programs.SCHED_CLS, 46, _FIRST)
XDP: Final = Hook("xdp", "block_xdp", "xdp", programs.XDP, 37, _GENERIC)
HOOKS: Final = (TC_INGRESS, XDP)
"""The better first: TC links (Linux 6.6) share an interface with others, XDP has it alone."""

MAPS: Final = {
    "blocked": (MapShape(syscalls.HASH, block.SOURCE_BYTES, block.BLOCK.size), block.MAX_BLOCKED),
    "block_drops": (MapShape(syscalls.PERCPU_ARRAY, 4, block.DROPS.size), block.MAX_BLOCKED),
    "unparsed": (MapShape(syscalls.PERCPU_ARRAY, 4, block.UNPARSED.size), 1),
}
"""Shape and capacity of each map of an instance; a template numbers them in this order."""


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled program that waits for its maps."""

    hook: Hook
    instructions: bytes
    """Maps are named by their place in `MAPS`."""
    verifier_seconds: float
    verifier_instructions: int
    """What the verifier took when it was tried at the start."""

    def document(self) -> dict[str, str | float | int]:
        """Return this as JSON can carry it."""
        return {
            "hook": self.hook.name,
            "instructions": base64.b64encode(self.instructions).decode(),
            "verifier_seconds": self.verifier_seconds,
            "verifier_instructions": self.verifier_instructions,
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Template":
        """Return the template of a document."""
        return cls(
            next(hook for hook in HOOKS if hook.name == document["hook"]),
            base64.b64decode(document["instructions"]),
            float(document["verifier_seconds"]),
            int(document["verifier_instructions"]),
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """A loaded instance; nothing is attached yet, and it costs nothing."""

    hook: Hook
    maps: dict[str, BpfMap]
    program: programs.Loaded
    _slots: dict[bytes, int] = field(default_factory=dict)
    """Of the counters of sources that are dropped, or were and are not forgotten."""

    @classmethod
    def load(cls, hook: Hook, instructions: bytes) -> "Filter":
        """Make the maps and load the program; raises `LoadRefused` or `OSError`, and leaves nothing then."""
        with contextlib.ExitStack() as undo:
            maps = {}
            for name, (shape, capacity) in MAPS.items():
                maps[name] = BpfMap.create(name, shape, capacity)
                undo.callback(os.close, maps[name].fd)
            numbers = [each.fd for each in maps.values()]
            code = programs.with_maps(instructions, numbers.__getitem__)
            program = programs.load(hook.function, code, hook.kind)
            undo.pop_all()
        return cls(hook, maps, program)

    def attach(self, interface: int) -> int:
        """Attach to an interface of the calling thread's namespace; return the descriptor that holds it."""
        return programs.attach_interface(self.program.fd, interface, self.hook.attach_type, self.hook.flags)

    def put(self, source: bytes, until_boottime_ns: int) -> None:
        """Drop a source until then; raises `OSError`, and then it is as it was before."""
        slot = self._slots.get(source)
        if slot is None:
            slot = next((free for free in range(block.MAX_BLOCKED) if free not in self._slots.values()), None)
            if slot is None:
                raise MapFull(errno.E2BIG, "E2BIG")
            self.maps["block_drops"].put(block.SLOT.pack(slot), bytes(self.maps["block_drops"].stride))
        self.maps["blocked"].put(source, block.BLOCK.pack(until_boottime_ns, slot))
        self._slots[source] = slot

    def drops_now(self, source: bytes) -> bool:
        """Say whether a packet of this source would be dropped now."""
        value = self.maps["blocked"].lookup(source)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return value is not None and now < block.BLOCK.unpack(value)[0]

    def pass_again(self, source: bytes) -> None:
        """Drop a source no more; what was counted is kept until it is forgotten."""
        self.maps["blocked"].delete(source)

    def forget(self, source: bytes) -> Drops:
        """Return what was dropped of a source that passes again, and count it no more."""
        dropped = self.drops(source)
        self._slots.pop(source, None)
        return dropped

    def drops(self, source: bytes) -> Drops:
        """Return what was dropped of a source since it was put here."""
        if source not in self._slots:
            return NOTHING
        return block.sum_drops(self.maps["block_drops"].lookup(block.SLOT.pack(self._slots[source])) or b"")

    def unparsed(self) -> int:
        """Return how many packets passed because they could not be read."""
        return block.sum_unparsed(self.maps["unparsed"].lookup(bytes(4)) or b"")

    def close(self) -> None:
        """Free the program and its maps, once nothing is attached."""
        for fd in (self.program.fd, *(each.fd for each in self.maps.values())):
            os.close(fd)


def is_attached(link: int) -> bool:
    """Say whether a link still has its interface; the kernel takes it away with the interface."""
    return int(syscalls.fdinfo(link).get("ifindex", "0")) != 0
