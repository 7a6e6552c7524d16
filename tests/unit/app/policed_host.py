"""A node of the crash harness that a bad revision of policies floods."""

from collections.abc import Sequence
from dataclasses import dataclass

from netsre.model.documents import Document
from netsre.model.effects import (
    Effect,
    Enforcement,
    InForce,
    ModeFacts,
    PolicyMode,
    PolicyRevision,
    PrefilterMode,
    RevisionFacts,
    SourceLimit,
    Standing,
)
from netsre.runbook.actions.contract import NodeRefused
from tests.unit.app.crashing import Host

_ENFORCED = ModeFacts("enforce", "enforce", ends=False, enforced=True)


@dataclass
class PolicedHost(Host):
    """It is flooded as long as that revision decides, and nothing is loosened or limited."""

    revision: int = 7
    bad: int | None = 7
    """None where nothing helps."""

    @property
    def blocked(self) -> bool:
        """Tell whether it is flooded no more."""
        loose = any(
            isinstance(one.effect, PolicyMode | PrefilterMode | SourceLimit) for one in self.effects()
        )
        return self.bad is not None and (loose or self.revision != self.bad)

    def pass_time(self) -> None:
        """End what is past its deadline, and let entries come or go."""
        super().pass_time()
        if self.blocked:
            self.held = 0

    def enforcement(self, endpoint: str) -> Enforcement:
        """Return what is in force."""
        del endpoint
        earlier = RevisionFacts(self.revision - 1, f"of {self.revision - 1}")
        now = RevisionFacts(self.revision, f"of {self.revision}")
        return Enforcement(_ENFORCED, now, earlier, on_trial=False)

    def prefilter(self) -> ModeFacts:
        """Return how strictly rules are taken."""
        return _ENFORCED

    def apply(self, key: str, effect: Effect) -> Document:
        """Apply once per key."""
        new = key not in self.standings
        if new and isinstance(effect, PolicyRevision):
            if effect.before != self.revision:
                raise NodeRefused("changed", f"revision {self.revision} decides")
            self.revision = effect.after
        return super().apply(key, effect)

    def undo(self, key: str, effect: Effect) -> Document:
        """Take back what is in force, and go forward again from a revision."""
        if isinstance(effect, PolicyRevision) and self.standings.get(key) is Standing.APPLIED:
            assert self.revision == effect.after, "another revision decides"
            self.revision, self.standings[key] = effect.before, Standing.ENDED
        return super().undo(key, effect)

    def effects(self) -> Sequence[InForce]:
        """Return what is in force; a revision has no end."""
        return tuple(one for one in super().effects() if not isinstance(one.effect, PolicyRevision))

    def _end(self, key: str, effect: Effect) -> None:
        if not isinstance(effect, PolicyRevision):
            super()._end(key, effect)
