"""The API: game days, what came of each, and requests to begin or to end one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from netsre import clock
from netsre import conventions as c
from netsre.app import gamedays as definitions
from netsre.app.control import access, wire
from netsre.app.control.drill_world import Ground
from netsre.app.control.drills import Asked, Drills, Replied
from netsre.app.numbers import Number, number
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.gameday.decide import Gate
from netsre.gameday.results import TIMES
from netsre.metrics.readings import Readings
from netsre.model import literals
from netsre.model.documents import Json
from netsre.model.gamedays import Drill, DrillEntry
from netsre.store.database import Store

PATH: Final = "/api/v1/gamedays"
_MOST_ROWS: Final = 1_000
_SAID: Final = {
    Gate.UNKNOWN_GAMEDAY: "there is no game day of that name",
    Gate.KEY_REUSED: "this key stands for another request already; choose a new one",
    Gate.ALREADY_RAN: "this scheduled time has had its turn",
    Gate.LATE: "its time is past; it is never run late",
    Gate.KILL_SWITCH_ON: "the kill switch is on; see netsre kill-switch status",
    Gate.KILL_SWITCH_UNREADABLE: "the kill switch cannot be read; see netsre kill-switch status",
    Gate.NO_LAB: "no lab answers; start netsre up --lab, or add --lab",
    Gate.NO_NODE: "the agent does not answer on its control socket, so nothing could be taken back",
    Gate.DRILL_ACTIVE: "another drill is not over; wait, or abort it",
    Gate.ALERT_FIRING: "an alert of the lab fires already; look there first",
    Gate.RUNBOOK_REFUSES: "the runbook that should answer would not act now",
    Gate.BUDGET_LOW: "less of the error budget is left than the game day asks for",
    Gate.BUDGET_UNKNOWN: "nothing was measured of the service level yet; try again after two evaluations",
}


@dataclass(frozen=True, slots=True)
class Gamedays:
    """What these routes tell of, and act through."""

    drills: Drills
    ground: Ground
    next_times: Callable[[], Mapping[str, Timestamp | None]]

    def readings(self, readings: Readings) -> None:
        """Add the metrics of game days; without a database they are not known, and absent."""
        try:
            with self.ground.store.read() as transaction:
                active, counts = transaction.drills.active(), transaction.drills.counts()
        except StoreUnusable:
            return
        for name in self.ground.gamedays:
            readings.put(c.GAMEDAY_ACTIVE, (name,), float(active is not None and active.gameday == name))
        for key, count in counts.items():
            readings.put(c.GAMEDAYS, key, float(count))


class Wish(BaseModel):
    """A request for a game day."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=100)]
    profile: Literal["udp", "tcp"] | None = None
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The same id again is the same request; the header `Idempotency-Key` does the same."""
    by: wire.Who = "api"


class Abort(BaseModel):
    """A request to end a drill."""

    model_config = ConfigDict(extra="forbid")

    by: wire.Who = "api"


class Answered(BaseModel):
    """What became of a request."""

    id: str
    state: str
    reason: str


class RefusedView(BaseModel):
    """Why a request was refused; the reason is a word, the detail a sentence."""

    detail: str
    reason: str
    id: str | None


class LineView(BaseModel):
    """One line of a drill's journal."""

    seq: int
    at: str
    kind: str
    # Whatever the drill did: its shape is the line's.
    data: dict[str, Any]


class DrillView(BaseModel):
    """One run of a game day; what is null has its word in `reasons`."""

    id: str
    gameday: str
    profile: str
    by: str
    state: str
    reason: str
    detail: str
    scheduled_at: str | None
    requested_at: str
    ended_at: str | None
    injected_at: str | None
    beyond_at: str | None
    """When the table was first seen beyond the value of the alert."""
    detected_at: str | None
    paged_at: str | None
    mitigated_at: str | None
    verified_at: str | None
    seconds: dict[str, Number | None]
    """From the injection."""
    paged_by: str | None
    """The address of an Alertmanager, or `log` where there is none."""
    budget_burned: Number | None
    """Share of the error budget of the whole window."""
    alertmanager_received: bool | None
    host_restored: bool | None
    left_behind: list[str] | None
    alert: str | None
    run: str | None
    incident: str | None
    fault: dict[str, Any] | None
    reasons: dict[str, str]


class Definition(BaseModel):
    """A game day as it is written."""

    name: str
    hypothesis: str
    fault: str
    profile: str
    duration: str
    expect: dict[str, str]
    deadlines: dict[str, str]
    schedule: dict[str, str] | None
    file: str
    next_at: str | None


class Listed(BaseModel):
    """Game days, and their runs, newest first."""

    lab: bool
    """There is a lab for them."""
    gamedays: list[Definition]
    runs: list[DrillView]


class Told(BaseModel):
    """One run of a game day with its journal."""

    drill: DrillView
    journal: list[LineView]


def router(served: Gamedays, token: str) -> APIRouter:
    """Return the routes; those that do something ask for the token."""
    reading, doing = APIRouter(), APIRouter(route_class=access.behind(token))
    _add_reading(reading, served)
    _add_doing(doing, served)
    reading.include_router(doing)
    return reading


