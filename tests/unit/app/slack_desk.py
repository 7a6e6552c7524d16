"""A controller of a lab with Slack beside it: turns are the test's, and requests go over real sockets."""

import asyncio
import pathlib
from dataclasses import dataclass, field, replace

import httpx
from fastapi import FastAPI

from netsre import clock
from netsre.adapters.slack.api import Slack as Client
from netsre.app.control.api import not_kept
from netsre.app.control.slack import route
from netsre.app.control.slack.desk import Desk
from netsre.app.control.slack.teller import Pace, Teller
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.model.directory import Directory, Person
from netsre.model.runbooks import Approval, Run
from tests import slack_server
from tests.slack_server import Kept, Slack
from tests.unit.app.crashing import BOOK, Controller, Host, Lab
from tests.unit.app.fakes import SetClock

ANN, BEN, CAL, STRANGER = "U0ANN00", "U0BEN00", "U0CAL00", "U0NOONE"
PEOPLE = Directory(
    (Person("ann", None, ANN), Person("ben", None, BEN), Person("cal", None, CAL)), {"sre": ("ann", "ben")}
)
ASKS = replace(BOOK, mode="propose", approval=Approval(("sre",), 1, 10 * clock.MINUTE))
TWO = replace(BOOK, mode="propose", approval=Approval(("sre",), 2, 10 * clock.MINUTE))


@dataclass
class Station:
    """All of it."""

    lab: Lab
    slack: Slack
    controller: Controller
    leading: bool = True
    ticks: int = 0
    woken: int = 0
    desk: Desk = field(init=False)
    teller: Teller = field(init=False)

    def __post_init__(self) -> None:
        """Begin."""
        self.start()

    @property
    def world(self) -> World:
        """Return what automation knows."""
        return self.controller.world

    def start(self) -> None:
        """Begin as after a start: with nothing but what is on disk."""
        self.client = Client(slack_server.TOKEN, self.slack.url)
        pace = Pace(lambda: False, lambda: self.lab.clock.at + self.ticks)
        self.teller = Teller(self.client, slack_server.CHANNEL, self.world, lambda: self.leading, pace)
        self.desk = Desk(self.world, self._wake)
        self.app = FastAPI()
        route.add(self.app, self.desk, slack_server.SECRET, self.lab.clock)
        self.app.add_exception_handler(StoreUnusable, not_kept)

    def _wake(self) -> None:
        self.woken += 1

    def turn(self, seconds: float = 5, *, tell: bool = True) -> None:
        """Let time pass, have automation take a turn, and have Slack told."""
        self.lab.pass_time(int(seconds * clock.SECOND))
        self.controller.turn()
        if tell:
            self.tell()

    def tell(self) -> None:
        """Have Slack told until it is as it should be, or cannot be told."""
        for _ in range(20):
            self.teller.round()
            if self.teller.held() or not self.teller.waiting:
                return

    def press(self, message: Kept, action: str, account: str) -> httpx.Response:
        """Press a button."""
        return self.send(slack_server.form(self.slack.payload(message, action, account)))

    def send(self, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a body, signed unless there are other headers."""
        told = slack_server.headers(body, self.now) if headers is None else headers
        # Whoever sends something else than Slack may send bytes that are no ASCII.
        shown = [(name.encode(), value.encode("latin-1")) for name, value in told.items()]

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.post(route.PATH, content=body, headers=shown)

        return asyncio.run(ask())

    @property
    def now(self) -> int:
        """Return the time in seconds."""
        return self.lab.clock.at // clock.SECOND

    @property
    def run(self) -> Run:
        """Return the newest run."""
        return self.lab.runs()[-1][0]

    def whisper(self) -> str:
        """Have the next person told why not; return it."""
        before = len(self.slack.whispers)
        self.desk.whisper(self.client)
        return "".join(str(one["text"]) for one in self.slack.whispers[before:])


def station(directory: pathlib.Path, slack: Slack, book: object = ASKS) -> Station:
    """Return one whose runbook has just asked people."""
    # Messages have times of now, as Slack gives them.
    lab = Lab(directory, Host(SetClock(Timestamp(clock.SystemClock().now() // 1000 * 1000))))
    lab.books, lab.directory_of = (book,), PEOPLE  # type: ignore[assignment]
    made = Station(lab, slack, Controller(lab))
    made.turn()
    return made
