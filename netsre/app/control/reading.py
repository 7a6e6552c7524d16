"""What the turns of a controller read, and where they go on: composed of the settings and of the database."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from netsre import conventions
from netsre.adapters.agent_client import AgentClient
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.alerting.decide import HOLD
from netsre.app import prometheus_options
from netsre.app.control import backfill
from netsre.app.control.backfill import Backfill
from netsre.app.control.expressions import Expressions
from netsre.app.control.prometheus import BOUNDS, Asked, PrometheusSource
from netsre.app.control.resume import resumed
from netsre.app.control.snapshot import Board, Recent
from netsre.app.control.sources import AgentSource, Source
from netsre.app.control.tick import Loop, Parts
from netsre.app.control.worker import Duty, Worker
from netsre.app.control.world import World
from netsre.app.settings import Settings
from netsre.model.levels import SLO
from netsre.slo.engine import Engine
from netsre.slo.increments import Cursor


@dataclass(frozen=True, slots=True)
class Clients:
    """Clients of one Prometheus, each for a thread of its own."""

    present: PrometheusClient
    past: PrometheusClient
    node_label: str
    """The label that names the node of its series."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns, and the thread that reads the past beside them, where there is one to read."""

    loop: Loop
    past: Worker | None

    def start(self) -> None:
        """Begin to read the past."""
        if self.past is not None:
            self.past.start()

    def stop(self, seconds: float) -> None:
        """Read no more of it."""
        if self.past is not None:
            self.past.stop(seconds)


def place(settings: Settings) -> str:
    """Return the address of what is read."""
    return settings.agent_url if settings.prometheus is None else settings.prometheus.url


def prometheus(settings: Settings) -> Clients | None:
    """Return clients of the Prometheus to read, with its token; None where an agent is read."""
    if settings.prometheus is None:
        return None
    url, token = settings.prometheus.url, prometheus_options.token(settings.prometheus.token_file)
    label = settings.prometheus.node_label
    return Clients(PrometheusClient(url, token, BOUNDS), PrometheusClient(url, token), label)


def begin(
    settings: Settings,
    clients: Clients | None,
    slos: Sequence[SLO],
    world: World,
    board: Board,
    wake: Callable[[], None],
) -> Turns:
    """Go on from what the database holds."""
    now = world.clock.now()
    past = _past(clients, slos, world)
    nodes = {settings.node} if clients is None else None
    with resumed(world.store, slos, settings.node, len(world.runbooks), now) as kept:
        engine = Engine(slos, kept.buckets, kept.cursors, nodes, prometheus=clients is not None)
    parts = Parts(
        source=_source(settings, clients, slos, world, kept.cursors),
        past=past,
        expressions=None if clients is None else Expressions(clients.present, engine.slos),
        engine=engine,
        rules=world.rules,
        store=world.store,
        wake=wake,
        board=board,
        sight=world.sight,
        recent=Recent.of(engine.history, now),
        clock=world.clock,
        links=world.links,
        hold=HOLD,
    )
    reader = None if past is None else Worker((Duty("slo_past", past.advance),), board, "past")
    return Turns(Loop(parts), reader)


def _past(clients: Clients | None, slos: Sequence[SLO], world: World) -> Backfill | None:
    """Return what reads the past of SLOs without one; ask before the history is loaded: it drops some."""
    with world.store.write() as transaction:
        new = backfill.begin(transaction, () if clients is None else slos)
    if clients is None or not new:
        return None
    return Backfill(clients.past, Asked(new, (), clients.node_label, slos), world.store, world.clock.now())


def _source(
    settings: Settings,
    clients: Clients | None,
    slos: Sequence[SLO],
    world: World,
    cursors: Collection[Cursor],
) -> Source:
    if clients is None:
        return AgentSource(AgentClient(settings.agent_url, settings.node, world.clock))
    asked = Asked(slos, world.rules, clients.node_label, watched=(conventions.POLICY_REVISION,))
    return PrometheusSource(clients.present, asked, cursors, world.clock)
