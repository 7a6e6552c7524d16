"""How effects are kept, as the agent is told: light, because it is read before anything begins."""

from dataclasses import dataclass
from pathlib import Path

from netsre.adapters.privileges import ServiceUser


@dataclass(frozen=True, slots=True)
class EffectsSettings:
    """Who may have this host changed, and where it is written down."""

    socket: Path | None
    """The control socket; None when nobody may."""
    user: ServiceUser | None
    """Who may use it beside root."""
    directory: Path
    """Of the ledger."""

    @property
    def wanted(self) -> bool:
        """Whether anything may be changed, or something that was is to be looked after."""
        return self.socket is not None or any(self.directory.glob("*.json"))
