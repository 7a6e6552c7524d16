"""The routes of incidents: the list, one of them as JSON, and its page."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Response

from netsre.app.control import console, wire
from netsre.app.control.incidents import facts, page, view
from netsre.app.control.incidents.shapes import Incidents, IncidentView
from netsre.clock import Clock
from netsre.store.database import Store

PATH: Final = "/api/v1/incidents"
_MOST_ROWS: Final = 200


def router(store: Store, clock: Clock) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    def find(name: str) -> IncidentView:
        with store.read() as transaction:
            incident = transaction.incidents.find(name)
            if incident is None:
                raise HTTPException(HTTPStatus.NOT_FOUND, f"no incident {name!r}; see {PATH}")
            known = facts.read(transaction, incident, clock.now())
        return view.build(known)

    @routes.get(PATH, responses={503: {"model": wire.Problem}})
    def list_incidents(limit: Annotated[int, Query(ge=1, le=_MOST_ROWS)] = 20) -> Incidents:
        """Return the latest incidents, newest first."""
        with store.read() as transaction:
            found = [
                view.summary(
                    incident,
                    transaction.incidents.alerts(incident.id, view.TITLED),
                    transaction.incidents.count(incident.id),
                )
                for incident in transaction.incidents.newest(limit)
            ]
        return Incidents(incidents=found)

    @routes.get(PATH + "/{name}", responses={404: {"model": wire.Problem}, 503: {"model": wire.Problem}})
    def read_incident(name: str) -> IncidentView:
        """Return one incident: alerts, pages, gates, effects, verification, times, and what is left to do."""
        return find(name)

    @routes.get("/incidents/{name}", include_in_schema=False)
    def incident_page(name: str) -> Response:
        """Return the page of an incident."""
        body = page.render(find(name), clock.now())
        return Response(body, media_type="text/html; charset=utf-8", headers=dict(console.HEADERS))

    return routes
