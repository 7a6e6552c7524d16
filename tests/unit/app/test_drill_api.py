"""Game days over HTTP: whoever begins or ends one shows a token; every no has its word."""

import asyncio
import pathlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from netsre import conventions as c
from netsre.app.control import drill_api
from netsre.app.control.drill_api import Gamedays
from netsre.app.control.drills import Drills
from netsre.clock import Timestamp
from netsre.gameday.decide import Gate
from netsre.metrics.readings import Readings
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.drill_lab import GAMEDAY, Range

TOKEN = "what-the-tests-show"  # noqa: S105
PATH = "/api/v1/gamedays"


class Client:
    """Asks the routes in this process."""

    def __init__(self, ground: Range) -> None:
        """Serve a quiet lab."""
        self.drills: Drills = ground.drills()
        self.served = Gamedays(
            self.drills, self.drills._ground, lambda: {GAMEDAY.name: Timestamp(burning.T0 + 1)}
        )
        self._app = FastAPI()
        self._app.include_router(drill_api.router(self.served, TOKEN))

    def send(
        self, method: str, path: str, document: object = None, *, token: str = TOKEN, **headers: str
    ) -> httpx.Response:
        """Return the answer to one request."""
        shown = {"Authorization": f"Bearer {token}", **headers}

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, json=document, headers=shown)

        return asyncio.run(ask())

    def json(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of a good answer."""
        answer = self.send("GET", path, token="none")  # noqa: S106
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def ground(store: Store) -> Range:
    """Return a quiet lab."""
    return Range(store)


@pytest.fixture
def client(ground: Range) -> Client:
    """Return a client of its routes."""
    return Client(ground)


def test_a_drill_is_begun_followed_and_told_with_all_its_figures(client: Client, ground: Range) -> None:
    """From 202 with its place to a result with times as text and numbers as numbers."""
    answer = client.send("POST", PATH, {"name": GAMEDAY.name, "profile": "udp", "by": "ann"})

    assert answer.status_code == 202
    begun = answer.json()
    assert (begun["state"], answer.headers["location"]) == ("requested", f"{PATH}/{begun['id']}")
    for _ in range(30):
        client.drills.advance()
        ground.second()
    drill = client.json(f"{PATH}/{begun['id']}")["drill"]
    assert (drill["state"], drill["by"], drill["injected_at"]) == (
        "passed",
        "ann",
        "2026-01-01T00:00:00.000Z",
    )
    assert drill["seconds"]["verified"] == 18
    assert 0 < drill["budget_burned"] < 0.001
    assert (drill["alertmanager_received"], drill["host_restored"]) == (True, True)
    journal = client.json(f"{PATH}/{begun['id']}")["journal"]
    assert [line["seq"] for line in journal] == list(range(1, len(journal) + 1))
    listed = client.json(PATH)
    assert listed["lab"] is True
    assert [day["next_at"] for day in listed["gamedays"]] == ["2026-01-01T00:00:00.001Z"]
    assert listed["runs"] == [drill]


@pytest.mark.parametrize("path", [PATH, f"{PATH}/abc/abort"])
def test_whoever_changes_something_shows_the_token(client: Client, path: str) -> None:
    """Without it nothing is judged, and nothing is on record."""
    answer = client.send("POST", path, {"name": GAMEDAY.name}, token="guessed")  # noqa: S106

    assert answer.status_code == 401
    assert client.json(PATH)["runs"] == []


def test_a_refusal_has_its_word_and_is_on_record(client: Client, ground: Range) -> None:
    """With a sentence for people beside it."""
    ground.switch = Gate.KILL_SWITCH_ON

    answer = client.send("POST", PATH, {"name": GAMEDAY.name})

    assert answer.status_code == 409
    said = answer.json()
    assert said["reason"] == "kill_switch_on"
    assert "kill-switch" in said["detail"]
    assert client.json(f"{PATH}/{said['id']}")["drill"]["state"] == "refused"


def test_an_unknown_name_is_refused_with_the_nearest(client: Client) -> None:
    """And leaves no row."""
    answer = client.send("POST", PATH, {"name": "conntrack-flod"})

    assert (answer.status_code, answer.json()["reason"], answer.json()["id"]) == (
        409,
        "unknown_gameday",
        None,
    )
    assert "'conntrack-flood'" in answer.json()["detail"]


def test_the_same_request_twice_is_one_drill(client: Client) -> None:
    """By the header that is meant for it, or by an id in the body."""
    by_header = [
        client.send("POST", PATH, {"name": GAMEDAY.name}, **{"Idempotency-Key": "k1"}).json()["id"]
        for _ in range(2)
    ]
    by_body = client.send("POST", PATH, {"name": GAMEDAY.name, "id": "k1"}).json()["id"]

    assert {*by_header, by_body} == {by_header[0]}


@pytest.mark.parametrize("other", [{"name": "something-else"}, {"name": GAMEDAY.name, "profile": "tcp"}])
def test_a_key_is_for_one_request(client: Client, other: dict[str, str]) -> None:
    """Another wish under it is neither carried out nor taken for the first."""
    first = client.send("POST", PATH, {"name": GAMEDAY.name, "profile": "udp", "id": "k1"}).json()

    answer = client.send("POST", PATH, {**other, "id": "k1"})

    assert (answer.status_code, answer.json()["reason"]) == (409, "key_reused")
    assert [run["id"] for run in client.json(PATH)["runs"]] == [first["id"]]


def test_a_header_without_a_key_is_refused(client: Client) -> None:
    """Everybody's empty key would be one."""
    assert client.send("POST", PATH, {"name": GAMEDAY.name}, **{"Idempotency-Key": ""}).status_code == 422


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"name": GAMEDAY.name, "profile": "sctp"},
        {"name": GAMEDAY.name, "when": "now"},
        {"name": "x" * 101},
        [],
    ],
)
def test_a_body_that_is_none_is_refused(client: Client, document: object) -> None:
    """What is not understood is not guessed at."""
    assert client.send("POST", PATH, document).status_code == 422


