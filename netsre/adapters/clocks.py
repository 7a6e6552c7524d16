"""Whether our clocks are the kernel's own, and which start of the machine they count from."""

from pathlib import Path
from typing import Final

_OFFSETS: Final = Path("/proc/self/timens_offsets")
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """Return what the running start of the machine is known by: another one after every restart."""
    return _BOOT.read_text(encoding="ascii").strip()


def are_the_kernels() -> bool:
    """Tell whether programs in the kernel read the same CLOCK_MONOTONIC and CLOCK_BOOTTIME as we do.

    In a time namespace (time_namespaces(7)) they do not: ours are off by what it was made with.
    """
    try:
        lines = _OFFSETS.read_text(encoding="ascii").splitlines()
    except OSError:
        return True  # a kernel without time namespaces
    return not any(int(number) for line in lines for number in line.split()[1:])
