"""Slack as a part of a controller: one thread that speaks, and a socket where clicks come over one.

Whatever Slack does, nothing else waits for it. Who stands by hears clicks and answers them, and tells
nothing.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from netsre import clock
from netsre import conventions as c
from netsre.adapters.slack.api import Result, Slack
from netsre.adapters.slack.socket_mode import SocketMode
from netsre.app import slack_settings
from netsre.app.control.slack import clicks
from netsre.app.control.slack.desk import Desk
from netsre.app.control.slack.teller import Pace, Teller
from netsre.app.control.snapshot import Board
from netsre.app.control.worker import Duty, Worker
from netsre.app.control.world import World
from netsre.errors import BadInput, StoreUnusable
from netsre.metrics.readings import Readings

SPACING_SECONDS: Final = 1.1
"""After each message: Slack takes about one a second in a channel. With the pause of a worker a message
changes every two seconds at most, and what changes faster is told together."""


class SlackPart:
    """All of it; `start` and `stop` as of any part with threads."""

    def __init__(
        self,
        settings: slack_settings.Slack,
        world: World,
        leads: Callable[[], bool],
        wake: Callable[[], None],
        spacing: float = SPACING_SECONDS,
    ) -> None:
        """Prepare for a workspace; `wake` has whoever acts look for the words of people."""
        self._settings, self._world, self._wake = settings, world, wake
        self._spacing = spacing
        self._stopping = threading.Event()
        self._client = Slack(settings.token, settings.api_url, settings.tls)
        pace = Pace(lambda: self._stopping.wait(spacing), lambda: time.monotonic_ns() // 1_000_000)
        self.teller = Teller(self._client, settings.channel, world, leads, pace)
        self.desk = Desk(world, self._clicked)
        over_socket = settings.mode is slack_settings.Mode.SOCKET
        self._socket = (
            SocketMode(settings.app_token, settings.api_url, self._take, settings.tls)
            if over_socket
            else None
        )
        # A board of its own: what is wrong in Slack keeps nobody from being ready.
        self._board = Board(world.clock.now())
        self._worker = Worker([Duty("slack", self._round)], self._board, "slack")

    @property
    def signing_secret(self) -> str:
        """Return what clicks by HTTP are signed with; empty where none come that way."""
        return self._settings.signing_secret

    def start(self) -> None:
        """Begin to speak, and to hear."""
        self._worker.start()
        if self._socket is not None:
            self._socket.start()

    def stop(self, seconds: float) -> None:
        """End, and wait for that so long: what was not told is told after the next start."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        if self._socket is not None:
            self._socket.stop(seconds)
        self._worker.stop(max(0.0, deadline - time.monotonic()))

    def readings(self, into: Readings) -> None:
        """Add how it fares."""
        self.teller.readings(into)
        self.desk.readings(into)
        if self._socket is not None:
            into.put(c.SLACK_CONNECTED, (), float(self._socket.connected()))

    def status(self) -> dict[str, Any]:
        """Return how it fares, for people."""
        last = self.teller.last_success
        return {
            "channel": self._settings.channel,
            "mode": self._settings.mode.value,
            "problem": self.teller.problem or self._board.problems.get("slack"),
            "waiting": self.teller.waiting,
            # Null where clicks come by HTTP: who does not come is not known.
            "hears": None if self._socket is None else self._socket.connected(),
            "last_success_at": None if last is None else clock.rfc3339(last),
        }

    def _round(self) -> bool:
        """Say what is to be said; tell whether there is more of it."""
        if self.teller.held():
            return False
        if not self.desk.team:
            answer = self._client.who()
            self.teller.heard(answer)
            if answer.result is not Result.DONE:
                return False
            self.desk.team = answer.text("team_id")
        while (answered := self.desk.whisper(self._client)) is not None:
            if answered.result is not Result.REFUSED:
                # A person who left the channel is no trouble of the channel's.
                self.teller.heard(answered)
            if self.teller.held() or self._stopping.wait(self._spacing):
                return False
        return self.teller.round()

    def _clicked(self) -> None:
        self._wake()
        self._worker.wake()

    def _take(self, payload: Mapping[str, Any]) -> bool:
        """Take what came over the socket; False: it is to be sent again."""
        try:
            self.desk.hear(clicks.read(payload))
        except BadInput:
            self.desk.refused("malformed")
        except StoreUnusable:
            self.desk.refused("unusable")
            return False
        return True
