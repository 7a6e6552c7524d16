"""What is muted opens no message in Slack: tickets of announced deploys and of known noisy clients."""

import asyncio
import datetime
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import fastapi
import httpx
import pytest

from netsre import clock
from netsre.adapters.slack.api import Slack as Client
from netsre.alerting import describe, routing
from netsre.alerting.noisy import NoisyClient
from netsre.app import service_levels
from netsre.app.control import incidents, muting
from netsre.app.control.incidents import api as incident_api
from netsre.app.control.slack.teller import Pace, Teller
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState, fingerprint
from netsre.model.samples import labels
from netsre.store.database import Store
from tests import slack_server
from tests.slack_server import Slack
from tests.unit import burning
from tests.unit.app import incident_story as told
from tests.unit.app.fakes import SetClock, world

SERVICE = "node-conntrack"
SCANNER = "default/scanner"
EGRESS = "UnexpectedEgressDenied"


def get(app: fastapi.FastAPI, path: str) -> httpx.Response:
    """Ask for something."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())


class Desk:
    """A store, a Slack, and whoever keeps the one up to date with the other."""

    def __init__(self, store: Store, directory: pathlib.Path, slack: Slack) -> None:
        """Begin."""
        self.store, self.slack = store, slack
        # Messages have times of now, as Slack gives them.
        self.clock = SetClock(Timestamp(clock.SystemClock().now() // 1000 * 1000))
        self.began = self.clock.at
        self.world = world(store, directory, self.clock, runbooks=())
        self.ticks = 0

    def later(self, length: int) -> None:
        """Let time pass, and have Slack told."""
        self.clock.at = Timestamp(self.clock.at + length)
        pace = Pace(lambda: False, lambda: self.clock.at - self.began)
        client = Client(slack_server.TOKEN, self.slack.url)
        Teller(client, slack_server.CHANNEL, self.world, lambda: True, pace).round()

    def announce(self, length: int, *services: str) -> None:
        """Announce a deploy."""
        now = self.clock.at
        with self.store.write() as transaction:
            muting.announce(transaction, "d1", services or (SERVICE,), now, Timestamp(now + length))

    def fires(self, alert: Alert, *, ended: bool = False) -> Alert:
        """Let an alert begin, or end."""
        now = self.clock.at
        one = replace(alert, fired_at=now if not ended else alert.fired_at)
        if ended:
            one = replace(one, state=AlertState.RESOLVED, resolved_at=now)
        with self.store.write() as transaction:
            transaction.alerts.save(one)
            incidents.note(transaction, [one], now)
        return one

    def texts(self) -> list[str]:
        """Return the first message of each incident."""
        return [one.shown for one in self.slack.parents()]

    def muted(self) -> list[bool]:
        """Return what the list of incidents says, and the page of each says too."""
        app = fastapi.FastAPI()
        app.include_router(incident_api.router(self.world))
        rows = get(app, incident_api.PATH).json()["incidents"]
        for row in rows:
            assert get(app, f"{incident_api.PATH}/{row['id']}").json()["muted"] == row["muted"]
            assert (", muted" in get(app, f"/incidents/{row['id']}").text) == row["muted"]
        return [row["muted"] for row in rows]


@pytest.fixture
def desk(tmp_path: pathlib.Path) -> Iterator[Desk]:
    """Return a desk."""
    store = burning.store(tmp_path)
    with slack_server.slack() as slack:
        yield Desk(store, tmp_path, slack)
    store.close()


def ticket(name: str = "Slow", **more: str) -> Alert:
    """Return a ticket of the service."""
    alert = told.alert(name, "ticket")
    identity = labels({**dict(alert.labels), **more})
    return replace(alert, fingerprint=fingerprint(identity), labels=identity)


def test_a_ticket_of_an_announced_deploy_is_told_when_the_mute_ends_and_it_still_fires(desk: Desk) -> None:
    """Whoever announced it expected the ticket, and not that it stays."""
    desk.announce(20 * clock.MINUTE)
    desk.fires(ticket())
    desk.later(clock.MINUTE)
    assert (desk.texts(), desk.muted()) == ([], [True])

    desk.later(18 * clock.MINUTE)
    assert desk.texts() == []

    desk.later(clock.MINUTE)
    assert len(desk.texts()) == 1
    assert "Slow" in desk.texts()[0]
    assert desk.muted() == [False]


def test_a_ticket_that_ended_while_it_was_muted_is_never_told(desk: Desk) -> None:
    """Also when the mute has ended since."""
    desk.announce(20 * clock.MINUTE)
    one = desk.fires(ticket())
    desk.later(10 * clock.MINUTE)
    desk.fires(one, ended=True)
    desk.later(clock.MINUTE)
    desk.later(15 * clock.MINUTE)

    assert desk.texts() == []
    with desk.store.read() as transaction:
        (incident,) = transaction.incidents.newest(1)
    assert incident.closed_at is not None


@pytest.mark.parametrize(
    "loud",
    [
        told.alert,
        lambda: ticket(service="another"),
        lambda: ticket(severity="critical"),
        lambda: ticket(describe.AWAITS_APPROVAL),
    ],
    ids=["page", "another service", "critical", "a question to people"],
)
def test_what_is_not_muted_and_joins_is_told_with_the_rest(desk: Desk, loud: Callable[[], Alert]) -> None:
    """A page is never muted, nor is what a runbook asks."""
    desk.announce(20 * clock.MINUTE)
    desk.fires(ticket())
    desk.later(clock.MINUTE)
    assert desk.texts() == []

    desk.fires(loud())
    desk.later(clock.MINUTE)

    (text,) = desk.texts()
    assert "Slow" in text
    assert desk.muted() == [False]


def test_an_incident_that_was_told_goes_on_under_a_deploy(desk: Desk) -> None:
    """People see there that it ended."""
    one = desk.fires(ticket())
    desk.later(clock.MINUTE)
    assert len(desk.texts()) == 1

    desk.announce(20 * clock.MINUTE)
    desk.later(clock.MINUTE)
    desk.fires(one, ended=True)
    desk.later(clock.MINUTE)

    (text,) = desk.texts()
    assert "closed ticket" in text


def test_what_waited_for_slack_when_the_deploy_was_announced_is_not_told_either(desk: Desk) -> None:
    """It was noted, and never sent; nothing of it is left to do."""
    one = desk.fires(ticket())
    with desk.store.write() as transaction:
        (incident,) = transaction.incidents.newest(1)
        transaction.slack.note(incident.id, [""], desk.clock.at)
    desk.announce(20 * clock.MINUTE)
    desk.later(clock.MINUTE)
    desk.fires(one, ended=True)
    desk.later(clock.MINUTE)

    assert desk.texts() == []
    with desk.store.read() as transaction:
        assert [row.done_at is not None for row in transaction.slack.of(incident.id).values()] == [True]


def test_the_tickets_of_a_known_noisy_client_are_muted_until_its_day_is_over(desk: Desk) -> None:
    """Of another client, and of alerts about no client, they are not."""
    day = datetime.datetime.fromtimestamp(desk.clock.at // 1000, tz=datetime.UTC).date()
    known = NoisyClient(SCANNER, "10.0.0.7", day, "ann", "It asks every port.")
    mutes = routing.client_mutes(service_levels.load().alerts, [known])
    desk.world = replace(desk.world, noisy=mutes)
    desk.fires(ticket(EGRESS, src=SCANNER))
    desk.fires(ticket("NoisyClient", source="10.0.0.7"))
    desk.later(0)
    assert (desk.texts(), desk.muted()) == ([], [True])

    desk.fires(ticket(EGRESS, src="default/shop", node="b"))
    desk.fires(ticket("Another", src=SCANNER, node="c"))
    desk.fires(ticket("NoisyClient", source="10.0.0.8", node="d"))
    desk.later(0)
    assert len(desk.texts()) == 3

    desk.later(clock.DAY)
    assert len(desk.texts()) == 4


def test_a_long_list_is_muted_as_a_whole_or_not_at_all(desk: Desk) -> None:
    """One ticket among many that are not shown is enough."""
    desk.announce(20 * clock.MINUTE)
    for number in range(30):
        desk.fires(ticket(f"T{number}"))
    assert desk.muted() == [True]

    desk.later(clock.SECOND)
    last = desk.fires(ticket("Last", service="another"))
    assert desk.muted() == [False]

    desk.later(clock.SECOND)
    desk.fires(last, ended=True)
    assert desk.muted() == [False]


def test_deploys_that_are_long_over_are_forgotten(desk: Desk) -> None:
    """What is kept does not grow."""
    now = desk.clock.at
    with desk.store.write() as transaction:
        muting.announce(transaction, "old", (SERVICE,), now, Timestamp(now + 1))
        muting.announce(transaction, "new", (SERVICE,), Timestamp(now + 2 * clock.DAY), Timestamp(now + 3))
        assert list(transaction.meta.named("announced_deploy/")) == ["announced_deploy/new"]
