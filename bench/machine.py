"""The machine that was measured on, in one line."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Return its processor, memory, kernel and clock."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    return (
        f"{model}, {os.cpu_count()} CPUs (virtual, shared), {memory:.0f} GiB, "
        f"Linux {platform.release()}, clock {clock.read_text(encoding='ascii').strip()}, "
        f"Python {platform.python_version()}"
    )
