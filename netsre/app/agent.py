"""The node agent: attaches the probes, gives its privileges away, and serves what it measures.

What cannot be measured here is a reading of its own (`netsre_agent_probe_up` 0 with the reason), never a
reason to stop the rest.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from netsre.adapters import clocks, privileges
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.filters import Template
from netsre.adapters.bpf.session import opening_sessions, opening_templates
from netsre.app.agent_settings import AgentSettings
from netsre.clock import SECOND, SystemClock
from netsre.datapath.requirements import AGENT_CAPABILITIES
from netsre.errors import EnvironmentUnfit


def run(settings: AgentSettings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then put back what was changed.

    Raises `EnvironmentUnfit` without root, in a time namespace, when the address is taken, or where effects
    cannot be kept. A probe that cannot run is announced in one line and served as absent.
    """
    started = SystemClock().now() / SECOND
    _require_fitness()
    statistics_fd = _run_statistics(announce) if settings.wants_statistics else None
    with opening_sessions(settings.programs, settings.wanted, cells=settings.cells) as sessions:
        # The compiler works meanwhile, and all this takes as long to import as one of the probes to compile.
        from netsre.app import serving  # noqa: PLC0415

        server = serving.bound(settings)
        # Two compilers side by side take hardly longer than one.
        with _filters(settings) as filters:
            agent = serving.assembled(settings, sessions(), filters, started, announce)
    serving.serve(agent, server, _stop_signal(), announce)
    if statistics_fd is not None:
        os.close(statistics_fd)


def _stop_signal() -> threading.Event:
    """Return what is set when somebody wants us to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _run_statistics(announce: Callable[[str], None]) -> int | None:
    try:
        return syscalls.enable_run_time_statistics()
    except OSError as error:
        announce(f"BPF run-time statistics stay off: the kernel says {error.strerror}")
        return None


def _require_fitness() -> None:
    missing = set(AGENT_CAPABILITIES) - privileges.effective_capabilities()
    if missing:
        names = ", ".join(f"CAP_{name}" for name in sorted(missing))
        message = f"the agent lacks {names}; run it as root: sudo netsre agent"
        raise EnvironmentUnfit(message)
    if not clocks.are_the_kernels():
        # Every attempt in flight would be stalled, or none, and blocks would end at the wrong time.
        message = "the agent runs in a time namespace: its clocks are not the kernel's; run it in the host's"
        raise EnvironmentUnfit(message)


def _filters(settings: AgentSettings) -> AbstractContextManager[Callable[[], tuple[Template, ...]] | None]:
    """Begin to load the programs that block; None when nobody may ask for them."""
    return opening_templates(settings.programs) if settings.effects.wanted else nullcontext()
