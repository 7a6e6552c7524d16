"""The controller's list of runs, read into lines that a terminal can show; `--json` has what is left out."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from netsre import clock
from netsre.app import evidence_lines
from netsre.clock import Timestamp
from netsre.errors import SourceUnreachable
from netsre.model import deeds, literals
from netsre.model.documents import Document

WIDTH: Final = 80
_LENGTHS: Final = frozenset({"ttl", "every"})
"""Of an effect: in milliseconds."""
STAYS: Final = " (cannot be undone)"
"""Behind the words about an effect that nothing takes back."""
_HASH: Final = 12
"""Digits of a plan's hash that tell it apart."""


def read_runs(document: object) -> tuple[str, ...]:
    """Read the answer of `/api/v1/runs`; one that is none raises `SourceUnreachable`."""
    runs = document.get("runs") if isinstance(document, Mapping) else None
    try:
        if isinstance(runs, list):
            return tuple(line for run in runs for line in _lines(run))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable() from error
    raise _unreadable()


def effect_text(effect: Mapping[str, object]) -> str:
    """Return an effect in a few words: its kind, all that makes it exact, and whether it stays done."""
    said = _call_text(effect) if effect["kind"] == "http_call" else fields_text(effect)
    # Of what is of another version nothing is known.
    deed = deeds.known(cast("Document", effect))
    return said if deed is None or deeds.reversible(deed) else said + STAYS


def fields_text(effect: Mapping[str, object]) -> str:
    """Return the same of what has no parts: its kind, and its fields."""
    said = [str(effect["kind"])]
    for key, value in effect.items():
        if key == "kind":
            continue
        shown = clock.duration_text(value) if key in _LENGTHS and isinstance(value, int) else _shown(value)
        said.append(f"{key}={shown}")
    return " ".join(said)


def _call_text(effect: Mapping[str, object]) -> str:
    request, undo = effect["request"], effect["undo"]
    sent = [str(request[key]) for key in ("method", "url", "body")] if isinstance(request, Mapping) else []
    back = f"(undone by {undo['method']} {undo['url']})" if isinstance(undo, Mapping) else ""
    return " ".join(filter(None, ["http_call", *sent, back]))


def _unreadable() -> SourceUnreachable:
    return SourceUnreachable("the controller's list of runs is not readable: is it of this version?")


def _lines(run: Mapping[str, object]) -> Iterator[str]:
    yield from wrapped(f"{run['started_at']}  {run['runbook']}  {run['state']} ({run['reason']})", "  ")
    yield from wrapped(f"  {run['target'] or 'no target'}  run {run['id']}", "  ")
    asked = run.get("approval")
    if run["state"] == "awaiting_approval" and isinstance(asked, Mapping):
        yield from wrapped(f"  {_waiting(asked)}", "  ")
    journal = run["journal"]
    for entry in journal if isinstance(journal, list) else ():
        at = clock.rfc3339(clock.parse_rfc3339(str(entry["at"]))).partition("T")[2]
        step = f" {entry['step']} {entry['action']}" if entry["step"] >= 0 else ""
        yield from wrapped(f"  {at}  {entry['kind']}{step}: {said(entry['kind'], entry['data'])}", " " * 4)
        evidence = entry["data"].get("evidence")
        for seen in evidence_lines.lines(evidence) if isinstance(evidence, Mapping) else ():
            yield from wrapped(f"    {seen}", " " * 6)


def wrapped(line: str, indent: str) -> Sequence[str]:
    """Fold a line; what has no blank to fold at stays whole, to be copied."""
    shown = literals.printable(line)
    return textwrap.wrap(
        shown, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [shown]


def said(kind: str, data: Mapping[str, object]) -> str:
    """Return what a line of the journal says, in words."""
    match kind, data:
        case "gates", {"gates": list(gates), "reason": reason}:
            said = _gates(gates, reason)
        case "plan", {"hash": str(name), "steps": list(steps)}:
            said = f"{name[:_HASH]}, " + "; ".join(_plan(steps))
        case "plan", {"kind": _}:
            said = _planned(data)
        case _, {"effect": Mapping() as effect}:
            said = effect_text(effect)
        case "sample", {"verdict": verdict, "bad": bad, "total": total, "reason": reason}:
            said = f"{verdict} ({reason}), {bad} bad of {total}"
        case _, {"ok": bool()}:
            said = _outcome(data)
        case _:
            said = _of_people(kind, data)
    return said


def _of_people(kind: str, data: Mapping[str, object]) -> str:
    """Return what people were asked, or said."""
    match kind, data:
        case "approval_requested", {"plan": str(name)}:
            return f"about plan {name[:_HASH]}: {_question(data)}"
        case "approval", {"verdict": verdict, "person": person, "via": via}:
            return f"{verdict} by {person}, via {via}"
        case "requested" | "cancel", {"person": person, "via": via}:
            return f"by {person}, via {via}"
        case _:
            return _shown(data)


def _waiting(asked: Mapping[str, object]) -> str:
    words = asked["words"]
    said = (
        ", ".join(f"{word['verdict']} by {word['person']}" for word in words)
        if isinstance(words, list)
        else ""
    )
    return f"WAITS: {_question(asked)}" + (f" So far: {said}." if said else "")


def _question(asked: Mapping[str, object]) -> str:
    """Say whose word is waited for, and until when."""
    by, until = asked["by"], asked["until"]
    whose = (" or ".join(map(str, by)) if isinstance(by, list) else "") or "anybody who is known"
    if asked["veto"]:
        return f"acts by itself at {until} unless somebody denies it."
    approvals = "1 approval" if asked["quorum"] == 1 else f"{asked['quorum']} approvals"
    return f"{approvals} of {whose} needed until {until}."


def _gates(gates: Sequence[Mapping[str, object]], reason: object) -> str:
    shut = next((gate for gate in gates if not gate["passed"]), None)
    return f"accepted by {len(gates)} gates" if shut is None else f"refused, {reason}: {shut['detail']}"


def _plan(steps: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the steps of a plan; the further rounds of a loop are a word behind its first."""
    for step in steps:
        match step.get("round"):
            case {"number": 1, "first": True, "times": times}:
                yield f"up to {times} times: {step['step']} {_planned(step)}"
            case {"number": int(number)} if number > 1:
                continue
            case _:
                yield f"{step['step']} {_planned(step)}"


def _planned(step: Mapping[str, object]) -> str:
    effect = step["effect"]
    does = effect_text(effect) if isinstance(effect, Mapping) else str(step["action"])
    if step["kind"] in ("skip", "refuse"):
        does = f"{step['kind']} {step['action']} ({step['reason']}) {step['message']}".rstrip()
    return f"if {step['if']}: {does}" if step["if"] else does


def _outcome(data: Mapping[str, object]) -> str:
    match data:
        case {"ok": False}:
            return f"{data.get('reason', 'failed')}: {data.get('error', '')}"
        case {"skipped": word}:
            return f"left out ({word})"
        case {"recovered": standing}:
            return f"found {standing}"
        case {"evidence": Mapping() as evidence}:
            top = evidence.get("top_source")
            return f"saw {', '.join(name for name in evidence if name != 'read_at')}" + (
                f"; top source {top}" if top else ""
            )
        case {"result": Mapping() as figures}:
            return " ".join(["done", *(f"{key}={_figure(key, value)}" for key, value in figures.items())])
        case _:
            return "done"


def _figure(name: str, value: object) -> str:
    return clock.rfc3339(Timestamp(value)) if name == "until" and isinstance(value, int) else _shown(value)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
