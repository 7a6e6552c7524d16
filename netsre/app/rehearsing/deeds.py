"""What happens in a scenario: each deed goes the way that it goes in production."""

from dataclasses import dataclass, field
from typing import Final

from netsre import clock
from netsre.alerting.webhook import Notice
from netsre.app.control import by_hand, intake, pausing, words
from netsre.app.control.by_hand import NoCause
from netsre.app.control.starts import Asker
from netsre.app.control.words import Saying
from netsre.app.control.world import World
from netsre.app.rehearsing.node import VirtualNode
from netsre.app.rehearsing.outside import VirtualOthers
from netsre.app.rehearsing.stage import Stage
from netsre.clock import Timestamp
from netsre.model.alerts import AlertState, fingerprint
from netsre.model.holds import Pause, Scope
from netsre.model.incidents import Disposition
from netsre.model.runbooks import Run
from netsre.model.samples import Labels
from netsre.model.scenarios import (
    Answering,
    Curved,
    Event,
    Killed,
    NodeBecomes,
    NodeState,
    OthersAnswer,
    Says,
    Switched,
    Told,
)
from netsre.runbook.approval import Opinion

AWAY: Final = 2 * clock.SECOND
"""How long an agent is away that is started again, and a controller that was killed."""
_VIA: Final = "scenario"
_PAUSE: Final = clock.HOUR
_NO_RUN: Final = "no_run"


class Dead(BaseException):
    """The controller is gone, with everything that was only in its memory."""


@dataclass
class Deeds:
    """Makes events happen."""

    stage: Stage
    others: VirtualOthers
    told: list[tuple[Timestamp, str]]
    """What happened, for people."""
    back_at: Timestamp | None = None
    """When the agent is back that is away for a moment."""
    _began: dict[Labels, Timestamp] = field(default_factory=dict)

    @property
    def node(self) -> VirtualNode:
        """Return the node."""
        return self.others.node

    def happen(self, event: Event, world: World) -> None:
        """Have an event happen; raises `Dead` where it ends the controller."""
        deed, now = event.deed, world.clock.now()
        self.told.append((now, event.text))
        match deed:
            case Told():
                self._tell(deed, world, now)
            case Curved(series):
                self.node.tracks.change(series)
            case Answering(facts):
                self.node.answers(facts)
            case OthersAnswer(said):
                self.others.answer(said)
            case NodeBecomes(state):
                self._node(state, now)
            case Switched(state):
                self.stage.switch(state, now)
            case Says():
                self._hear(event, deed, world)
            case Killed():
                raise Dead

    def agent_back(self) -> None:
        """Have the agent serve again that was away for a moment."""
        self.back_at, self.node.away = None, False
        self.node.restart()

    def _node(self, state: NodeState, now: Timestamp) -> None:
        self.node.away = state is not NodeState.REACHABLE
        self.back_at = Timestamp(now + AWAY) if state is NodeState.RESTARTED else None

    def _tell(self, deed: Told, world: World, now: Timestamp) -> None:
        began = self._began.setdefault(deed.labels, now)
        state = AlertState.FIRING if deed.firing else AlertState.RESOLVED
        ended = None if deed.firing else now
        if not deed.firing:
            del self._began[deed.labels]
        notice = Notice(fingerprint(deed.labels), deed.labels, {}, state, began, ended)
        triggers = {trigger for book in world.runbooks.values() for trigger in book.triggers}
        with world.store.write() as transaction:
            (what,) = transaction.received.keep([notice], now)
            news = [notice] if what is Disposition.NEW else []
            intake.act_on(transaction, news, triggers, now)

    def _hear(self, event: Event, said: Says, world: World) -> None:
        answer = self._answer(said, world, f"{event.origin.file}:{event.origin.line}")
        self.told.append((world.clock.now(), f"the answer is {answer}"))
        if said.answer not in (None, answer):
            where = f"{event.origin.file}:{event.origin.line}"
            self.node.mistakes.append(f"{where}: {event.text} is answered {answer}, not {said.answer}")

    def _answer(self, said: Says, world: World, name: str) -> str:
        (book,) = world.runbooks.values()
        now = world.clock.now()
        match said.verb:
            case "pause":
                until = Timestamp(now + _PAUSE)
                pausing.pause(world, Pause(name, Scope.RUNBOOK, book.name, said.person, _VIA, now, until))
                return "paused"
            case "resume":
                ended = pausing.resume(world, Scope.RUNBOOK, book.name, said.person)
                return "resumed" if ended else "not_paused"
            case "start":
                return self._start(said.person, world, name)
            case verb:
                run = _newest(world)
                if run is None:
                    return _NO_RUN
                spoken = words.say(world, run.id, Saying(said.person, Opinion(verb), _VIA))
                return _NO_RUN if spoken is None else spoken.heard.answer.value

    def _start(self, person: str, world: World, name: str) -> str:
        (book,) = world.runbooks.values()
        with world.store.read() as transaction:
            cause = by_hand.cause(transaction, book, None, None)
        if isinstance(cause, NoCause):
            return cause.reason
        run = words.begin(world, book, cause, Asker(person, _VIA, name))
        return _NO_RUN if run is None else run.reason


def _newest(world: World) -> Run | None:
    with world.store.read() as transaction:
        return next(iter(transaction.runs.newest(1)), None)
