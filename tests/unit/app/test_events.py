"""What people say that they did is kept once, with their name, and stands in the order of incidents."""

import asyncio
import pathlib
from collections.abc import Iterator
from typing import Any

import fastapi
import httpx
import pytest

from netsre import clock
from netsre.app.control import event_api
from netsre.app.control.incidents import facts, view
from netsre.clock import Timestamp
from netsre.model.directory import ALONE
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app import incident_story as told
from tests.unit.app.fakes import SetClock

TOKEN = "t" * 32
DEPLOY = {"kind": "deploy", "text": "api 1.4.2", "id": "d-1"}


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def ask(store: Store, wish: dict[str, Any] | None, now: Timestamp = burning.T0, shown: str = TOKEN) -> Any:  # noqa: ANN401 - JSON
    """Post an event, or list them; return status and answer."""
    app = fastapi.FastAPI()
    app.include_router(event_api.router(store, SetClock(now), TOKEN, ALONE))

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            if wish is None:
                return await client.get(event_api.PATH)
            headers = {"authorization": f"Bearer {shown}"}
            return await client.post(event_api.PATH, json=wish, headers=headers)

    said = asyncio.run(answer())
    return said.status_code, said.json()


def audited(store: Store) -> list[tuple[str, str]]:
    """Return who did what."""
    with store.read() as transaction:
        return [(row.actor, row.verb) for row in transaction.audit.rows()]


def test_an_event_is_kept_once_with_who_said_it(store: Store) -> None:
    """Said again, also later, it is the same; there is one row of the audit."""
    first = ask(store, DEPLOY)

    again = ask(store, DEPLOY, Timestamp(burning.T0 + clock.HOUR))

    assert first == again
    assert first[0] == 201
    assert (first[1]["at"], first[1]["person"]) == ("2026-01-01T00:00:00.000Z", "operator")
    assert audited(store) == [("operator", "event.added")]
    assert ask(store, None)[1]["events"] == [first[1]]


@pytest.mark.parametrize(
    "other", [{"text": "api 1.4.3"}, {"kind": "config"}, {"node": "a"}, {"at": "2025-12-31T23:00:00Z"}]
)
def test_an_id_does_not_stand_for_two_events(store: Store, other: dict[str, str]) -> None:
    """Nothing of what was said first is changed."""
    ask(store, DEPLOY)

    assert ask(store, {**DEPLOY, **other})[0] == 409
    assert len(ask(store, None)[1]["events"]) == 1
    assert len(audited(store)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "De ploy"},
        {"kind": ""},
        {"text": ""},
        {"text": "x" * 501},
        {"at": "yesterday"},
        {"at": "2025-11-01T00:00:00Z"},
        {"at": "2026-01-01T00:06:00Z"},
        {"id": ""},
        {"node": "n" * 301},
        {"more": 1},
    ],
)
def test_what_is_no_event_is_refused(store: Store, wrong: dict[str, object]) -> None:
    """And leaves nothing."""
    assert ask(store, {**DEPLOY, **wrong})[0] == 422
    assert audited(store) == []


def test_a_stranger_says_nothing(store: Store) -> None:
    """Without the token of somebody who is known."""
    assert ask(store, DEPLOY, shown="wrong")[0] == 401
    assert audited(store) == []


def test_an_incident_has_the_events_of_its_node_and_of_all(store: Store) -> None:
    """From an hour before; other nodes and other times have nothing to do with it, and every word is text."""
    told.whole(store)
    hour = clock.HOUR // clock.SECOND
    for number, (seconds, node) in enumerate(
        [(-hour - 5, ""), (-hour + 5, ""), (1, "worker-17"), (1, "worker-18"), (60, "")]
    ):
        at = clock.rfc3339(told.at(seconds))
        said = {"kind": "deploy", "text": f"e{number}\n", "node": node, "at": at}
        assert ask(store, said, told.at(100))[0] == 201

    with store.read() as transaction:
        (found,) = transaction.incidents.newest(2)
        timeline = view.build(facts.read(transaction, found, told.at(300))).timeline

    assert [event.text for event in timeline if event.kind == "deploy"] == [
        "operator: e1\\n",
        "operator: e2\\n",
    ]
    assert [event.at for event in timeline] == sorted(event.at for event in timeline)
