"""The routes of incidents: the list, one of them as JSON, and its page."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Response

from netsre.app.control import console, muting, wire
from netsre.app.control.incidents import facts, page, view
from netsre.app.control.incidents.shapes import Incidents, IncidentView, Summary
from netsre.app.control.muting import Mutes
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model.incidents import Incident
from netsre.store.database import Transaction

PATH: Final = "/api/v1/incidents"
_MOST_ROWS: Final = 200


def router(world: World) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get(PATH, responses={503: {"model": wire.Problem}})
    def list_incidents(limit: Annotated[int, Query(ge=1, le=_MOST_ROWS)] = 20) -> Incidents:
        """Return the latest incidents, newest first."""
        now = world.clock.now()
        with world.store.read() as transaction:
            mutes = muting.read(transaction, world.noisy)
            found = [
                _summary(transaction, incident, mutes, now)
                for incident in transaction.incidents.newest(limit)
            ]
        return Incidents(incidents=found)

    @routes.get(PATH + "/{name}", responses={404: {"model": wire.Problem}, 503: {"model": wire.Problem}})
    def read_incident(name: str) -> IncidentView:
        """Return one incident: alerts, pages, gates, effects, verification, times, and what is left to do."""
        return _find(world, name)

    @routes.get("/incidents/{name}", include_in_schema=False)
    def incident_page(name: str) -> Response:
        """Return the page of an incident."""
        body = page.render(_find(world, name), world.clock.now())
        return Response(body, media_type="text/html; charset=utf-8", headers=dict(console.HEADERS))

    return routes


def _find(world: World, name: str) -> IncidentView:
    now = world.clock.now()
    with world.store.read() as transaction:
        incident = transaction.incidents.find(name)
        if incident is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"no incident {name!r}; see {PATH}")
        known = facts.read(transaction, incident, now)
        mutes = muting.read(transaction, world.noisy)
    muted = mutes.cover(known.alerts, known.alerts_total, now)
    return view.build(known, muted=muted)


def _summary(transaction: Transaction, incident: Incident, mutes: Mutes, now: Timestamp) -> Summary:
    total = transaction.incidents.count(incident.id)
    alerts = transaction.incidents.alerts(incident.id, view.TITLED)
    muted = incident.closed_at is None and mutes.cover(alerts, len(alerts), now)
    if muted and total > len(alerts):
        # What is shown is not all of it: as many are looked at as for its page.
        more = transaction.incidents.alerts(incident.id, facts.MOST_ALERTS)
        muted = mutes.cover(more, total, now)
    return view.summary(incident, alerts, total, muted=muted)
