"""The lines of a run's journal: what the engine writes, and `progress` reads, in one place.

Whoever carries a command out writes these lines and no others; none is ever changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from netsre import clock
from netsre.model import deeds
from netsre.model.deeds import Deed
from netsre.model.documents import Document
from netsre.model.effects import Standing
from netsre.model.runbooks import JournalKind
from netsre.runbook.approval import Opinion, Request, Word

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
UNREACHABLE = "unreachable"
NOT_APPLIED = "not_applied"
NOT_UNDONE = "not_undone"
LAPSED = "no_longer_in_force"


@dataclass(frozen=True, slots=True)
class Line:
    """One line to append: everything but the run, its number and the time."""

    kind: JournalKind
    step: int
    action: str
    data: Document


def requested(person: str, via: str, request: str, given: Mapping[str, str] = _NOTHING) -> Line:
    """Return that a person asked for the run by hand; `given` are the parameters that they chose."""
    chosen: Document = {"set": dict(given)} if given else {}
    return Line(JournalKind.REQUESTED, -1, "", {"person": person, "via": via, "id": request, **chosen})


def asked(request: Request) -> Line:
    """Return the question about a plan; its time is that of the line."""
    data: Document = {
        "plan": request.plan,
        "by": request.by,
        "quorum": request.quorum,
        "veto": request.veto,
        "wait": request.wait,
        "until": clock.rfc3339(request.until),
    }
    return Line(JournalKind.APPROVAL_REQUESTED, -1, "", data)


def said(word: Word) -> Line:
    """Return the word of a person."""
    data: Document = {"person": word.person, "via": word.via, "id": word.id}
    if word.opinion is Opinion.CANCEL:
        return Line(JournalKind.CANCEL, -1, "", data)
    told = {**data, "verdict": word.opinion.value, "plan": word.plan}
    return Line(JournalKind.APPROVAL, -1, "", told)


def observing(step: int, action: str, parameters: Document) -> Line:
    """Return the intent of an observation."""
    return Line(JournalKind.INTENT, step, action, {"with": parameters})


def observed(step: int, action: str, evidence: Document) -> Line:
    """Return what an observation saw."""
    return Line(JournalKind.OUTCOME, step, action, {"ok": True, "evidence": evidence})


def recovered(step: int, action: str) -> Line:
    """Return the note that an interrupted observation is made again: it had no effect."""
    return Line(JournalKind.NOTE, step, action, {"note": "recovered"})


def applying(step: int, action: str, key: str, effect: Deed) -> Line:
    """Return the intent of a change; on disk before the node hears of it."""
    return Line(JournalKind.INTENT, step, action, {"key": key, "effect": deeds.write(effect)})


def applied(step: int, action: str, figures: Document) -> Line:
    """Return that the node did it, with its figures."""
    return Line(JournalKind.OUTCOME, step, action, {"ok": True, "result": figures})


def settled(step: int, action: str, standing: Standing) -> Line:
    """Return how a change ended whose answer was lost, as the node says afterwards."""
    if standing is Standing.ABSENT:
        return failed(step, action, NOT_APPLIED, "the node never applied it")
    return Line(JournalKind.OUTCOME, step, action, {"ok": True, "recovered": standing.value})


def skipped(step: int, action: str, reason: str, *, over: bool = False) -> Line:
    """Return that a step was left out, and by which word; `over`: with all that was left of its loop."""
    rest: Document = {"over": True} if over else {}
    return Line(JournalKind.OUTCOME, step, action, {"ok": True, "skipped": reason, **rest})


def left_out(step: int, action: str, reason: str, message: str) -> Line:
    """Return that a change was left out after it was tried, by which word, and why; nothing was done."""
    return Line(JournalKind.OUTCOME, step, action, {"ok": True, "skipped": reason, "error": message})


def failed(step: int, action: str, reason: str, message: str) -> Line:
    """Return that a step did nothing, by which word, and why."""
    return Line(JournalKind.OUTCOME, step, action, {"ok": False, "reason": reason, "error": message})


def unanswered(step: int, action: str, message: str) -> Line:
    """Return that the node did not answer to what `step` asked; the plan asks as step -1."""
    return Line(JournalKind.NOTE, step, action, {"note": UNREACHABLE, "error": message})


def undoing(step: int, action: str, key: str, effect: Deed) -> Line:
    """Return the intent to take an effect back."""
    return Line(JournalKind.UNDO_INTENT, step, action, {"key": key, "effect": deeds.write(effect)})


def undone(step: int, action: str, figures: Document) -> Line:
    """Return that an effect was taken back."""
    return Line(JournalKind.UNDO_OUTCOME, step, action, {"ok": True, "result": figures})


def undo_settled(step: int, action: str, standing: Standing) -> Line:
    """Return how taking an effect back ended whose answer was lost, as the node says afterwards."""
    if standing is Standing.APPLIED:
        return undo_failed(step, action, NOT_UNDONE, "the effect is still in force")
    return Line(JournalKind.UNDO_OUTCOME, step, action, {"ok": True, "recovered": standing.value})


def lapsed(step: int, action: str, standing: Standing) -> Line:
    """Return the note that an effect was over before its time, as the node says."""
    return Line(JournalKind.NOTE, step, action, {"note": LAPSED, "standing": standing.value})


def undo_failed(step: int, action: str, reason: str, message: str) -> Line:
    """Return that an effect could not be taken back, by which word, and why."""
    return Line(JournalKind.UNDO_OUTCOME, step, action, {"ok": False, "reason": reason, "error": message})
