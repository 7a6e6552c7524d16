"""The route of postmortems."""

from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import JSONResponse

from netsre.app.control import headers, wire
from netsre.app.control.incidents.api import PATH
from netsre.app.control.postmortem import page, view
from netsre.app.control.postmortem.shapes import Postmortem
from netsre.app.control.snapshot import Board
from netsre.clock import Clock
from netsre.store.database import Store

Format = Literal["json", "md", "html"]
_ROUTE: Final = PATH + "/{name}/postmortem"


def router(store: Store, board: Board, clock: Clock) -> APIRouter:
    """Return the route."""
    routes = APIRouter()

    @routes.get(
        _ROUTE,
        response_model=Postmortem,
        responses={404: {"model": wire.Problem}, 503: {"model": wire.Problem}},
    )
    def read_postmortem(name: str, form: Annotated[Format, Query(alias="format")] = "json") -> Response:
        """Return the draft of a postmortem: times, budget spent, all in order, and blanks for people."""
        evaluations = board.current.evaluations if board.current is not None else ()
        with store.read() as transaction:
            incident = transaction.incidents.find(name)
            if incident is None:
                raise HTTPException(HTTPStatus.NOT_FOUND, f"no incident {name!r}; see {PATH}")
            found = view.read(transaction, incident, evaluations, clock.now())
        if form == "md":
            return Response(page.markdown(found), media_type="text/markdown", headers=dict(headers.SAFE))
        if form == "html":
            return Response(page.html(found), media_type="text/html", headers=dict(page.HEADERS))
        return JSONResponse(found.model_dump())

    return routes
