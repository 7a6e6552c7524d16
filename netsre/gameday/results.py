"""What came of a drill, as far as its journal tells: times, figures, and why one of them is missing."""

from collections.abc import Sequence
from typing import Final

from netsre.clock import Timestamp
from netsre.gameday import journal as lines
from netsre.gameday.journal import BEYOND, Told
from netsre.model.documents import Document, Json
from netsre.model.gamedays import STAGES, Drill, DrillEntry

TIMES: Final = ("injected_at", "beyond_at", *(f"{stage}_at" for stage in STAGES))
"""The times of a result, in the order in which they come."""
_NOT_YET: Final = "not_over"


def result(drill: Drill, entries: Sequence[DrillEntry]) -> Document:
    """Return times in milliseconds since the epoch, seconds since the injection as decimal text, and figures.

    What is not known is null, with a word in `reasons`.
    """
    told = lines.read(entries)
    at: dict[str, Timestamp | None] = {"injected_at": told.injected_at, "beyond_at": told.stages.get(BEYOND)}
    at |= {f"{stage}_at": told.stages.get(stage) for stage in STAGES}
    measured = lines.figures(told)
    reasons = dict.fromkeys((name for name, time in at.items() if time is None), _missing(drill, told))
    found: dict[str, Json] = {**at, "seconds": _seconds(at), "profile": drill.profile}
    found["paged_by"] = told.notes.get("paged", {}).get("by")
    found["detail"] = told.verdict.data.get("detail", "") if told.verdict is not None else ""
    for name in ("budget_burned", "alertmanager_received"):
        found[name] = _json(measured.get(name))
        if found[name] is None:
            reasons[name] = str(measured.get(f"{name}_reason") or _missing(drill, told))
    for name in ("alert", "run", "incident", "fault"):
        found[name] = _json(measured.get(name))
    proof = told.proof.data if told.proof is not None else {}
    found["host_restored"] = proof.get("restored")
    found["left_behind"] = proof.get("problems")
    if found["host_restored"] is None:
        reasons["host_restored"] = _missing(drill, told)
    return {**found, "reasons": reasons}


def _seconds(at: dict[str, Timestamp | None]) -> Document:
    injected = at["injected_at"]
    return {
        name.removesuffix("_at"): None if time is None or injected is None else _decimal(time - injected)
        for name, time in at.items()
        if name != "injected_at"
    }


def _decimal(milliseconds: int) -> str:
    sign = "-" if milliseconds < 0 else ""
    return f"{sign}{abs(milliseconds) // 1000}.{abs(milliseconds) % 1000:03d}"


def _missing(drill: Drill, told: Told) -> str:
    """Return why something is not known."""
    if told.verdict is not None:
        return str(told.verdict.data.get("reason"))
    return drill.reason if drill.ended else _NOT_YET


def _json(value: object) -> Json:
    return value if isinstance(value, str | int | dict) else None
