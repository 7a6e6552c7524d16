"""The lines of a drill's journal: what the engine writes and `progress` reads, in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from netsre.clock import Timestamp
from netsre.gameday.budget import Sums
from netsre.model import effects
from netsre.model.documents import Document
from netsre.model.effects import Effect
from netsre.model.gamedays import DrillEntry, DrillKind, DrillState

INJECT: Final = "inject"
STOP: Final = "stop"
RELEASE: Final = "release/"
"""Before the key of the effect that is taken back."""
BEYOND: Final = "beyond"
"""The stage before all others: the table is seen beyond the value of the alert."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line to append: everything but the drill, its number and the time."""

    kind: DrillKind
    data: Document


def injecting(limit: int, before: Sums | None) -> Line:
    """Return the intent of the fault, with what the host was like before it."""
    return Line(
        DrillKind.INTENT,
        {"key": INJECT, "limit": limit, "budget": None if before is None else before.document()},
    )


def injected(at: Timestamp) -> Line:
    """Return that the lab began the fault."""
    return Line(DrillKind.OUTCOME, {"key": INJECT, "ok": True, "at": at})


def not_injected(reason: str, message: str) -> Line:
    """Return that the fault never began, by which word, and why."""
    return Line(DrillKind.OUTCOME, {"key": INJECT, "ok": False, "reason": reason, "message": message})


def reached(stage: str, at: Timestamp, **more: str) -> Line:
    """Return that a stage was reached."""
    return Line(DrillKind.STAGE, {"stage": stage, "at": at, **more})


def aborting(by: str) -> Line:
    """Return that somebody asked for the end."""
    return Line(DrillKind.ABORT, {"by": by})


def verdict(state: DrillState, reason: str, detail: str = "") -> Line:
    """Return how the drill will end once everything is cleaned up."""
    return Line(DrillKind.VERDICT, {"state": state.value, "reason": reason, "detail": detail})


def stopping() -> Line:
    """Return the intent to end the fault."""
    return Line(DrillKind.INTENT, {"key": STOP})


def stopped() -> Line:
    """Return that the fault is over."""
    return Line(DrillKind.OUTCOME, {"key": STOP, "ok": True})


def releasing(key: str, effect: Effect) -> Line:
    """Return the intent to take back an effect of a run that answered."""
    return Line(DrillKind.INTENT, {"key": RELEASE + key, "effect": effects.write(effect)})


def released(key: str) -> Line:
    """Return that an effect is not in force any more."""
    return Line(DrillKind.OUTCOME, {"key": RELEASE + key, "ok": True})


def proof(*, restored: bool, problems: Sequence[str], figures: Document) -> Line:
    """Return what the host looked like in the end, and what else was measured."""
    return Line(DrillKind.PROOF, {"restored": restored, "problems": list(problems), "figures": figures})


@dataclass(slots=True)
class Told:
    """What a journal says, the first word on each thing counting."""

    intents: dict[str, DrillEntry] = field(default_factory=dict)
    outcomes: dict[str, DrillEntry] = field(default_factory=dict)
    stages: dict[str, Timestamp] = field(default_factory=dict)
    notes: dict[str, Document] = field(default_factory=dict)
    """The lines of the stages, whole."""
    abort: DrillEntry | None = None
    verdict: DrillEntry | None = None
    proof: DrillEntry | None = None

    @property
    def injected_at(self) -> Timestamp | None:
        """When the fault began; None while that is not known, or when it never did."""
        outcome = self.outcomes.get(INJECT)
        at = outcome.data.get("at") if outcome is not None else None
        return Timestamp(at) if isinstance(at, int) else None

    @property
    def limit_before(self) -> int | None:
        """The limit of the connection tables before the fault."""
        intent = self.intents.get(INJECT)
        limit = intent.data.get("limit") if intent is not None else None
        return limit if isinstance(limit, int) else None

    def unsettled(self, key: str) -> bool:
        """Tell whether an effect was begun and nobody wrote what became of it."""
        return key in self.intents and key not in self.outcomes


def read(entries: Sequence[DrillEntry]) -> Told:
    """Return what a journal says."""
    told = Told()
    for entry in entries:
        _take(told, entry)
    return told


def _take(told: Told, entry: DrillEntry) -> None:
    match entry.kind:
        case DrillKind.INTENT:
            told.intents.setdefault(str(entry.data.get("key")), entry)
        case DrillKind.OUTCOME:
            told.outcomes.setdefault(str(entry.data.get("key")), entry)
        case DrillKind.STAGE:
            stage, at = entry.data.get("stage"), entry.data.get("at")
            if isinstance(stage, str) and isinstance(at, int):
                told.stages.setdefault(stage, Timestamp(at))
                told.notes.setdefault(stage, entry.data)
        case DrillKind.ABORT:
            told.abort = told.abort or entry
        case DrillKind.VERDICT:
            told.verdict = told.verdict or entry
        case DrillKind.PROOF:
            told.proof = told.proof or entry


def figures(told: Told) -> Mapping[str, object]:
    """Return what was measured at the end; empty before."""
    found = told.proof.data.get("figures") if told.proof is not None else None
    return found if isinstance(found, Mapping) else {}
