"""The network namespaces of this node, looked up as rarely as can be."""

from collections.abc import Mapping
from typing import Final

from netsre.adapters.namespaces import inventory

_EVERY_SECONDS: Final = 5.0
_UNKNOWN_SECONDS: Final = 0.5
"""How soon to look again for the name of a namespace that was not there before."""


class Places:
    """The namespaces as they were when they were last looked up."""

    def __init__(self) -> None:
        """Begin without having looked."""
        self.namespaces: Mapping[int, inventory.Namespace] = {}
        self._looked_at = float("-inf")

    def refresh(self, now: float, *, unknown: bool = False) -> bool:
        """Look them up again if that is due, sooner where one is unknown; return whether they were."""
        if now - self._looked_at < (_UNKNOWN_SECONDS if unknown else _EVERY_SECONDS):
            return False
        self.namespaces = inventory.namespaces()
        self._looked_at = now
        return True

    @property
    def names(self) -> dict[int, str]:
        """Return the names by inode number."""
        return {inode: namespace.name for inode, namespace in self.namespaces.items()}
