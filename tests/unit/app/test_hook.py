"""The door for alerts: who may come in, what is refused whole, and that what is answered is on disk."""

import asyncio
import contextlib
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from netsre import clock
from netsre.alerting.describe import Links
from netsre.alerting.notify import Pace
from netsre.app.control import hook, intake, messages
from netsre.app.control.hook import Door
from netsre.app.control.intake import Intake, Refusal
from netsre.app.control.pager import Pager, Telling
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.metrics.readings import Readings
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.incidents import Disposition
from netsre.model.runbooks import Trigger
from netsre.store.database import Store, Transaction
from tests.unit import burning
from tests.unit.app.fakes import SetClock

SHOWN = "what-the-tests-show"
TRIGGERS = {Trigger(name, state) for name in ("A", "B", "ErrorBudgetBurn") for state in AlertState}
START, END = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"
ZERO = "0001-01-01T00:00:00Z"


class Fetching(Pager):
    """A pager without peers that remembers what it was asked to fetch."""

    def __init__(self, telling: Telling) -> None:
        """Begin without having been asked."""
        super().__init__((), telling)
        self.asked: list[str] = []

    def fetch(self, receiver: str) -> None:
        """Remember it."""
        self.asked.append(receiver)


class House:
    """A store and its door, whose intake really runs."""

    def __init__(self, store: Store, *, started: bool = True) -> None:
        """Open; what is not started yet takes requests, and keeps none of them."""
        self.store = store
        self.woken = threading.Event()
        self.intake = Intake(store, SetClock(), TRIGGERS, self.woken.set)
        telling = Telling(store, SetClock(), Pace(15 * clock.SECOND), Links("http://a"), self.intake.offer)
        self.pager = Fetching(telling)
        self.app = FastAPI()
        hook.add(self.app, Door(SHOWN, self.intake, self.pager))
        if started:
            self.intake.start()

    async def send(self, content: Any, token: str | None = SHOWN) -> httpx.Response:  # noqa: ANN401
        """Send a body, and return the answer."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            return await client.post(hook.PATH, content=content, headers=headers)

    def post(self, content: Any, token: str | None = SHOWN) -> httpx.Response:  # noqa: ANN401
        """Send a body from a test that awaits nothing."""
        return asyncio.run(self.send(content, token))

    def kept(self) -> dict[str, int]:
        """Return how many alerts were received, by what they were."""
        with self.store.read() as transaction:
            return transaction.received.counts()

    def firing(self) -> list[Alert]:
        """Return the alerts of others that fire."""
        with self.store.read() as transaction:
            return list(transaction.alerts.active(AlertSource.WEBHOOK).values())

    def announced(self) -> list[str]:
        """Return what runbooks hear, by key."""
        with self.store.read() as transaction:
            due = transaction.outbox.due(messages.RUNBOOK, Timestamp(2**60), 1000, 2**60)
        return [message.key for message in due]

    def refused(self, why: Refusal) -> float:
        """Return how many requests were refused for a reason."""
        readings = Readings()
        self.intake.readings(readings)
        return {
            labels["disposition"]: value for labels, value in readings.numbers["netsre_alerts_received_total"]
        }[why.value]


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def house(store: Store) -> Iterator[House]:
    """Return an open door."""
    made = House(store)
    yield made
    made.intake.stop(5)


def alert(name: str = "A", *, starts: str = START, ends: str | None = None, **labels: str) -> dict[str, Any]:
    """Return one alert of a body; it fires unless it has an end."""
    return {
        "status": "resolved" if ends else "firing",
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "of somebody else"},
        "startsAt": starts,
        "endsAt": ends or ZERO,
    }


def body(*alerts: object, **more: object) -> str:
    """Return a body with these alerts."""
    return json.dumps({"version": "4", "receiver": "netsre", "alerts": alerts, **more})


def test_what_is_answered_is_on_disk_and_announced(house: House) -> None:
    """One firing of somebody else: an alert here, a message for the runbooks, a row of the audit."""
    answer = house.post(body(alert()))

    assert (answer.status_code, answer.json()) == (200, {"kept": {"new": 1}})
    (fires,) = house.firing()
    assert (dict(fires.labels), fires.fired_at) == ({"alertname": "A"}, burning.T0)
    assert house.announced() == [f"{fires.fingerprint}/{burning.T0}/firing"]
    assert house.woken.wait(30)
    with house.store.read() as transaction:
        assert "alerts.received" in [row.verb for row in transaction.audit.rows()]
        (received,) = transaction.received.of([fires])
    assert (received.disposition, received.times, received.status) == (Disposition.NEW, 1, "firing")


def test_the_same_again_is_one_firing_and_one_message(house: House) -> None:
    """Sent three times, in one body and in several."""
    house.post(body(alert(), alert()))
    answer = house.post(body(alert()))

    assert answer.json() == {"kept": {"duplicate": 1}}
    assert house.kept() == {"new": 1, "duplicate": 2}
    assert len(house.announced()) == 1
    with house.store.read() as transaction:
        (received,) = transaction.received.of(house.firing())
    assert received.times == 3


def test_an_end_ends_it_and_a_late_firing_does_not_begin_it_again(house: House) -> None:
    """Also when all of it comes in one body."""
    house.post(body(alert()))
    house.post(body(alert(ends=END)))
    house.post(body(alert(), alert(starts="2026-01-01T00:04:59Z")))

    assert house.firing() == []
    assert house.kept() == {"new": 2, "duplicate": 1, "late": 1}
    assert [key.rpartition("/")[2] for key in house.announced()] == ["firing", "resolved"]

    house.post(body(alert("B"), alert("B", ends=END), alert("B", starts="2026-01-01T00:06:00Z")))
    assert [found.fired_at for found in house.firing()] == [burning.T0 + 6 * clock.MINUTE]


def test_a_clock_that_was_wrong_mutes_nothing(house: House) -> None:
    """What a sender stamped with the year 9999 is over, and the next firing of today is news."""
    far, end = "9999-01-01T00:00:00Z", "9999-01-01T00:01:00Z"
    house.post(body(alert(starts=far)))
    house.post(body(alert(starts=far, ends=end)))

    assert house.post(body(alert())).json() == {"kept": {"new": 1}}
    assert [found.fired_at for found in house.firing()] == [burning.T0]


def test_an_end_before_its_firing_makes_nothing_fire(house: House) -> None:
    """Delivered the wrong way round."""
    house.post(body(alert(ends=END)))
    house.post(body(alert()))

    assert (house.firing(), house.announced(), house.kept()) == ([], [], {"new": 1, "late": 1})


def test_the_next_firing_may_overtake_the_end_of_the_last(house: House) -> None:
    """The first ends where the second began, and its own late end does not end the second."""
    later = "2026-01-01T00:10:00Z"
    house.post(body(alert()))
    house.post(body(alert(starts=later)))
    house.post(body(alert(ends=END)))

    (fires,) = house.firing()
    assert fires.fired_at == burning.T0 + 10 * clock.MINUTE
    assert [key.rpartition("/")[2] for key in house.announced()] == ["firing", "resolved", "firing"]


def test_our_own_alert_starts_nothing(house: House) -> None:
    """It proves the way round, and stays ours."""
    ours = burning.fired().alert
    with house.store.write() as transaction:
        transaction.alerts.save(ours)
    answer = house.post(body({**alert(), "labels": dict(ours.labels)}))

    assert answer.json() == {"kept": {"own": 1}}
    assert (house.firing(), house.announced()) == ([], [])
    with house.store.read() as transaction:
        assert transaction.alerts.active(AlertSource.SLO) == {ours.fingerprint: ours}


def test_our_own_firing_takes_the_place_of_one_that_was_told(house: House) -> None:
    """A Prometheus with the same rules may have been quicker: one alert, and no conflict in the turn."""
    ours = burning.fired().alert
    house.post(body({**alert(starts="2025-12-31T23:59:00Z"), "labels": dict(ours.labels)}))
    assert len(house.firing()) == 1

    with house.store.write() as transaction:
        transaction.alerts.save(ours)

    with house.store.read() as transaction:
        assert transaction.alerts.active() == {ours.fingerprint: ours}
        theirs = transaction.alerts.find(ours.fingerprint, Timestamp(ours.fired_at - clock.MINUTE))
    assert theirs is not None
    assert (theirs.state, theirs.resolved_at) == (AlertState.RESOLVED, ours.fired_at)


def test_what_starts_no_runbook_does_not_stand_in_line(house: House) -> None:
    """A storm of other alerts must not keep waiting the one that a runbook is for."""
    house.post(body(*(alert(f"Other{number}") for number in range(9)), alert("A")))

    assert len(house.firing()) == 10
    assert len(house.announced()) == 1


def test_an_alert_without_a_name_is_kept_as_received_only(house: House) -> None:
    """No runbook could name it."""
    answer = house.post(body({**alert(), "labels": {"team": "x"}}))

    assert (answer.json(), house.firing(), house.announced()) == ({"kept": {"new": 1}}, [], [])


@pytest.mark.parametrize("token", [None, "", "another-token-altogether"])
def test_without_the_token_nothing_is_read_or_kept(house: House, token: str | None) -> None:
    """The answer does not say what was wrong."""
    answer = house.post(body(alert()), token)

    assert (answer.status_code, answer.json()) == (401, {"detail": "a token is needed"})
    assert (house.kept(), house.refused(Refusal.UNAUTHENTICATED)) == ({}, 1)


@pytest.mark.parametrize(
    ("content", "status", "said", "why"),
    [
        ("", 400, "body is no JSON", Refusal.MALFORMED),
        ("{", 400, "body is no JSON", Refusal.MALFORMED),
        (body(alert())[:-20], 400, "body is no JSON", Refusal.MALFORMED),
        (b"\x00\xff\x10garbage", 400, "body is no UTF-8 text", Refusal.MALFORMED),
        (body(version="3"), 400, "version is '3'", Refusal.MALFORMED),
        (body(alert(), {**alert(), "startsAt": 7}), 400, "alerts[1].startsAt", Refusal.MALFORMED),
        (b" " * (hook.MOST_BYTES + 1), 413, "set max_alerts", Refusal.TOO_LARGE),
    ],
)
def test_a_body_that_is_wrong_is_refused_whole(
    house: House, content: str | bytes, status: int, said: str, why: Refusal
) -> None:
    """With one reason; the good alerts in it are not kept either."""
    answer = house.post(content)

    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert (house.kept(), house.firing(), house.refused(why)) == ({}, [], 1)


def test_a_body_that_ends_early_is_one_that_is_wrong(house: House) -> None:
    """Whoever sent it is gone: it is counted, and no error of ours."""
    sent = iter([{"type": "http.request", "body": b'{"version": "4"', "more_body": True}])
    scope = {
        "type": "http", "method": "POST", "path": hook.PATH, "query_string": b"",
        "headers": [(b"authorization", f"Bearer {SHOWN}".encode())],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return next(sent, {"type": "http.disconnect"})

    async def send(_message: object) -> None:
        return None

    asyncio.run(house.app(scope, receive, send))

    assert (house.kept(), house.refused(Refusal.MALFORMED)) == ({}, 1)


def test_a_large_body_is_read_as_well(house: House) -> None:
    """Beside whatever else is served; and all of it is one transaction."""
    answer = house.post(body(*(alert(n=str(n)) for n in range(2500))))

    assert answer.json() == {"kept": {"new": 2500}}
    assert len(house.firing()) == 2500


def test_what_was_left_out_is_asked_for(house: House) -> None:
    """What is there is kept first."""
    house.post(body(alert(), truncatedAlerts=3, receiver=r"web\.hook", externalURL="http://evil:1"))

    assert (house.kept(), house.pager.asked) == ({"new": 1}, [r"web\.hook"])


def test_too_much_at_once_is_refused_and_nothing_of_it_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alertmanager sends it again; what waited already is kept."""
    monkeypatch.setattr(intake, "MOST_WAITING", 8)
    # Nothing is taken from those who wait before one of them was turned away.
    house = House(store, started=False)

    async def flood() -> list[int]:
        batches = [body(*(alert(name, n=str(n)) for n in range(5))) for name in ("first", "second")]
        waiting = [asyncio.create_task(house.send(text)) for text in batches]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        house.intake.start()
        return [answer.status_code for answer in await asyncio.gather(*waiting)]

    try:
        assert sorted(asyncio.run(flood())) == [200, 503]
        assert house.kept() == {"new": 5}
    finally:
        house.intake.stop(5)