def _add_reading(made: APIRouter, served: Gamedays) -> None:
    unusable: dict[int | str, dict[str, Any]] = {503: {"model": wire.Problem}}
    limits = Annotated[int, Query(ge=1, le=_MOST_ROWS)]

    @made.get(PATH, responses=unusable)
    def list_gamedays(limit: limits = 50) -> Listed:
        """Return the game days and when each comes next, and their latest runs, newest first."""
        with served.ground.store.read() as transaction:
            found = transaction.drills.newest(limit)
        times = served.next_times()
        return Listed(
            lab=served.ground.lab is not None,
            gamedays=[
                Definition(**definitions.describe(gameday), next_at=_time(times.get(name)))
                for name, gameday in served.ground.gamedays.items()
            ],
            runs=[view(drill) for drill in found],
        )

    @made.get(f"{PATH}/{{drill_id}}", responses={**unusable, 404: {"model": wire.Problem}})
    def tell(drill_id: str) -> Told:
        """Return one run with its journal."""
        drill = _found(served.ground.store, drill_id)
        with served.ground.store.read() as transaction:
            journal = transaction.drills.journal(drill_id)
        return Told(drill=view(drill), journal=[_line(entry) for entry in journal])


def _add_doing(made: APIRouter, served: Gamedays) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        **{code: {"model": wire.Problem} for code in (401, 413, 422, 503)},
        409: {"model": RefusedView},
    }

    @made.post(PATH, status_code=202, responses=refusals, response_model=Answered)
    def begin(
        wish: Wish,
        response: Response,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> Answered | Response:
        """Judge a request for a game day, record the answer, and begin it soon if nothing is against it."""
        asked = Asked(wish.name, wish.by, wish.profile, wish.id or idempotency_key)
        replied = served.drills.request(asked)
        drill = replied.drill
        if replied.gate is Gate.ACCEPTED and drill is not None:
            response.headers["location"] = f"{PATH}/{drill.id}"
            return Answered(id=drill.id, state=drill.state.value, reason=drill.reason)
        said = _why(replied, wish.name, served.ground.gamedays)
        return _refuse(RefusedView(detail=said, reason=replied.gate.value, id=drill.id if drill else None))

    @made.post(
        f"{PATH}/{{drill_id}}/abort",
        status_code=202,
        responses={**refusals, 404: {"model": wire.Problem}},
        response_model=Answered,
    )
    def abort(drill_id: str, wish: Abort | None = None) -> Answered | Response:
        """Ask for the end of a drill; it still cleans up."""
        ended = served.drills.abort(drill_id, (wish or Abort()).by)
        if ended is not None:
            return Answered(id=ended.id, state=ended.state.value, reason=ended.reason)
        drill = _found(served.ground.store, drill_id)
        said = f"it is over: {drill.state.value} ({drill.reason})"
        return _refuse(RefusedView(detail=said, reason="not_active", id=drill.id))


def _why(replied: Replied, name: str, known: Collection[str]) -> str:
    said = _SAID[replied.gate]
    if replied.gate is Gate.UNKNOWN_GAMEDAY:
        return said + literals.nearest(name, known)
    detail = "" if replied.drill is None else str(replied.drill.result.get("detail", ""))
    return f"{said}: {detail}" if detail else said


def view(drill: Drill) -> DrillView:
    """Return a drill as JSON."""
    result = drill.result
    plain = {name: result.get(name) for name in _AS_THEY_ARE}
    times = {name: _time(result.get(name)) for name in TIMES}
    told = {
        "id": drill.id,
        "gameday": drill.gameday,
        "profile": drill.profile,
        "by": drill.by,
        "state": drill.state.value,
        "reason": drill.reason,
        "detail": str(result.get("detail", "")),
        "scheduled_at": _time(drill.scheduled_at),
        "requested_at": clock.rfc3339(drill.requested_at),
        "ended_at": _time(drill.ended_at),
        "seconds": {name: _number(text) for name, text in _mapping(result.get("seconds")).items()},
        "budget_burned": _number(result.get("budget_burned")),
        "reasons": _mapping(result.get("reasons")),
    }
    return DrillView.model_validate({**plain, **times, **told})


_AS_THEY_ARE: Final = (
    "paged_by", "alertmanager_received", "host_restored", "left_behind", "alert", "run", "incident", "fault",
)  # fmt: skip


def _line(entry: DrillEntry) -> LineView:
    return LineView(seq=entry.seq, at=clock.rfc3339(entry.at), kind=entry.kind.value, data=dict(entry.data))


def _found(store: Store, drill_id: str) -> Drill:
    with store.read() as transaction:
        drill = transaction.drills.find(drill_id)
    if drill is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no run {literals.shown(drill_id)} of a game day")
    return drill


def _refuse(refused: RefusedView) -> Response:
    return Response(refused.model_dump_json(), HTTPStatus.CONFLICT, media_type="application/json")


def _time(at: Json) -> str | None:
    return clock.rfc3339(Timestamp(at)) if isinstance(at, int) else None


def _number(text: Json) -> Number | None:
    return number(Fraction(text)) if isinstance(text, str) else None


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
