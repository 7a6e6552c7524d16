"""Others than the node: an Alertmanager, and servers that calls go to, as a scenario says that they answer.

The parts that ask them are those of production. What they did is kept beside what the node did, by the same
keys; what has an answer that is lost was done all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from netsre.adapters.alertmanager import Answer, Result
from netsre.adapters.http_calls import Heard, Outcome
from netsre.adapters.secrets import Secrets
from netsre.app.control.calling import Caller
from netsre.app.control.reach import Outside
from netsre.app.control.silencing import Silencer, maker
from netsre.app.rehearsing.node import VirtualNode
from netsre.clock import Clock
from netsre.model import urls
from netsre.model.deeds import Call, Request, Silence
from netsre.model.documents import Document
from netsre.model.effects import Standing
from netsre.model.scenarios import Others, OthersWord
from netsre.runbook import handles

_NO_ANSWER: Final = "it gave no answer"
_REFUSED: Final = "it does not want to"


class _AnySecret(Secrets):
    """Knows every secret, and what it is: nothing."""

    def fill(self, text: str) -> str:
        """Return a text with a word for every handle."""
        return handles.filled(text, lambda _name: "secret")


@dataclass
class VirtualOthers:
    """Everybody but the node."""

    node: VirtualNode
    said: Others
    silence: tuple[str, Silence] | None = None
    """The one that is being made, with its key."""
    call: tuple[str, Call, Request | None] | None = None
    """The one that is being made, with its key and the request of it that is sent."""
    allowed: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Let calls go to the addresses that are given."""
        self.allowed = tuple(self.said.http)

    def answer(self, said: Others) -> None:
        """Answer otherwise from now on, as far as it is said."""
        http = {**self.said.http, **said.http}
        self.said = Others(said.alertmanager or self.said.alertmanager, http)

    def outside(self, the_clock: Clock) -> Outside:
        """Return whom a controller asks."""
        clients = () if self.said.alertmanager is None else (_Alertmanager(self),)
        silences = _Silencer(clients, the_clock, self)
        return Outside(silences, _Caller(_Server(self), self.allowed, _AnySecret(None), others=self))

    def word(self, url: str) -> OthersWord:
        """Return how an address answers: by the longest one that is given and has it below."""
        given = [prefix for prefix in self.said.http if urls.allowed(url, (prefix,))]
        return self.said.http[max(given, key=len)] if given else "unreachable"

    def no_answer(self) -> None:
        """Have whoever acts look again soon."""
        self.node.silent = True


@dataclass(frozen=True, slots=True)
class _Alertmanager:
    """An Alertmanager: its silences are those that the node's book has."""

    others: VirtualOthers
    name: str = "alertmanager"

    def silence(self, silence: Document) -> Answer:
        """Keep a silence."""
        del silence
        if (refused := self._refused()) is not None:
            return refused
        if self.others.silence is not None:
            self.others.node.keep(*self.others.silence)
        return self._told()

    def silences(self) -> Answer:
        """Return every silence that there is."""
        # An answer is lost that tells of a change; to be asked again it answers.
        refused = self._refused()
        return refused or Answer(Result.ACCEPTED, alerts=tuple(self._listed()))

    def expire(self, silence_id: str) -> Answer:
        """End a silence."""
        if (refused := self._refused()) is not None:
            return refused
        kept = self.others.node.kept.get(silence_id)
        if kept is not None:
            self.others.node.take_back(silence_id, kept.effect)
        return self._told()

    def _refused(self) -> Answer | None:
        match self.others.said.alertmanager:
            case "rejected":
                return Answer(Result.REJECTED, _REFUSED)
            case "unreachable" | None:
                self.others.no_answer()
                return Answer(Result.UNREACHABLE, _NO_ANSWER)
            case _:
                return None

    def _told(self) -> Answer:
        if self.others.said.alertmanager == "lost":
            self.others.no_answer()
            return Answer(Result.UNREACHABLE, _NO_ANSWER)
        return Answer(Result.ACCEPTED)

    def _listed(self) -> list[Document]:
        return [
            {
                "id": one.key,
                "createdBy": maker(one.key),
                "status": {"state": "active" if one.standing is Standing.APPLIED else "expired"},
            }
            for one in self.others.node.kept.values()
            if isinstance(one.effect, Silence)
        ]


@dataclass(frozen=True, slots=True)
class _Server:
    """Every server that is called."""

    others: VirtualOthers

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Heard:
        """Answer a request, by the word of its address."""
        del method, headers, body, seconds
        word = self.others.word(url)
        if word == "unreachable" or self.others.call is None:
            return Heard(Outcome.UNSENT, reason="there is no connection")
        if word == "rejected":
            return Heard(Outcome.ANSWERED, HTTPStatus.FORBIDDEN)
        key, call, request = self.others.call
        there = self.others.node.standing(key) is Standing.APPLIED
        if request is call.look:
            return Heard(Outcome.ANSWERED, _success(request) if there else HTTPStatus.NOT_FOUND)
        if request is call.undo:
            self.others.node.take_back(key, call)
        else:
            self.others.node.keep(key, call)
        if word == "lost":
            self.others.no_answer()
            return Heard(Outcome.UNKNOWN, reason=_NO_ANSWER)
        return Heard(Outcome.ANSWERED, _success(request))


def _success(request: Request | None) -> int:
    return request.expect[0] if request is not None and request.expect else HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class _Silencer(Silencer):
    """Makes silences; each command is a point in the life of a run."""

    others: VirtualOthers

    def apply(self, key: str, silence: Silence) -> Document:
        """Make the silence of a step."""
        self.others.silence = (key, silence)
        return self.others.node.points.commanded("apply", key, lambda: Silencer.apply(self, key, silence))

    def look(self, key: str) -> Standing:
        """Return what became of it."""
        return self.others.node.points.commanded("look", key, lambda: Silencer.look(self, key))

    def undo(self, key: str) -> Document:
        """End it."""
        return self.others.node.points.commanded("undo", key, lambda: Silencer.undo(self, key))


@dataclass(frozen=True, slots=True)
class _Caller(Caller):
    """Makes calls; each command is a point in the life of a run."""

    others: VirtualOthers = field(kw_only=True)

    def apply(self, key: str, call: Call) -> Document:
        """Make a call."""
        self.others.call = (key, call, call.request)
        return self.others.node.points.commanded("apply", key, lambda: Caller.apply(self, key, call))

    def look(self, key: str, call: Call) -> Standing:
        """Ask what became of it."""
        self.others.call = (key, call, call.look)
        return self.others.node.points.commanded("look", key, lambda: Caller.look(self, key, call))

    def undo(self, key: str, call: Call) -> Document:
        """Take it back."""
        self.others.call = (key, call, call.undo)
        return self.others.node.points.commanded("undo", key, lambda: Caller.undo(self, key, call))
