"""Who is on this node, network namespaces and cgroups, looked up as rarely as can be."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from netsre.adapters import cgroups
from netsre.adapters.namespaces import inventory
from netsre.clock import SystemClock
from netsre.datapath.workloads import HOST, Names, Workload

_EVERY_SECONDS: Final = 5.0
_CGROUPS_SECONDS: Final = 60.0
"""There are thousands of them on some nodes; of one that is not known nobody waits so long."""
_UNKNOWN_SECONDS: Final = 0.5
"""How soon to look again for the name of somebody who was not there before."""
_NS: Final = 1_000_000
"""In a millisecond."""
_TICK_NS: Final = 20_000_000
_MAKING_NS: Final = 5_000_000_000
"""What a name waits for longer than this is no namespace."""
_REST: Final = 50
"""Of all time, no more than one part in so many is spent on looking for newcomers."""


class Places:
    """The namespaces and cgroups as they were when they were last looked up."""

    def __init__(
        self,
        workloads: tuple[Workload, ...] = (),
        look: Callable[[], Mapping[int, inventory.Namespace]] = inventory.namespaces,
    ) -> None:
        """Begin without having looked; `workloads` are names that people gave, `look` lists namespaces.

        Where it has no answer now, it returns what it returned last.
        """
        self._look = look
        self.namespaces: Mapping[int, inventory.Namespace] = {}
        self.names = Names({}, {}, workloads)
        self._cgroups: Mapping[int, str] = {}
        self._looked_at = self._walked_at = float("-inf")
        self._took = 0.0
        self._named_at: tuple[int, ...] = ()

    def refresh(self, now: float, *, unknown: bool = False) -> bool:
        """Look them up again if that is due, sooner where somebody is unknown; return whether they were."""
        soon = max(_UNKNOWN_SECONDS, _REST * self._took)
        if now - self._looked_at < (soon if unknown else _EVERY_SECONDS):
            self._rename()
            return False
        began = time.monotonic()
        before, self.namespaces = self.namespaces, self._look()
        self._looked_at = now
        if unknown or now - self._walked_at >= _CGROUPS_SECONDS:
            self._cgroups, self._walked_at = cgroups.paths(), now
        # The very same is no news: nobody answered, and what was renamed meanwhile stays so.
        names = self.names.namespaces
        if self.namespaces is not before:
            names = {inode: namespace.name for inode, namespace in self.namespaces.items()}
        self.names = Names(names, self._cgroups, self.names.workloads)
        self._took = time.monotonic() - began
        return True

    def _rename(self) -> None:
        """Notice at once that another namespace has a number by now: the kernel gives it to the next.

        One that only ended keeps its name: what it did last was not counted yet.
        """
        named_at = inventory.names_changed_at()
        if named_at == self._named_at:
            return
        # A name is there before its namespace is, and the clock of files has ticks.
        recent = SystemClock().now() * _NS - max(named_at)
        settled = recent > _TICK_NS and (recent > _MAKING_NS or not inventory.awaits_namespaces())
        self._named_at = named_at if settled else ()
        known = self.names.namespaces
        renamed = {
            inode: name
            for inode, (name, _) in inventory.named().items()
            if known.get(inode, HOST) not in {HOST, name}
        }
        if renamed:
            self.names = Names({**known, **renamed}, self._cgroups, self.names.workloads)
