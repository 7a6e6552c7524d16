"""The steps of a run, told from its journal: what each did, how it ended, and until when it lasts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from netsre import clock
from netsre.app.control.incidents.shapes import GateView, StepView
from netsre.app.run_lines import STAYS
from netsre.clock import Timestamp
from netsre.model import deeds, literals
from netsre.model.deeds import Call, Deed, Silence
from netsre.model.documents import Document, Json
from netsre.model.effects import (
    EVERYBODY,
    Block,
    Flush,
    Limit,
    PolicyMode,
    PolicyPrograms,
    PolicyRevision,
    PrefilterMode,
    Resize,
    SourceLimit,
    Stagger,
    Standing,
    Timeout,
)
from netsre.model.runbooks import JournalEntry, JournalKind
from netsre.runbook import decide
from netsre.runbook.actions.evidence import TOP_SOURCE
from netsre.runbook.actions.evidence_datapath import CHANGED_LAST, MISSING, TOP_CLIENT, TOP_MAP, TOP_RULE
from netsre.runbook.actions.notify import NOTICE, NOTIFY
from netsre.runbook.journal import LAPSED
from netsre.runbook.plan import Kind, Plan, Planned
from netsre.runbook.story import WHOLE

_STANDS_OUT: Final = MappingProxyType(
    {
        TOP_SOURCE: "the largest source",
        TOP_CLIENT: "the noisiest client",
        TOP_RULE: "the rule with most of the XDP drops",
        TOP_MAP: "the fullest map",
        MISSING: "what the kernel lacks",
        CHANGED_LAST: "what of the policies changed last",
    }
)


@dataclass(slots=True)
class Told:
    """What the journal says of one step."""

    number: int
    action: str
    planned: Planned | None = None
    begun: JournalEntry | None = None
    """The last intent."""
    outcome: JournalEntry | None = None
    undo: JournalEntry | None = None
    """How taking it back ended."""
    lapsed_at: Timestamp | None = None
    """When it was found that the node has it no longer in force, before its time."""
    gates: Document = field(default_factory=dict)

    @property
    def effect(self) -> Deed | None:
        """Return what it changes, or would."""
        document = self.begun.data.get("effect") if self.begun is not None else None
        if isinstance(document, Mapping):
            return deeds.known(document)
        return self.planned.effect if self.planned is not None else None

    @property
    def key(self) -> str:
        """Return the key of its effect."""
        return str(self.begun.data.get("key", "")) if self.begun is not None else ""

    @property
    def applied(self) -> bool:
        """Tell whether it changed the node."""
        done = self.outcome.data if self.outcome is not None else {}
        return done.get("ok") is True and not {"result", "recovered"}.isdisjoint(done)

    @property
    def undone_at(self) -> Timestamp | None:
        """Return when the run itself took it back."""
        return self.undo.at if self.undo is not None and self.undo.data.get("ok") is True else None

    @property
    def until(self) -> Timestamp | None:
        """Return when what it changed ends by itself."""
        effect = self.effect
        lasts = None if effect is None else deeds.lasting(effect)
        if not self.applied or self.outcome is None or lasts is None:
            return None
        figures = self.outcome.data.get("result")
        said = figures.get("until") if isinstance(figures, Mapping) else None
        # The answer was lost and the deadline with it: no later than this.
        return Timestamp(said) if isinstance(said, int) else Timestamp(self.outcome.at + lasts)


def read(journal: Iterable[JournalEntry], plan: Plan | None) -> list[Told]:
    """Return the steps of a plan and of a journal, in order."""
    steps = {p.step: Told(p.step, p.action, p) for p in (plan.steps if plan is not None else ())}
    for entry in journal:
        if entry.step == WHOLE:
            continue
        told = steps.setdefault(entry.step, Told(entry.step, entry.action))
        match entry.kind:
            case JournalKind.INTENT:
                told.begun, told.outcome = entry, None
            case JournalKind.OUTCOME:
                told.outcome = entry
            case JournalKind.UNDO_OUTCOME:
                told.undo = entry
            case JournalKind.GATES:
                told.gates = entry.data
            case JournalKind.NOTE if entry.data.get("note") == LAPSED:
                told.lapsed_at = entry.at
            case _:
                pass
    return [steps[number] for number in sorted(steps) if _reached(steps[number])]


def _reached(told: Told) -> bool:
    """Tell whether a step is to be shown: of the further rounds of a loop only those that came."""
    loop = None if told.planned is None else told.planned.manner.round
    return loop is None or loop.number == 1 or told.begun is not None or told.outcome is not None


def view(told: Told, released: Timestamp | None, now: Timestamp, *, over: bool) -> StepView:
    """Return a step; `released` is when somebody else took it back, `over` that its run has ended."""
    ends = (told.undone_at, released, told.lapsed_at, told.until)
    ended = min((at for at in ends if at is not None), default=None)
    in_force = told.applied and told.until is not None and ended is not None and ended > now
    effect = told.effect
    return StepView(
        step=told.number,
        action=told.action,
        state=_state(told, over=over),
        said=_said(told),
        effect=None if effect is None else dict(deeds.write(effect)),
        began_at=None if told.begun is None else clock.rfc3339(told.begun.at),
        ended_at=None if told.outcome is None else clock.rfc3339(told.outcome.at),
        until=None if ended is None or not told.applied else clock.rfc3339(ended),
        in_force=in_force,
        gates=gates(told.gates),
        result=_result(told),
    )


def notice(told: Told) -> str:
    """Return what a step told people; empty where it told nothing."""
    evidence = told.outcome.data.get("evidence") if told.outcome is not None else None
    said = evidence.get(NOTICE) if isinstance(evidence, Mapping) else None
    return said if told.action == NOTIFY and isinstance(said, str) else ""


def gates(document: Document) -> list[GateView]:
    """Return what each gate said."""
    found = document.get("gates")
    rows = found if isinstance(found, Sequence) and not isinstance(found, str) else ()
    return [
        GateView(
            gate=str(row.get("gate", "")),
            title=decide.title(str(row.get("gate", ""))),
            passed=row.get("passed") is True,
            detail=str(row.get("detail", "")),
        )
        for row in rows
        if isinstance(row, Mapping)
    ]


def words(effect: Deed) -> str:
    """Return what an effect does, for people."""
    match effect:
        case Call(request, _, _, undo):
            back = "" if undo is None else f" (undone by {undo.method} {undo.url})"
            body = f" {literals.printable(request.body)}" if request.body else ""
            said = f"{request.method} {request.url}{body}{back}"
        case Silence(matchers, _):
            which = ", ".join(f"{name}={literals.printable(value)}" for name, value in matchers)
            said = f"silence alerts of {which}, but no page,"
        case Block(netns, interface, source, _):
            said = f"drop packets of {source} at {interface} in {netns}"
        case Flush(netns, source):
            said = f"delete the entries of {source} in {netns}"
        case Limit(before, after, _):
            said = f"raise the limit of the connection tables from {before} to {after}"
        case Timeout(netns, state, before, after, _):
            said = f"end entries in state {state} in {netns} after {after} s instead of {before} s"
        case PrefilterMode(before, mode, _):
            said = f"set the mode of the prefilter from {before} to {mode}"
        case SourceLimit(_, source, rate, _):
            said = f"limit {source} to {rate} packets a second"
        case _:
            said = _of_policies(effect)
    lasts = deeds.lasting(effect)
    said = said if lasts is None else f"{said} for {clock.duration_text(lasts)}"
    return said if deeds.reversible(effect) else said + STAYS


def _of_policies(effect: PolicyMode | PolicyRevision | PolicyPrograms | Resize | Stagger) -> str:
    match effect:
        case PolicyMode(endpoint, before, mode, _):
            whom = "all endpoints" if endpoint == EVERYBODY else endpoint
            return f"set the policy mode of {whom} from {before} to {mode}"
        case PolicyRevision(was, was_digest, becomes, digest):
            return f"go from policy revision {was} ({was_digest}) to {becomes} ({digest})"
        case PolicyPrograms(was_digest, digest):
            return f"go from policy programs {was_digest} to {digest}"
        case Resize(fits, after, _):
            return f"have room for {after} connections in the policy datapath instead of {fits}"
        case Stagger(every, _):
            pace = clock.duration_text(every)
            return f"put at most one change of followed policies into force every {pace}"


def _state(told: Told, *, over: bool) -> str:
    if told.undo is not None:
        return "undone" if told.undone_at is not None else "not_undone"
    if told.outcome is None:
        return _unended(told, over=over)
    if told.outcome.data.get("ok") is not True:
        return "failed"
    return "skipped" if "skipped" in told.outcome.data else "done"


def _unended(told: Told, *, over: bool) -> str:
    if told.begun is None:
        return "not_reached" if over else "waiting"
    return "unknown" if over else "running"


def _said(told: Told) -> str:
    outcome: Document = told.outcome.data if told.outcome is not None else {}
    if outcome.get("ok") is False:
        return _sentence(str(outcome.get("error", "")), str(outcome.get("reason", "")))
    if "skipped" in outcome:
        why = str(outcome.get("error", ""))
        return f"left out: {str(outcome['skipped']).replace('_', ' ')}" + (f" ({why})" if why else "")
    if told.effect is not None:
        return words(told.effect) + _figures(outcome.get("result"))
    evidence = outcome.get("evidence")
    if isinstance(evidence, Mapping):
        return notice(told) or _looked(evidence)
    planned = told.planned
    if planned is not None and planned.kind in (Kind.SKIP, Kind.REFUSE):
        return _sentence(planned.message, planned.reason)
    return ""


def _looked(evidence: Document) -> str:
    found = [f"{said} is {evidence[name]}" for name, said in _STANDS_OUT.items() if name in evidence]
    return "; ".join(["looked", *found])


def _figures(result: Json) -> str:
    if not isinstance(result, Mapping):
        return ""
    if result.get("standing") == Standing.ENDED.value and "deleted" not in result:
        return " (over by now)"
    return f" ({result['deleted']} deleted)" if isinstance(result.get("deleted"), int) else ""


def _sentence(message: str, word: str) -> str:
    return f"{message} ({word})" if message and word else message or word


def _result(told: Told) -> dict[str, Any]:
    outcome: Document = told.outcome.data if told.outcome is not None else {}
    found = outcome.get("evidence", outcome.get("result"))
    return dict(found) if isinstance(found, Mapping) else {}
