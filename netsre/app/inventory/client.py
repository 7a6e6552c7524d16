"""The agent's side of the inventory: what it asks, and what there is without it.

What is in our own network namespace needs nobody else, and is never asked for.
"""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol, TypeVar

from netsre.adapters import conntrack, namespaces, privileges
from netsre.adapters.bpf import programs, syscalls
from netsre.adapters.bpf.filters import HOOKS, Hook
from netsre.adapters.bpf.holders import Held
from netsre.adapters.bpf.objects import MapGone
from netsre.adapters.namespaces import inventory
from netsre.adapters.namespaces.entering import NamespaceGone
from netsre.adapters.namespaces.inventory import Namespace
from netsre.adapters.part.client import Part, PartAway, Reply, Usage
from netsre.app.inventory import wire
from netsre.app.inventory.wire import MOST_IDS, Command
from netsre.datapath.maps import MapFacts
from netsre.datapath.requirements import INVENTORY_CAPABILITIES

MODULE: Final = "netsre.app.inventory.part"
_SIOCGSKNS: Final = 0x894C

_Read = TypeVar("_Read")
_Read_co = TypeVar("_Read_co", covariant=True)


class _Reader(Protocol[_Read_co]):
    def __call__(self, data: bytes, /) -> _Read_co: ...


_SOON: Final = frozenset({"no_answer", "restarting"})
"""Why it does not answer now, and probably will in a moment."""
LEFT_OUT: Final = PartAway("left_out", "it was left out by --without inventory")


@dataclass(frozen=True, slots=True)
class Site:
    """One network namespace, acted on from outside of it."""

    inode: int
    _inventory: "Inventory"

    def open_socket(self, family: int = conntrack.ROUTE) -> socket.socket:
        """Open a netlink socket there; raises `NamespaceGone`, `PartAway` or `OSError`."""
        return self._inventory.open_socket(self.inode, family)

    def attach(self, hook: Hook, program: int, interface: int) -> int:
        """Attach a program to an interface there; return the descriptor of the link that holds it.

        Raises `NamespaceGone`, `PartAway` or `OSError`.
        """
        return self._inventory.attach(self.inode, hook, program, interface)


