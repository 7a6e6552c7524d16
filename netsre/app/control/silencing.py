"""Silences at every Alertmanager that the controller tells: made, looked for, and ended before their time.

One Alertmanager that takes a silence is enough: of a pair it tells the other, and of others each keeps back
what it would send. They are found again by who made them, which is the key of the step.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from netsre.adapters.alertmanager import Answer, Result
from netsre.alerting import silences
from netsre.alerting.silences import Found, Matcher
from netsre.clock import Clock, Timestamp
from netsre.model.deeds import Silence
from netsre.model.documents import Document
from netsre.model.effects import Standing
from netsre.runbook.actions.contract import LeftOut, NodeUnreachable

NO_ALERTMANAGER: Final = "no_alertmanager"
REJECTED: Final = "rejected"
UNREACHABLE: Final = "unreachable"


class Client(Protocol):
    """One Alertmanager."""

    @property
    def name(self) -> str:
        """Return what tells it from the others."""
        ...

    def silence(self, silence: Document) -> Answer:
        """Ask for a silence."""
        ...

    def silences(self) -> Answer:
        """Ask for every silence that it has."""
        ...

    def expire(self, silence_id: str) -> Answer:
        """End a silence."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What one Alertmanager said."""

    client: Client
    answer: Answer

    @property
    def accepted(self) -> bool:
        """Tell whether it did what was asked."""
        return self.answer.result is Result.ACCEPTED


def _unknown() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass(frozen=True, slots=True)
class Silencer:
    """All Alertmanagers, each asked at the same time as the others."""

    clients: tuple[Client, ...]
    clock: Clock
    uncertain: threading.Event = field(default_factory=_unknown, kw_only=True, compare=False)
    """Whether a silence may be there that nobody counts upon; at the beginning that is not known."""

    def make(self, silence: Document) -> list[Told]:
        """Ask all of them for a silence."""
        return self._ask(lambda client: client.silence(silence))

    def apply(self, key: str, silence: Silence) -> Document:
        """Make the silence of a step; raises `LeftOut` where nobody takes it: no run depends on one."""
        if not self.clients:
            raise LeftOut(
                NO_ALERTMANAGER, "the controller tells no Alertmanager; name one with --alertmanager"
            )
        now = self.clock.now()
        until = Timestamp(now + silence.ttl)
        matchers = [
            *(Matcher(name, value) for name, value in silence.matchers),
            silences.NO_PAGE,
            silences.NO_CALL,
        ]
        comment = f"{silence.comment} (run {key.partition('/')[0]})"
        told = self.make(silences.document(matchers, maker(key), comment, now, until))
        # An answer that was lost says nothing; that it is there does.
        if not any(one.accepted for one in told) and not self._there(key):
            all_ = all(one.answer.result is Result.REJECTED for one in told)
            if not all_:
                self.uncertain.set()
            raise LeftOut(
                REJECTED if all_ else UNREACHABLE, f"no Alertmanager took the silence: {said(told)}"
            )
        peers: Document = {one.client.name: one.answer.result.value for one in told}
        return {"until": until, "peers": peers}

    def look(self, key: str) -> Standing:
        """Return what became of the silence of a step; raises `NodeUnreachable` where that is not certain."""
        told = self._ask(lambda client: client.silences())
        found = [one for heard in told for one in _of(heard, key)]
        if any(one.lasts for one in found):
            return Standing.APPLIED
        if found:
            return Standing.ENDED
        if not told or not all(one.accepted for one in told):
            self.uncertain.set()
            raise NodeUnreachable(f"whether a silence was made is not known: {said(told)}")
        return Standing.ABSENT

    def undo(self, key: str) -> Document:
        """End the silence of a step, wherever it is; raises `NodeUnreachable` where nobody ended it."""
        told = self._ask(lambda client: _end(client, key))
        if not any(one.accepted for one in told):
            raise NodeUnreachable(f"no Alertmanager ended the silence: {said(told)}")
        return {"peers": {one.client.name: one.answer.result.value for one in told}}

    def end_left(self, key: str) -> tuple[bool, bool]:
        """End the silence of a step that does without one.

        Return whether it is certain that there is none any more, and whether there was one.
        """
        told = self._ask(lambda client: _end(client, key))
        there = any(found.lasts for one in told for found in _of(one, key))
        return all(one.accepted for one in told), there

    def _there(self, key: str) -> bool:
        return any(_of(one, key) for one in self._ask(lambda client: client.silences()))

    def _ask(self, question: Callable[[Client], Answer]) -> list[Told]:
        if not self.clients:
            return []
        with ThreadPoolExecutor(len(self.clients)) as pool:
            answers = pool.map(question, self.clients)
            return [Told(client, answer) for client, answer in zip(self.clients, answers, strict=True)]


def maker(key: str) -> str:
    """Return who a silence says that it is by: the step of a run."""
    return f"netsre/{key}"


def said(told: Sequence[Told]) -> str:
    """Return what went wrong, in one line."""
    return "; ".join(f"{one.client.name}: {one.answer.reason}" for one in told if not one.accepted)


def _of(told: Told, key: str) -> list[Found]:
    return silences.found(told.answer.alerts, maker(key)) if told.accepted else []


def _end(client: Client, key: str) -> Answer:
    """End every silence of a step that one Alertmanager has."""
    listed = client.silences()
    for one in _of(Told(client, listed), key):
        # Of a pair, the other one may have been told of its end meanwhile, and then says that it is over.
        if one.lasts and (ended := client.expire(one.id)).result is not Result.ACCEPTED:
            again = client.silences()
            if again.result is not Result.ACCEPTED or any(
                left.lasts for left in _of(Told(client, again), key)
            ):
                return ended
    return listed
