"""The API: what a runbook would do about an alert, asked by somebody with the token."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from netsre.alerting import webhook
from netsre.app import given_alert
from netsre.app.control import access, wire
from netsre.app.control.rehearsal import rehearse
from netsre.app.control.world import World
from netsre.errors import BadInput
from netsre.model.alerts import Alert
from netsre.runbook import parameters


def router(world: World, token: str) -> APIRouter:
    """Return the route; it looks at the node, which is why it asks for the token."""
    made = APIRouter(route_class=access.behind(token))
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": wire.Problem} for code in (400, 401, 404, 413, 422)
    }

    @made.post("/api/v1/runbooks/{name}/plan", responses=refusals)
    def plan(
        name: str, alert: dict[str, Any], chosen: Annotated[list[str] | None, Query(alias="set")] = None
    ) -> dict[str, Any]:
        """Return every gate with its answer, the evidence, and the exact effects; nothing is changed.

        `set` is NAME=VALUE, a value for a parameter of the runbook.
        """
        runbook = world.runbooks.get(name)
        if runbook is None:
            raise access.no_runbook(name, world.runbooks)
        try:
            notice = given_alert.notice(alert)
            bound = parameters.bound(runbook, parameters.pairs(chosen or ()), world.actions)
        except BadInput as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
        return dict(rehearse(world, bound, _alert(notice)))

    return made


def _alert(notice: webhook.Notice) -> Alert:
    return Alert(
        fingerprint=notice.fingerprint,
        labels=notice.labels,
        annotations=notice.annotations,
        state=notice.status,
        fired_at=notice.starts_at,
        resolved_at=notice.ends_at,
        updated_at=notice.ends_at or notice.starts_at,
    )