class Inventory:
    """This node beyond what the agent's own capabilities show."""

    def __init__(self, part: Part | None, away: PartAway | None = None) -> None:
        """Ask this process; without one `away` says why there is none."""
        self._part = part
        self._away = away or LEFT_OUT
        self._own = namespaces.own_identity()[1]
        self._last: Mapping[int, Namespace] = {}

    @classmethod
    def start(cls) -> "Inventory":
        """Start the process before the privileges are given away; where that cannot be, go without."""
        missing = sorted(set(INVENTORY_CAPABILITIES) - privileges.effective_capabilities())
        if missing:
            names = ", ".join(f"CAP_{name}" for name in missing)
            message = f"the agent was started without {names}; run it as root: sudo netsre agent"
            return cls(None, PartAway("not_permitted", message))
        try:
            return cls(Part(MODULE))
        except OSError as error:
            return cls(None, PartAway("not_started", f"the process cannot be started: {error.strerror}"))

    @property
    def wanted(self) -> bool:
        """Whether it was not left out on purpose."""
        return self._part is not None or self._away is not LEFT_OUT

    @property
    def absence(self) -> PartAway | None:
        """Return why it cannot be asked now; None when it can."""
        return self._away if self._part is None else self._part.absence()

    @property
    def restarts(self) -> int:
        """How often the process was started again after it had died."""
        return 0 if self._part is None else self._part.restarts

    def usage(self) -> Usage:
        """Return what the process takes."""
        return Usage(0.0, 0) if self._part is None else self._part.usage()

    def close(self) -> None:
        """Have the process end."""
        if self._part is not None:
            self._part.close()

    def namespaces(self) -> Mapping[int, Namespace]:
        """Return the network namespaces of this host by inode number; without the process, those we may see.

        While it does not answer, they are what they were: what is counted of one must not begin anew.
        """
        try:
            self._last = self._ask(Command.NAMESPACES, read=wire.namespaces)
        except PartAway as away:
            if away.reason not in _SOON or not self._last:
                self._last = inventory.namespaces()
        return self._last

    def named(self, name: str) -> Site:
        """Return what acts on the namespace of this name; raises `NamespaceGone` when there is none."""
        for namespace in self.namespaces().values():
            if namespace.name == name:
                return self.site(namespace.inode)
        raise NamespaceGone(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def site(self, inode: int) -> Site:
        """Return what acts on a namespace."""
        return Site(inode, self)

    def statistics(self, namespace: Namespace) -> str:
        """Return the text of a namespace's statistics; raises `NamespaceGone`, `PartAway` or `OSError`."""
        if namespace.inode == self._own:
            return inventory.own_statistics()
        with _going(namespace.name):
            return self._ask(Command.STATISTICS, namespace.inode, read=wire.text)

    def open_socket(self, inode: int, family: int) -> socket.socket:
        """Open a netlink socket in a namespace."""
        if inode == self._own:
            return conntrack.here(family)
        with _going(f"net:{inode}"):
            descriptor = self._descriptor(Command.SOCKET, inode, family)
        try:
            made = socket.socket(fileno=descriptor)
        except OSError as error:
            os.close(descriptor)
            raise _bad("no socket") from error
        with contextlib.ExitStack() as undo:
            undo.callback(made.close)
            if (made.family, made.proto) != (socket.AF_NETLINK, family) or _namespace_of(made) != inode:
                raise _bad("another socket than was asked for")
            undo.pop_all()
        return made

    def attach(self, inode: int, hook: Hook, program: int, interface: int) -> int:
        """Attach a program to an interface of a namespace."""
        if inode == self._own:
            return programs.attach_interface(program, interface, hook.attach_type, hook.flags)
        where = wire.hook_and_interface(HOOKS.index(hook), interface)
        with _going(f"net:{inode}"):
            link = self._descriptor(Command.ATTACH, inode, where, program)
        about = syscalls.fdinfo(link)
        if about.get("prog_id") != syscalls.fdinfo(program).get("prog_id"):
            os.close(link)
            raise _bad("another link than was asked for")
        return link

    def map_ids(self) -> Iterator[int]:
        """Yield the id of every map, in order; raises `PartAway` or `OSError`."""
        last = 0
        while True:
            found = self._ask(Command.MAP_IDS, last, read=wire.numbers)
            if any(later <= earlier for earlier, later in pairwise((last, *found))):
                raise _bad("ids that go backwards")
            yield from found
            # No further than the first list that is not full: new ones may come faster than we ask.
            if len(found) < MOST_IDS:
                return
            last = found[-1]

    def map_facts(self, numbers: Sequence[int]) -> list[MapFacts]:
        """Describe those of some maps, in order, that are still there; at most `MOST_FACTS`."""
        first, last = numbers[0], numbers[-1]
        found = self._ask(Command.MAP_FACTS, first, last, read=wire.facts)
        return [one for one in found if first <= one.number <= last]

    @contextlib.contextmanager
    def map(self, number: int) -> Iterator[int]:
        """Open a map for reading, for a moment: it must not live longer because we look; raises `MapGone`."""
        try:
            fd = self._descriptor(Command.MAP, number)
        except FileNotFoundError as error:
            raise MapGone(number) from error
        try:
            if syscalls.fdinfo(fd).get("map_id") != str(number):
                raise _bad("another map than was asked for")
            yield fd
        finally:
            os.close(fd)

    def maps_of_program(self, number: int) -> tuple[int, ...]:
        """Return the ids of the maps that a program uses; none when it is gone."""
        return self._ask(Command.PROGRAM_MAPS, number, read=wire.numbers)

    def held(self, pid: int = 0) -> Iterator[Held | None]:
        """Yield what a process holds, or all of them; None after each millisecond or so of work."""
        found, finished = self._ask(Command.HOLDERS, pid, read=wire.held)
        while True:
            yield from found
            yield None
            if finished:
                return
            found, finished = self._ask(Command.MORE, read=wire.held)

    def _ask(self, command: Command, first: int = 0, second: int = 0, *, read: _Reader[_Read]) -> _Read:
        reply = self._reply(command, first, second)
        if reply.descriptor is not None:
            os.close(reply.descriptor)
        try:
            return read(reply.data)
        except ValueError as error:
            raise _bad(f"no answer to {command.name}: {error}") from error

    def _descriptor(self, command: Command, first: int, second: int = 0, given: int | None = None) -> int:
        reply = self._reply(command, first, second, given)
        if reply.descriptor is None:
            raise _bad(f"no descriptor for {command.name}")
        return reply.descriptor

    def _reply(self, command: Command, first: int, second: int, given: int | None = None) -> Reply:
        if self._part is None:
            raise self._away
        return self._part.ask(command, first, second, given)


@contextlib.contextmanager
def _going(name: str) -> Iterator[None]:
    """Say of what is not there that it is a namespace that went away."""
    try:
        yield
    except FileNotFoundError as error:
        raise NamespaceGone(error.errno, error.strerror, name) from error


def _namespace_of(one: socket.socket) -> int:
    """Return the inode number of the network namespace that a socket is in."""
    namespace = fcntl.ioctl(one, _SIOCGSKNS)
    try:
        return os.fstat(namespace).st_ino
    finally:
        os.close(namespace)


def _bad(what: str) -> PartAway:
    return PartAway("bad_answer", f"the process answered with {what}")
