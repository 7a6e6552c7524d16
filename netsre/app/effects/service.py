"""Effects and their control socket, as one part of the agent's process."""

import contextlib
import logging
import socket
from typing import Final

from netsre import conventions as c
from netsre.adapters import control, privileges, processes
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.filters import HOOKS
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.control import ControlServer
from netsre.app.effects import ledger
from netsre.app.effects.commands import Commands
from netsre.app.effects.host import Host
from netsre.app.effects.ledger import Ledger, Where
from netsre.app.effects.manager import Effects
from netsre.app.effects.settings import EffectsSettings
from netsre.app.inventory.client import Inventory
from netsre.clock import SystemClock, boottime
from netsre.conventions import OTHER
from netsre.datapath.block import BLOCKED_REASON
from netsre.errors import EnvironmentUnfit, NetsreError
from netsre.metrics.readings import Readings
from netsre.model.effects import KINDS, DoneAtOnce

_log: Final = logging.getLogger("netsre.effects")

_ROOT: Final = 0
_OWNER: Final = "netsre"
_KINDS: Final = {name: kind for name, kind in KINDS.items() if not issubclass(kind, DoneAtOnce)}
"""Those that can be in force."""


class EffectsService:
    """What the agent changes on request, from its start to its end.

    Made before the privileges are given away, started after it, because it has threads.
    """

    def __init__(
        self,
        settings: EffectsSettings,
        blocks: Blocks | None,
        absence: ProbeUnfit | None,
        inventory: Inventory,
        where: Where,
    ) -> None:
        """Take what only root can: the ledger's directory and the socket; raises `EnvironmentUnfit`.

        Without `blocks` nothing can be blocked, and `absence` says why. Without a socket there is nothing new
        to keep; a ledger that is there is looked after all the same. `where` is what it changes by names of
        files.
        """
        self._settings = settings
        self._blocks = blocks
        self._absence = absence
        self._server: ControlServer | None = None
        self._listener: socket.socket | None = None
        self._complained = False
        if not settings.wanted:
            self._effects = None
            return
        ledger.prepare(settings.directory)
        if settings.socket is not None:
            group = settings.user.gid if settings.user is not None else None
            with privileges.as_group(group):
                self._listener = control.listen(settings.socket, shared=group is not None)
        host = Host(blocks, f"{absence.reason}: {absence}" if absence is not None else "", inventory, where)
        self._effects = Effects(
            Ledger(settings.directory, processes.this_process(), where), host, SystemClock(), boottime
        )
        self._commands = Commands(self._effects, host)

    def start(self) -> None:
        """Go on with what an earlier agent left, then take commands; raises `EnvironmentUnfit`."""
        if self._effects is None:
            return
        try:
            self._effects.adopt()
        except OSError as error:
            raise EnvironmentUnfit(f"effects in {self._settings.directory}: {error}") from error
        if self._settings.socket is not None:
            user = self._settings.user
            allowed = {_ROOT} if user is None else {_ROOT, user.uid}
            self._server = ControlServer(
                self._settings.socket, self._commands.handlers, allowed, self._listener
            )

    def scan(self) -> None:
        """End what is due."""
        if self._effects is None:
            return
        try:
            self._effects.expire()
            if self._blocks is not None:
                self._blocks.expire(boottime())
        except (OSError, NetsreError) as error:
            if not self._complained:
                self._complained = True
                _log.warning("effects in %s: %s; tried again", self._settings.directory, error)

    def put(self, readings: Readings) -> None:
        """Add what is in force and what was asked; waits for no command."""
        counts = self._effects.counts() if self._effects is not None else {}
        for name, kind in _KINDS.items():
            readings.put(c.EFFECTS, (name,), counts.get(kind, 0))
        if self._server is not None:
            for labels, count in self._commands.asked().items():
                readings.put(c.AGENT_COMMANDS, labels, count)
        if self._blocks is not None:
            _put_blocks(readings, self._blocks)
        elif self._absence is not None:
            _put_absence(readings, self._absence.reason)

    @property
    def lacks(self) -> list[str]:
        """Say whether sources cannot be blocked, and why."""
        absence = self._absence
        return [] if absence is None else [f"block: {absence.reason}: {absence}; no source can be blocked"]

    def close(self) -> None:
        """Take no more commands, and put everything back."""
        if self._server is not None:
            self._server.close()
        if self._effects is not None:
            with contextlib.suppress(OSError):
                self._effects.close()
        if self._blocks is not None:
            self._blocks.close()


def _put_blocks(readings: Readings, blocks: Blocks) -> None:
    """Add what was dropped and loaded; the rule that stands for too many of them is there from the start."""
    readings.put(c.AGENT_PROBE_UP, ("block", ""), 1)
    totals = {(hook, rule): drops.packets for (hook, rule), drops in blocks.totals().items()}
    totals.setdefault((blocks.hook, OTHER), 0)
    for (hook, rule), packets in totals.items():
        # A rule is the namespace and the interface, whose name has no slash.
        netns = rule.rpartition("/")[0] or OTHER
        readings.put(c.DROPS, (hook, BLOCKED_REASON, rule, netns), packets)
    readings.put(c.BLOCK_UNREAD, (blocks.hook,), blocks.unparsed())
    for key, loads in blocks.loads().items():
        labels = (_OWNER, *key)
        readings.put(c.BPF_PROGRAM_LOADS, labels, loads.times)
        readings.put(c.BPF_VERIFIER_SECONDS, labels, loads.verifier_seconds)
        readings.put(c.BPF_VERIFIER_INSTRUCTIONS, labels, loads.verifier_instructions)


def _put_absence(readings: Readings, reason: str) -> None:
    """Say that nothing can be blocked, and why."""
    readings.put(c.AGENT_PROBE_UP, ("block", reason), 0)
    for hook in HOOKS:
        readings.put(c.BPF_PROGRAM_LOADS, (_OWNER, hook.program_type, "error", reason), 1)
