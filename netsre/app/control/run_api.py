"""The API: one run, a run by hand, and the words of people about a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from netsre import clock
from netsre.app import given_alert
from netsre.app.control import access, by_hand, wire, words
from netsre.app.control.by_hand import NoCause
from netsre.app.control.starts import Asker
from netsre.app.control.words import Said, Saying
from netsre.app.control.world import World
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.alerts import Alert
from netsre.model.runbooks import JournalKind, Run, Runbook, RunState
from netsre.runbook.approval import Answer, Opinion, Verdict

PATH: Final = "/api/v1/runs"
VIA: Final = "api"
Key = Annotated[str | None, Header(min_length=1, max_length=200)]
_SAID: Final = {
    Answer.KEY_REUSED: "this key stands for another word already; choose a new one",
    Answer.SAID_BEFORE: "you approved it before; each person counts once",
    Answer.NOT_ASKED: "it does not ask for a word; cancel ends it",
    Answer.OTHER_PLAN: "it asks about another plan",
    Answer.ALREADY_DECIDED: "it is decided already",
    Answer.APPROVAL_EXPIRED: "the time for a word is over",
    Answer.NOT_AN_APPROVER: "your word does not count for it",
    Answer.SELF_APPROVAL: "you asked for this run; somebody else must approve it",
    Answer.RUN_OVER: "it is over",
}


class Word(BaseModel):
    """What a person says about a run."""

    model_config = ConfigDict(extra="forbid")

    plan: Annotated[str, Field(max_length=64)] = ""
    """Which plan is meant, by its hash or the first 12 digits; empty: the one that is asked about."""


class WordView(BaseModel):
    """What became of a word."""

    run: str
    answer: str
    """`recorded`, or `repeated` for a request that came before."""
    person: str
    decision: str | None
    """What the question has come to: `waiting`, `approved`, `unopposed`, `denied`, or `approval_expired`."""
    by: list[str]
    """Those who approved so far, or who denied."""
    detail: str


class Wish(BaseModel):
    """A request for a run by hand; without node and alert, for the only alert that fires and starts it."""

    model_config = ConfigDict(extra="forbid")

    node: Annotated[str, Field(max_length=253)] | None = None
    alert: dict[str, Any] | None = None
    """The alert, as Alertmanager has it; it must be on record, and fire."""
    set: Annotated[dict[str, Annotated[str, Field(max_length=200)]], Field(max_length=50)] = {}
    """Values of the runbook's parameters; the others have their defaults."""


class Begun(BaseModel):
    """What became of a request for a run."""

    run: str
    state: str
    reason: str
    person: str


class RefusedView(BaseModel):
    """Why not; the reason is a word, the detail a sentence."""

    detail: str
    reason: str
    run: str | None
    by: list[str] = []
    """Those who decided before."""


@dataclass(frozen=True, slots=True)
class _Hands:
    world: World
    wake: Callable[[], None]


def router(world: World, token: str, wake: Callable[[], None]) -> APIRouter:
    """Return the routes; those that do something ask who it is."""
    made = APIRouter()
    _add_reading(made, world)
    doing = APIRouter(route_class=access.behind_people(token, world.directory))
    hands = _Hands(world, wake)
    for opinion in Opinion:
        _add_word(doing, hands, opinion)
    _add_begin(doing, hands)
    made.include_router(doing)
    return made


def _add_reading(made: APIRouter, world: World) -> None:
    @made.get(PATH + "/{run_id}", responses={code: {"model": wire.Problem} for code in (404, 503)})
    def read_run(run_id: str) -> wire.RunView:
        """Return one run with its journal, and who was asked and said what."""
        with world.store.read() as transaction:
            run = transaction.runs.find(run_id)
            journal = transaction.runs.journal([run_id])[run_id]
        if run is None:
            raise _no_run(run_id)
        return wire.run(run, journal)


def _add_word(made: APIRouter, hands: _Hands, opinion: Opinion) -> None:
    @made.post(
        f"{PATH}/{{run_id}}/{opinion.value}",
        responses=_refusals(),
        response_model=WordView,
        name=f"{opinion.value}_run",
        description=_ABOUT[opinion],
    )
    def say(
        run_id: str, request: Request, word: Word | None = None, idempotency_key: Key = None
    ) -> WordView | Response:
        saying = Saying(
            request.state.person, opinion, VIA, (word or Word()).plan.lower(), idempotency_key or ""
        )
        said = words.say(hands.world, run_id, saying)
        if said is None:
            raise _no_run(run_id)
        if not said.heard.counts:
            return _refuse(why_not(run_id, said))
        hands.wake()
        return told(run_id, said)


