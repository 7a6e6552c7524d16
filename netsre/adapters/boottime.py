"""The clock by which temporary things end: nobody sets it, it goes on in sleep, and the kernel has it too."""

import time


def boottime() -> int:
    """Return how long this boot lasts, in nanoseconds, sleep included (CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
