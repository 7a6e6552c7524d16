"""Where clicks come in, whichever way: each is heard once, and who is refused is told why, alone."""

import logging
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from netsre import conventions as c
from netsre.adapters.slack.api import Answer
from netsre.app.control.slack import blocks, clicks
from netsre.app.control.slack.clicks import Click, Reply
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.errors import BadInput
from netsre.metrics.readings import Readings

_log: Final = logging.getLogger("netsre.slack")

_REMEMBERED: Final = 10_000
"""Clicks that are known to have been heard; those that changed something are known from the journal."""
_MOST_WHISPERS: Final = 100
_REPEATED: Final = Reply("repeated")


class Whisperer(Protocol):
    """Slack, as far as it is needed here."""

    def whisper(self, channel: str, user: str, text: str, thread: str = "") -> Answer:
        """Say something to one person alone."""
        ...


@dataclass(frozen=True, slots=True)
class Whisper:
    """What one person alone is to be told."""

    channel: str
    account: str
    thread: str
    text: str


class Desk:
    """Hears clicks, in whichever thread they come."""

    def __init__(self, world: World, wake: Callable[[], None]) -> None:
        """Hear them with a world; `wake` is called after each that counts."""
        self._world = world
        self._wake = wake
        self._lock = threading.Lock()
        self._heard: OrderedDict[str, None] = OrderedDict()
        self._whispers: deque[Whisper] = deque(maxlen=_MOST_WHISPERS)
        self.team = ""
        """The workspace that clicks must come from; empty while Slack has not said it."""
        self.answers: Counter[str] = Counter()

    def hear(self, click: Click) -> Reply:
        """Hear a click; raises `BadInput` for one of another workspace, `StoreUnusable` if it is not kept."""
        if self.team and click.team != self.team:
            raise BadInput("payload is of another workspace")
        with self._lock:
            known = click.id in self._heard
        reply = _REPEATED if known else clicks.hear(self._world, click)
        with self._lock:
            self._heard[click.id] = None
            while len(self._heard) > _REMEMBERED:
                self._heard.popitem(last=False)
            self.answers[reply.answer] += 1
        _log.info("click %s", pairs(account=click.account, action=click.action, answer=reply.answer))
        if reply.text:
            text = blocks.escape(reply.text)
            self._whispers.append(Whisper(click.channel, click.account, click.thread, text))
        self._wake()
        return reply

    def refused(self, why: str) -> None:
        """Count what was no click of ours."""
        with self._lock:
            self.answers[why] += 1

    def whisper(self, client: Whisperer) -> Answer | None:
        """Tell the next person who waits for an answer; None where nobody does. It is tried once."""
        try:
            one = self._whispers.popleft()
        except IndexError:
            return None
        return client.whisper(one.channel, one.account, one.text, one.thread)

    def readings(self, into: Readings) -> None:
        """Add how many clicks were heard."""
        with self._lock:
            told = dict(self.answers)
        for answer, count in told.items():
            into.put(c.SLACK_CLICKS, (answer,), float(count))
