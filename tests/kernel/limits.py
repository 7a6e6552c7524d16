"""How long an attempt may wait: as shipped, or less, for tests of what comes after."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.app.resources import directory
from netsre.datapath.flows import STALL_NS

_PROGRAMS: Final = ("flows.c", "udp.c")
_BEYOND_NS: Final = 200_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """After so many nanoseconds an attempt without an answer has stalled."""

    ns: int

    def programs(self, beside: Path) -> Path:
        """Return where the C is: our own, or a copy that has this limit and is else the same."""
        if self.ns == STALL_NS:
            return directory("bpf")
        copy = shutil.copytree(directory("bpf"), beside / "bpf")
        # Ends that come early are not timed: of these there must be none beyond the limit.
        words = {"STALL_NS": f"{self.ns}ULL", "EARLY_TICKS": "10"}
        defines = "".join(f"#undef {word}\n#define {word} {value}\n" for word, value in words.items())
        for name in _PROGRAMS:
            (copy / name).write_text(defines + (copy / name).read_text(encoding="ascii"), encoding="ascii")
        return copy

    def now_ns(self) -> int:
        """Return the time to tell a reader, whose limit is as shipped: later by what that one is longer."""
        return time.monotonic_ns() + STALL_NS - self.ns

    def pass_by(self, begun_ns: int) -> None:
        """Let those that had begun by then become too old."""
        time.sleep(max(0, begun_ns + self.ns - time.monotonic_ns()) / 1e9)

    def pass_by_all(self) -> None:
        """Let all that have begun become too old, by some margin."""
        time.sleep((self.ns + _BEYOND_NS) / 1e9)


SHIPPED: Final = Limit(STALL_NS)
SHORT: Final = Limit(1_000_000_000)
