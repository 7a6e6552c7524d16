"""A part that answers every question, and none of them truly."""

import os
import socket
import sys
from collections.abc import Sequence

from netsre.adapters.part.keeper import keep
from netsre.adapters.part.server import Answer, Handler, serve
from netsre.app.inventory import wire
from netsre.app.inventory.wire import Command
from netsre.datapath.maps import MapFacts


def _socket(_: int, family: int, __: object) -> Answer:
    """Hand over one of our own namespace, another kind of socket for routes, and no socket at all for 5."""
    if family == 5:
        return _null()
    if family:
        return Answer(descriptor=socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family).detach())
    return Answer(descriptor=socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach())


def _null(*_: object) -> Answer:
    return Answer(descriptor=os.open("/dev/null", os.O_RDONLY))


def _map(number: int, *_: object) -> Answer:
    return _null() if number else Answer()


def main(arguments: Sequence[str]) -> None:
    """Answer."""
    facts = wire.write_facts([MapFacts(1 << 40, "none", 1, 4, 8, 10, 0)])
    handlers: dict[int, Handler] = {
        Command.NAMESPACES: lambda *_: Answer(b'[["1", 2]]'),
        Command.SOCKET: _socket,
        Command.ATTACH: _null,
        Command.MAP: _map,
        Command.MAP_IDS: lambda *_: Answer(wire.write_numbers([7, 3])),
        Command.MAP_FACTS: lambda *_: Answer(facts),
    }
    with socket.socket(fileno=int(arguments[0])) as parent:
        keep(parent, lambda channel: serve(channel, handlers))


if __name__ == "__main__":
    main(sys.argv[1:])
