"""HTTP connections that may not be held open for nothing.

A server bounds how many connections it has, so that whoever opens many and says nothing locks everybody else
out. Here each request and its answer have their time, and the connection is then closed whatever it does.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

LOOK_SECONDS: Final = 10.0
"""Between two looks at a connection: a request has at least as long, and at most twice as long."""


class BoundedProtocol(H11Protocol):
    """Closes a connection that got no further between two looks at it."""

    look_seconds = LOOK_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look."""
        super().connection_made(transport)
        self._look_later()

    def _look_later(self) -> None:
        # A request that came in replaces the one before: the same one, or still none, is no progress.
        self.loop.call_later(self.look_seconds, self._look, self.cycle)

    def _look(self, seen: object) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is seen:
            self.transport.abort()
        else:
            self._look_later()