@contextlib.contextmanager
def blocked(store: Store) -> Iterator[threading.Event]:
    """Hold the database against every writer, in a thread of its own, until told to let go."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with store.write():
            held.set()
            let_go.wait(8)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(8)
    try:
        yield let_go
    finally:
        let_go.set()
        thread.join()


class Failing(Store):
    """A store that cannot write while it is told so."""

    broken = True

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Fail at the commit, or write."""
        if self.broken:
            raise StoreUnusable("database: disk is full")
        with super().write() as transaction:
            yield transaction


def test_a_store_that_cannot_keep_is_503_and_the_next_try_is_new(tmp_path: pathlib.Path) -> None:
    """Nothing is remembered of what was not kept."""
    burning.store(tmp_path).close()
    store = Failing.at(tmp_path, burning.MIGRATIONS)
    assert isinstance(store, Failing)
    house = House(store)
    answer = house.post(body(alert()))
    assert (answer.status_code, answer.json()) == (503, {"detail": "database: disk is full"})
    assert house.refused(Refusal.UNUSABLE) == 1

    store.broken = False
    assert house.post(body(alert())).json() == {"kept": {"new": 1}}
    house.intake.stop(5)
    store.close()


def test_a_sender_that_goes_away_stops_nobody(house: House) -> None:
    """Its alerts may be kept or not; the next sender is answered."""

    async def leave() -> None:
        with blocked(house.store):
            task = asyncio.create_task(house.send(body(alert())))
            await asyncio.sleep(0.2)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(leave())

    assert house.post(body(alert("B"))).status_code == 200
