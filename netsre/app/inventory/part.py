"""The process that looks where the agent may not.

Run as `python -P -m netsre.app.inventory.part SOCKET_FD PARENT_PID`.
It keeps CAP_SYS_ADMIN and CAP_SYS_PTRACE alone, listens to nobody but its parent, and ends with it.
"""

import functools
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from netsre.adapters import privileges
from netsre.adapters.bpf import holders, objects, programs
from netsre.adapters.bpf.filters import HOOKS
from netsre.adapters.bpf.holders import Held
from netsre.adapters.namespaces import inventory
from netsre.adapters.namespaces.inventory import Namespace
from netsre.adapters.part.keeper import keep
from netsre.adapters.part.server import Answer, Handler, serve
from netsre.app.inventory import wire
from netsre.app.inventory.wire import FAMILIES, MOST_FACTS, MOST_IDS, Command
from netsre.datapath.requirements import INVENTORY_CAPABILITIES

_LOOK_SECONDS: Final = 0.001


class Inventory:
    """What is answered; remembers which namespaces it named, and how far it has looked."""

    def __init__(self) -> None:
        """Begin without having looked."""
        self._namespaces: Mapping[int, Namespace] = {}
        self._walk: Iterator[Held | None] = iter(())

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """Return what does each command."""
        return {
            Command.NAMESPACES: self.namespaces,
            Command.STATISTICS: self.statistics,
            Command.SOCKET: self.open_socket,
            Command.ATTACH: self.attach,
            Command.MAP_IDS: self.map_ids,
            Command.MAP_FACTS: self.map_facts,
            Command.MAP: self.map,
            Command.PROGRAM_MAPS: self.program_maps,
            Command.HOLDERS: self.holders,
            Command.MORE: self.more,
        }

    def namespaces(self, *_: object) -> Answer:
        """Name every namespace."""
        self._namespaces = inventory.namespaces()
        return Answer(wire.write_namespaces(self._namespaces.values()))

    def statistics(self, inode: int, *_: object) -> Answer:
        """Read a namespace's connection statistics."""
        return Answer(inventory.statistics_text(self._namespaces[inode]).encode())

    def open_socket(self, inode: int, family: int, _: object) -> Answer:
        """Open a netlink socket in a namespace."""
        if family not in FAMILIES:
            raise ValueError(family)
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        made = inventory.inside(
            self._namespaces[inode], lambda: socket.socket(socket.AF_NETLINK, kind, family)
        )
        return Answer(descriptor=made.detach())

    def attach(self, inode: int, where: int, descriptors: Sequence[int]) -> Answer:
        """Attach the program that came with the request to an interface of a namespace."""
        number, interface = wire.split(where)
        hook = HOOKS[number]
        link = inventory.inside(
            self._namespaces[inode],
            lambda: programs.attach_interface(descriptors[0], interface, hook.attach_type, hook.flags),
        )
        return Answer(descriptor=link)

    def map_ids(self, last: int, *_: object) -> Answer:
        """List maps."""
        return Answer(wire.write_numbers(itertools.islice(objects.map_ids(last), MOST_IDS)))

    def map_facts(self, first: int, last: int, _: object) -> Answer:
        """Describe maps; one that is gone, or may not be looked at, is left out."""
        found = []
        for number in itertools.islice(objects.map_ids(first - 1), MOST_FACTS):
            if number > last:
                break
            try:
                found.append(objects.facts(number))
            except (LookupError, OSError):
                continue
        return Answer(wire.write_facts(found))

    def map(self, number: int, *_: object) -> Answer:
        """Open a map for reading."""
        return Answer(descriptor=objects.open_map(number))

    def program_maps(self, number: int, *_: object) -> Answer:
        """List the maps of a program."""
        return Answer(wire.write_numbers(objects.maps_of_program(number)))

    def holders(self, pid: int, *_: object) -> Answer:
        """Begin to look, and look for a moment."""
        self._walk = iter(holders.of_process(pid) if pid else holders.by_processes())
        return self.more()

    def more(self, *_: object) -> Answer:
        """Go on with it."""
        found: list[Held] = []
        end = time.perf_counter() + _LOOK_SECONDS
        for held in self._walk:
            if held is not None:
                found.append(held)
            if time.perf_counter() > end:
                return Answer(wire.write_held(found, finished=False))
        return Answer(wire.write_held(found, finished=True))


def main(arguments: Sequence[str]) -> None:
    """Give away what is not needed, and have a process answer until the agent is gone."""
    privileges.die_with_parent(int(arguments[1]), signal.SIGKILL)
    # Whoever stops the agent may mean its whole group: it is the agent that ends, and then this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    privileges.limit_capabilities(INVENTORY_CAPABILITIES)
    with socket.socket(fileno=int(arguments[0])) as parent:
        keep(parent, functools.partial(_answer, os.getpid()))


def _answer(keeper: int, channel: socket.socket) -> None:
    """Answer until the agent is gone, or who would start us again."""
    privileges.die_with_parent(keeper, signal.SIGKILL)
    serve(channel, Inventory().handlers)


if __name__ == "__main__":
    main(sys.argv[1:])
