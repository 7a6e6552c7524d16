"""A node without a kernel: the agent's own commands and ledger, over a table that a test fills.

Any command about an effect can be held back: what happens to whoever sent it happens meanwhile.
"""

import contextlib
import http.server
import pathlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from netsre.adapters import privileges, processes
from netsre.adapters.control import ControlRefused, ControlServer, Handler, listen
from netsre.adapters.privileges import ServiceUser
from netsre.app.effects.commands import Commands
from netsre.app.effects.host import Host
from netsre.app.effects.ledger import Ledger, Where
from netsre.app.effects.manager import Effects
from netsre.clock import SystemClock, boottime
from netsre.model import effects as model
from netsre.model.documents import Document
from netsre.model.effects import Block, Effect, Flush, LimitFacts, Route, SourceCount, Table

NETNS = "lab"
NOISY = "198.18.2.2"
LIMIT = 1000
_OTHERS = 20
_PATIENCE = 120


class Connections(Host):
    """One namespace, most of whose table one source holds."""

    def __init__(self) -> None:
        """Begin with room."""
        self.held = 0
        self.begun: list[Effect] = []
        """Every change that was made, in order."""
        self.blocked = False

    def flood(self) -> None:
        """Have one source fill it."""
        self.held = 900

    def table(self, netns: str, most: int) -> Table:
        """Return who fills the table."""
        del most
        return Table(netns, self.held + _OTHERS, LIMIT, (SourceCount(NOISY, self.held),))

    def route(self, netns: str, source: str) -> Route:
        """Return where a source comes in."""
        del netns, source
        return Route("eth0", "")

    def limit(self) -> LimitFacts:
        """Return the limit."""
        return LimitFacts(LIMIT, 1_000_000)

    def check(self, effect: Effect) -> None:
        """Refuse nothing."""

    def begin(self, effect: Effect, deadline: int) -> Document:
        """Make the change."""
        del deadline
        self.begun.append(effect)
        match effect:
            case Block():
                self.blocked = True
            case Flush():
                self.held = 0
            case _:
                raise ControlRefused("failed", "there is no reason to")
        return {}

    def holds(self, effect: Effect, deadline: int) -> bool:
        """Tell whether it is made."""
        del deadline
        return effect in self.begun

    def at(self, where: Where) -> Self:
        """Have it all in one place."""
        del where
        return self

    def end(self, effect: Effect, deadline: int) -> Document:
        """Take it back."""
        del deadline
        self.blocked = self.blocked and not isinstance(effect, Block)
        return {"result": "put_back"}


@dataclass
class Held:
    """The first command of a kind about a kind of effect: how far it is."""

    do: str
    kind: type[Effect]
    after: bool
    """Held back when it is carried out, instead of before."""
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    refused: str | None = None
    """The word with which it was refused in the end."""
    answered: threading.Event = field(default_factory=threading.Event)


class CommandedNode:
    """What controllers read and command."""

    def __init__(self, home: pathlib.Path, user: ServiceUser) -> None:
        """Serve both; a user may command."""
        self.host = Connections()
        self.held: Held | None = None
        self.control = home / "agent.sock"
        directory = home / "effects"
        directory.mkdir()
        self.ledger = Ledger(directory, processes.this_process())
        self.effects = Effects(self.ledger, self.host, SystemClock(), boottime)
        handlers = Commands(self.effects, self.host).handlers
        with privileges.as_group(user.gid):
            listener = listen(self.control, shared=True)
        allowed = {0, user.uid}
        wrapped = {name: self._holding(name, handler) for name, handler in handlers.items()}
        self._server = ControlServer(self.control, wrapped, allowed, listener)
        self._http, self.url = self._metrics()

    def close(self) -> None:
        """End."""
        if self.held is not None:
            self.held.released.set()
        self._server.close()
        self._http.shutdown()
        self._http.server_close()

    def hold(self, do: str, kind: type[Effect], *, after: bool = False) -> Held:
        """Have the next such command be held back."""
        self.held = Held(do, kind, after)
        return self.held

    def _holding(self, name: str, handler: Handler) -> Handler:
        def handle(command: Document) -> Document:
            held = self.held
            effect = command.get("effect")
            about = model.read(effect) if isinstance(effect, dict) else None
            if held is None or held.do != name or type(about) is not held.kind or held.arrived.is_set():
                return handler(command)
            answer = handler(command) if held.after else None
            held.arrived.set()
            held.released.wait(_PATIENCE)
            try:
                return handler(command) if answer is None else answer
            except ControlRefused as refusal:
                held.refused = refusal.reason
                raise
            finally:
                held.answered.set()

        return handle

    def _metrics(self) -> tuple[http.server.ThreadingHTTPServer, str]:
        host, started = self.host, time.time() - 60

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                share = (host.held + _OTHERS) / LIMIT
                self.send_response(200)
                self.end_headers()
                labels = f'table="kernel",netns="{NETNS}"'
                text = (
                    f"process_start_time_seconds {started}\n"
                    f"netsre_conntrack_utilization_ratio{{{labels}}} {share}\n"
                )
                with contextlib.suppress(OSError):
                    self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is theirs
                """Keep quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_address[1]}"


@contextlib.contextmanager
def node(home: pathlib.Path, user: ServiceUser) -> Iterator[CommandedNode]:
    """Have a node in a directory."""
    made = CommandedNode(home, user)
    try:
        yield made
    finally:
        made.close()
