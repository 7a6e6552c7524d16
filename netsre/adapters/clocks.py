"""Whether our clocks are the kernel's own."""

from pathlib import Path
from typing import Final

_OFFSETS: Final = Path("/proc/self/timens_offsets")


def are_the_kernels() -> bool:
    """Tell whether programs in the kernel read the same CLOCK_MONOTONIC and CLOCK_BOOTTIME as we do.

    In a time namespace (time_namespaces(7)) they do not: ours are off by what it was made with.
    """
    try:
        lines = _OFFSETS.read_text(encoding="ascii").splitlines()
    except OSError:
        return True  # a kernel without time namespaces
    return not any(int(number) for line in lines for number in line.split()[1:])