def _add_begin(made: APIRouter, hands: _Hands) -> None:
    @made.post(
        "/api/v1/runbooks/{name}/run",
        status_code=202,
        responses={400: {"model": wire.Problem}, **_refusals()},
        response_model=Begun,
    )
    def begin(
        name: str, request: Request, wish: Wish | None = None, idempotency_key: Key = None
    ) -> Begun | Response:
        """Begin a run by hand, for an alert that fires; it goes through all gates."""
        runbook = hands.world.runbooks.get(name)
        if runbook is None:
            raise access.no_runbook(name, hands.world.runbooks)
        alert = _cause(hands.world, runbook, wish or Wish())
        if isinstance(alert, NoCause):
            return _refuse(RefusedView(detail=alert.detail, reason=alert.reason, run=None))
        wished = dict((wish or Wish()).set)
        asker = Asker(request.state.person, VIA, idempotency_key or words.new_id(), wished)
        try:
            run = words.begin(hands.world, runbook, alert, asker)
        except BadInput as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
        if run is None:
            said = "its alert is about another node than this controller's"
            return _refuse(RefusedView(detail=said, reason="not_matched", run=None))
        if run.alert != alert.fingerprint or words.given(hands.world, run) != wished:
            detail = "this key began a run for another alert, or other parameters, already; choose a new one"
            return _refuse(RefusedView(detail=detail, reason=Answer.KEY_REUSED.value, run=run.id))
        hands.wake()
        if run.state is not RunState.REFUSED:
            return Begun(run=run.id, state=run.state.value, reason=run.reason, person=asker.person)
        return _refuse(RefusedView(detail=_gate(hands.world, run), reason=run.reason, run=run.id))


def _cause(world: World, runbook: Runbook, wish: Wish) -> Alert | NoCause:
    fingerprint = None
    if wish.alert is not None:
        try:
            fingerprint = given_alert.notice(wish.alert).fingerprint
        except BadInput as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
    with world.store.read() as transaction:
        return by_hand.cause(transaction, runbook, wish.node, fingerprint)


def _gate(world: World, run: Run) -> str:
    """Say what the gate found that refused a run."""
    with world.store.read() as transaction:
        journal = transaction.runs.journal([run.id])[run.id]
    for entry in journal:
        gates = entry.data.get("gates") if entry.kind is JournalKind.GATES else None
        for gate in gates if isinstance(gates, list) else ():
            if isinstance(gate, dict) and gate.get("passed") is not True:
                return f"{run.reason}: {gate.get('detail')}"
    return run.reason


def told(run_id: str, said: Said) -> WordView:
    """Return what became of a word that counts."""
    heard = said.heard
    return WordView(
        run=run_id,
        answer=heard.answer.value,
        person=heard.word.person,
        decision=None if heard.decision is None else heard.decision.verdict.value,
        by=[] if heard.decision is None else list(heard.decision.by),
        detail=_next(said),
    )


def _next(said: Said) -> str:
    """Say what comes next."""
    decision, request, run = said.heard.decision, said.situation.request, said.situation.run
    if said.heard.word.opinion is Opinion.CANCEL:
        return "it ends before its next change, and what it changed is taken back"
    if decision is None or request is None or run.ended:
        return f"it is over: {run.state.value} ({run.reason})"
    match decision.verdict:
        case Verdict.DENIED:
            return "it ends, and changes nothing"
        case Verdict.WAITING:
            left = request.quorum - len(decision.by)
            until = clock.rfc3339(request.until)
            return f"{len(decision.by)} of {request.quorum} approvals; {left} more until {until}"
        case Verdict.APPROVED | Verdict.UNOPPOSED:
            return "it acts now, if its gates still say yes"
        case Verdict.EXPIRED:
            return "the time for a word is over"


def why_not(run_id: str, said: Said) -> RefusedView:
    """Return why a word does not count."""
    heard, run = said.heard, said.situation.run
    detail = _SAID[heard.answer]
    by = [] if heard.decision is None else list(heard.decision.by)
    match heard.answer:
        case Answer.ALREADY_DECIDED if said.situation.cancelled is not None:
            by = [said.situation.cancelled.person]
            detail = f"already cancelled by {by[0]}"
        case Answer.ALREADY_DECIDED if heard.decision is not None:
            detail = _decided(heard.decision.verdict, by)
        case Answer.OTHER_PLAN if said.situation.request is not None:
            detail += f": {said.situation.request.plan}"
        case Answer.NOT_AN_APPROVER if said.situation.request is not None:
            detail += f"; ask {' or '.join(said.situation.request.by)}"
        case _:
            pass
    over = f"the run is over: {run.state.value} ({run.reason})" if run.ended else ""
    whole = over if heard.answer is Answer.RUN_OVER else "; ".join(filter(None, (detail, over)))
    return RefusedView(detail=whole, reason=heard.answer.value, run=run_id, by=by)


def _decided(verdict: Verdict, by: Sequence[str]) -> str:
    match verdict:
        case Verdict.APPROVED | Verdict.DENIED:
            return f"already {verdict.value} by {' and '.join(by)}"
        case Verdict.UNOPPOSED:
            return "nobody denied it in time, so it acts; cancel ends it"
        case _:
            return "it acts already; cancel ends it"


def _refusals() -> dict[int | str, dict[str, Any]]:
    problems: dict[int | str, dict[str, Any]] = {
        code: {"model": wire.Problem} for code in (401, 404, 413, 422, 503)
    }
    return {**problems, 409: {"model": RefusedView}}


def _no_run(run_id: str) -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, f"no run {literals.shown(run_id)}; see {PATH}")


def _refuse(refused: RefusedView) -> Response:
    return Response(refused.model_dump_json(), HTTPStatus.CONFLICT, media_type="application/json")


_ABOUT: Final = {
    Opinion.APPROVE: "Say yes to the plan of a run that waits for it.",
    Opinion.DENY: "Say no to the plan of a run that waits; it ends.",
    Opinion.CANCEL: "End a run that is not over; what it changed is taken back.",
}
