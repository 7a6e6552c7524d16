"""One process of the lab's traffic: `python -m netsre.app.local.labtraffic server|client|sink|noisy …`.

It starts as root, enters its namespace, becomes the service user, and only then opens a socket. A server
echoes what it hears. A client opens connections on a fixed schedule whatever became of the earlier ones (an
open loop: a client that waits for slow answers would hide the very failures that the lab is there to show).
A noisy client floods the server when it is told to, and a sink takes its connections.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netsre.adapters import namespaces, privileges
from netsre.app.local import labflood, labpackets
from netsre.errors import NetsreError

_REQUEST: Final = b"How good is the network today?\n"
_PATIENCE: Final = 10.0
_MOST_IN_FLIGHT: Final = 1_000
_GIVE_UP_BEHIND: Final = 1.0
"""Seconds behind schedule after which the missed connections are left out instead of made in a burst."""


class Echo(asyncio.Protocol):
    """Send back what arrives, until the other side closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.write(data)


async def serve(addresses: Sequence[str], port: int) -> None:
    """Answer on every address until this process ends."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Echo, address, port, backlog=1024) for address in addresses]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def exchange(address: str, port: int) -> None:
    """Connect, ask, hear the answer, close; a failure is the network's and no reason to stop."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(_REQUEST)
                await reader.readexactly(len(_REQUEST))
            finally:
                writer.close()


async def request(addresses: Sequence[str], port: int, rate: float) -> None:
    """Open `rate` connections a second, to each address in turn, until this process ends."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()
    due = loop.time()
    number = 0
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        due = due + 1 / rate if loop.time() - due < _GIVE_UP_BEHIND else loop.time()
        if len(running) < _MOST_IN_FLIGHT:
            task = asyncio.create_task(exchange(addresses[number % len(addresses)], port))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1


def main(arguments: Sequence[str]) -> int:
    """Run one process of the lab; return an exit code when it cannot."""
    parser = argparse.ArgumentParser(prog="netsre lab traffic")
    parser.add_argument("part", choices=("server", "client", "sink", "noisy"))
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--address", action="append", required=True)
    parser.add_argument("--port", type=int, required=True, help="the first of a sink's")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--control", type=Path, help="the socket on which a noisy client takes commands")
    options = parser.parse_args(arguments)
    try:
        namespaces.enter(options.namespace)
        privileges.drop_to(privileges.find_user(options.user))
        # A lab process holds nothing that would need a goodbye.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if options.part == "noisy":
            return labflood.run(options.control, options.address, options.port)
    except NetsreError as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    if options.part == "server":
        asyncio.run(serve(options.address, options.port))
    elif options.part == "sink":
        labpackets.sink(options.address, options.port)
    else:
        asyncio.run(request(options.address, options.port, options.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
