"""One life of a controller: everything that it has in its memory, and that is gone when it is killed."""

from dataclasses import dataclass

from netsre.alerting.decide import HOLD
from netsre.app.control.automation import Automation, RunbookChannel
from netsre.app.control.dispatch import Dispatcher
from netsre.app.control.snapshot import Board, Recent
from netsre.app.control.sources import AgentSource
from netsre.app.control.tick import Loop, Parts
from netsre.app.control.world import World
from netsre.app.rehearsing.node import VirtualNode
from netsre.app.rehearsing.stage import Watched
from netsre.clock import Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.samples import Scrape
from netsre.model.scenarios import NODE
from netsre.slo.engine import Engine
from netsre.store.database import Transaction
from netsre.store.outbox import Message


@dataclass(frozen=True, slots=True)
class _Agent:
    """What is read."""

    node: VirtualNode

    def scrape(self) -> Scrape:
        """Return a reading."""
        if self.node.away:
            raise SourceUnreachable("the agent gave no answer")
        return self.node.reading()


class _Channel(RunbookChannel):
    """The channel to the runbooks; a mistake there is none that is waited out."""

    def __init__(self, world: World, mistakes: list[str]) -> None:
        super().__init__(world)
        self._mistakes = mistakes

    def deliver(self, message: Message, transaction: Transaction, now: Timestamp) -> None:
        """Deliver, and remember what went wrong."""
        try:
            super().deliver(message, transaction, now)
        except Exception as error:
            self._mistakes.append(f"internal error: {type(error).__name__}: {error}")
            raise


class Life:
    """A controller that was just started."""

    def __init__(self, world: World, node: VirtualNode, watched: Watched) -> None:
        """Go on from what the database holds."""
        self.world = world
        self._node = node
        self._board = Board(world.clock.now())
        with world.store.read() as transaction:
            engine = Engine(
                watched.slos, transaction.history.buckets(), transaction.history.cursors(), {NODE}
            )
        self._dispatcher = Dispatcher(world.store, (_Channel(world, node.mistakes),))
        self._automation = Automation(world)
        self._loop = Loop(
            Parts(
                source=AgentSource(_Agent(node)),
                past=None,
                expressions=None,
                engine=engine,
                rules=watched.rules,
                store=world.store,
                wake=lambda: None,
                board=self._board,
                sight=world.sight,
                recent=Recent.of(engine.history, world.clock.now()),
                clock=world.clock,
                links=world.links,
                hold=HOLD,
            )
        )

    def turn(self) -> None:
        """Read, judge and keep, then act."""
        self._loop.tick()
        current = self._board.current
        if current is not None and current.problem is not None:
            self._node.mistakes.append(current.problem)
        self.act()

    def act(self) -> None:
        """Do what whoever acts does every second, and when woken."""
        self.world.switch.watch()
        self._dispatcher.deliver(self.world.clock.now())
        self._automation.advance()