def test_a_drill_is_ended_once(client: Client, ground: Range) -> None:
    """Asked again meanwhile it is the same wish; afterwards there is nothing to end."""
    name = client.send("POST", PATH, {"name": GAMEDAY.name}).json()["id"]
    client.drills.advance()

    assert [client.send("POST", f"{PATH}/{name}/abort").status_code for _ in range(2)] == [202, 202]
    for _ in range(20):
        client.drills.advance()
        ground.second()
    over = client.send("POST", f"{PATH}/{name}/abort", {"by": "ann"})
    assert (over.status_code, over.json()["reason"]) == (409, "not_active")
    assert client.json(f"{PATH}/{name}")["drill"]["state"] == "aborted"
    assert client.send("POST", f"{PATH}/nobody/abort").status_code == 404
    assert client.send("GET", f"{PATH}/nobody").status_code == 404


def test_the_metrics_say_what_goes_on_and_how_it_ended(client: Client, ground: Range) -> None:
    """A gauge for each game day, and a count of every end with its reason."""
    ground.switch = Gate.KILL_SWITCH_ON
    client.send("POST", PATH, {"name": GAMEDAY.name})
    ground.switch = Gate.ACCEPTED
    client.send("POST", PATH, {"name": GAMEDAY.name})
    readings = Readings()
    client.served.readings(readings)

    about = {"gameday": GAMEDAY.name}
    assert readings.numbers[c.GAMEDAY_ACTIVE] == [(about, 1.0)]
    assert readings.numbers[c.GAMEDAYS] == [({**about, "result": "refused", "reason": "kill_switch_on"}, 1.0)]


def test_a_database_that_is_lost_takes_no_other_metric_with_it(
    client: Client, store: Store, tmp_path: pathlib.Path
) -> None:
    """What is not known is absent."""
    store.close()
    (tmp_path / "netsre.db").unlink()
    readings = Readings()
    client.served.readings(readings)

    assert not readings.numbers
