"""The prefilter where it stays: its maps, its program and its links under names in a BPF file system.

Nobody has to be alive for it to go on. Whoever changes anything must hold the lock.
"""

import contextlib
import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.bpf import pinned, pins, prefilter, syscalls, xdp
from netsre.adapters.bpf.prefilter import COUNTS, FUNCTION, HOSTS, MAPS, RULES, STATE, Prefilter
from netsre.adapters.bpf.programs import Loaded
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.adapters.bpf.xdp import Where
from netsre.datapath.block import SOURCE_BYTES
from netsre.datapath.prefilter import (
    ADDRESS_BITS,
    KEY,
    Event,
    Network,
    Rule,
    State,
    Verdict,
    Written,
    bits_in,
    bits_of,
    host_key_of,
    key_of,
)
from netsre.datapath.prefilter_totals import Counted, counts_of

_LINK: Final = re.compile(r"[0-9]+-[0-9]+")
"""A network namespace and an interface: a number of one alone is many interfaces."""


def _wait(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)


@dataclass(frozen=True, slots=True)
class Link:
    """The program on an interface."""

    interface: int
    """By number."""
    where: Where
    path: Path


@dataclass(frozen=True, slots=True)
class Said:
    """What a prefilter says of itself at about one moment."""

    number: int
    """Of one of its maps: another prefilter has another."""
    state: State
    rules: tuple[Counted, ...]
    events: Mapping[Event, int]
    interfaces: Mapping[int, Where]
    """Those of this namespace that it is on, by number."""


class Version(NamedTuple):
    """Programs by what the kernel knows their instructions by."""

    runs: str
    ours: str


class Pins:
    """One directory of a BPF file system."""

    def __init__(self, directory: Path) -> None:
        """Work below a directory that need not be there."""
        self._place = pins.Place(
            directory, "prefilter", "netsre prefilter detach, then attach, and add the rules again"
        )
        self._known: dict[tuple[bytes, bytes], _Known] = {}
        """Rules that were read before, by their entries: many, and seldom another."""

    @contextlib.contextmanager
    def locked(self, take: Callable[[int], None] = _wait) -> Iterator[None]:
        """Be alone; the directory around, which holds the lock, is made without one.

        `take` locks the file of a descriptor, waiting until it can unless it raises something. Raises
        `NotOurs` and `OSError`.
        """
        self._place.check()
        self._around.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._opened_around() as descriptor:
            take(descriptor)
            yield

    @property
    def _around(self) -> Path:
        return self._place.directory.parent

    @contextlib.contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        with self._opened_around() as descriptor:
            fcntl.flock(descriptor, how)
            yield

    @contextlib.contextmanager
    def _opened_around(self) -> Iterator[int]:
        descriptor = os.open(self._around, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def prefilter(self) -> Iterator[Prefilter | None]:
        """Open what is there, or nothing; raises `MadeDifferently`, `NotOurs` and `OSError`."""
        if not self._place.is_there():
            yield None
            return
        with contextlib.ExitStack() as stack:
            maps = {name: self._place.open_map(name, shape, stack) for name, shape in MAPS.items()}
            yield Prefilter.of(maps, Loaded(self._place.open_program(FUNCTION, stack), 0.0, 0))

    def state(self) -> State | None:
        """Return what holds for all rules, waiting for nobody; None where no interface is filtered.

        Raises `OSError`, also for another version.
        """
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            found = State.of(self._readable(STATE, stack).lookup(bytes(4)) or State().packed())
            if any(_described(path).interface for path in self._link_paths()):
                return found
        return None

    def rule(self, network: Network) -> Rule | None:
        """Return the rule for exactly this network, over or not, waiting for nobody; raises `OSError`."""
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            for name, key in ((HOSTS, host_key_of(network)), (RULES, key_of(network))):
                value = self._readable(name, stack).lookup(key)
                # A trie answers with the longest prefix of what it is asked for.
                if value is not None and bits_in(value) == bits_of(network):
                    return Written.of(key, value).rule
        return None

    def make(self, instructions: bytes) -> None:
        """Make one without rules, attached nowhere; raises `LoadRefused` and `OSError`."""
        made = Prefilter.load(instructions)
        try:
            maps = {name: one.fd for name, one in made.maps.items()}
            self._place.make(maps, {FUNCTION: made.program.fd})
        finally:
            made.close()

    def renew(self, found: Prefilter, instructions: bytes) -> bool:
        """Have this program run with the rules that are there, without a packet that none sees.

        Says whether it was another one. Raises `LoadRefused`, and the old one goes on.
        """
        program = prefilter.load_program(instructions, found.maps)
        try:
            if _tag(program.fd) == _tag(found.program.fd):
                return False
            for path in self._living():
                fd = pins.opened(path)
                try:
                    pins.update_link(fd, program.fd)
                finally:
                    os.close(fd)
            # Last: whoever is killed before finds the old name, and begins again.
            self._place.rename_program(FUNCTION, program.fd)
        finally:
            os.close(program.fd)
        return True

    def version(self, instructions: bytes) -> Version:
        """Return which program runs, and which this one would be: it is loaded once, and nothing is changed.

        Raises `MadeDifferently`, `LoadRefused` and `OSError`.
        """
        with self.prefilter() as found:
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            program = prefilter.load_program(instructions, found.maps)
            try:
                return Version(_tag(found.program.fd), _tag(program.fd))
            finally:
                os.close(program.fd)

    def links(self) -> tuple[Link, ...]:
        """Return what is attached in this namespace; links that have lost their interface are taken away."""
        return tuple(_links(self._living()))

    def attach(self, interface: int, wanted: Where | None) -> Where:
        """Have an interface of this namespace filtered, by its number, and say where it is.

        Raises `OSError`, EBUSY or EEXIST where another program has the interface: XDP takes one.
        """
        path = self._place.links / f"{pins.network_namespace()}-{interface}"
        with contextlib.ExitStack() as stack:
            made = xdp.attach(self._place.open_program(FUNCTION, stack), interface, wanted)
            stack.callback(os.close, made.link)
            # One of that number may have gone to another namespace.
            path.unlink(missing_ok=True)
            pins.pin(made.link, path)
        return made.where

    def remove(self) -> None:
        """Take everything away: first what sees packets. Raises `NotOurs` and `OSError`."""
        self._place.refuse_foreign()
        for path in self._link_paths():
            path.unlink()
        self._place.clear()

    def read(self, *, waits: bool = True) -> Said | None:
        """Return what is said, changing nothing; None where there is none.

        A rule that is being changed is in neither table for a moment, so nobody changes any meanwhile. Raises
        `BlockingIOError` where somebody does and we are not to wait, and `OSError`, also for another version.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._lock(fcntl.LOCK_SH | (0 if waits else fcntl.LOCK_NB)))
                # Each, whatever is read of it: of another version counters may stand in another order.
                maps = {name: self._readable(name, stack) for name in MAPS}
            except FileNotFoundError:
                return None
            rules = self._rules(maps)
            counts = _counts(maps[COUNTS], max((each.written.counter for each in rules), default=-1) + 1)
            return Said(
                int(syscalls.fdinfo(maps[COUNTS].fd)["map_id"]),
                State.of(maps[STATE].lookup(bytes(4)) or State().packed()),
                tuple(
                    Counted(*each, counts[each.written.counter])
                    for each in rules
                    if each.written.counter < len(counts)
                ),
                prefilter.events(maps),
                {link.interface: link.where for link in _links(self._link_paths())},
            )

    def _rules(self, maps: Mapping[str, BpfMap]) -> "list[_Known]":
        entries = {entry[0][-SOURCE_BYTES:]: entry for entry in maps[HOSTS].entries()}
        # In the trie, too, is what was changed by somebody who was killed.
        hosts = {KEY.pack(ADDRESS_BITS, address) for address in entries}
        found = [*entries.values(), *(one for one in maps[RULES].entries() if one[0] not in hosts)]
        self._known = {entry: self._known.get(entry) or _known(entry) for entry in found}
        return list(self._known.values())

    def _readable(self, name: str, stack: contextlib.ExitStack) -> BpfMap:
        return stack.enter_context(pinned.opened_as(self._place.maps / name, MAPS[name], "prefilter"))

    def _link_paths(self) -> list[Path]:
        try:
            return sorted(path for path in self._place.links.iterdir() if _LINK.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def _living(self) -> list[Path]:
        """Return the links that have an interface, wherever it is, and take away the others."""
        paths = self._link_paths()
        gone = [path for path in paths if not _described(path).interface]
        for path in gone:
            path.unlink()
        return [path for path in paths if path not in gone]


class _Described(NamedTuple):
    interface: int
    """0 where it is gone."""
    program: int


class _Known(NamedTuple):
    name: str
    written: Written


def _known(entry: tuple[bytes, bytes]) -> _Known:
    found = Written.of(*entry)
    return _Known(str(found.rule.network), found)


def _counts(table: BpfMap, most: int) -> list[tuple[int, ...]]:
    """Return what the first counters have."""
    if not most:
        return []
    _, values, _ = table.batch(None, most * len(Verdict))
    return counts_of(struct.unpack(f"<{len(values) // 8}Q", values), syscalls.possible_cpus())


def _described(path: Path) -> _Described:
    try:
        fd = pins.opened(path)
    except FileNotFoundError:
        return _Described(0, 0)
    try:
        about = syscalls.fdinfo(fd)
    finally:
        os.close(fd)
    return _Described(int(about.get("ifindex", "0")), int(about.get("prog_id", "0")))


def _links(paths: Iterable[Path]) -> Iterator[Link]:
    """Yield those whose interface was attached in this namespace, and is here."""
    here = f"{pins.network_namespace()}-"
    for path in paths:
        if path.name.startswith(here):
            link = _described(path)
            there = xdp.programs_on(link.interface) if link.interface else {}
            for where in [where for where, number in there.items() if number == link.program]:
                yield Link(link.interface, where, path)


def _tag(program_fd: int) -> str:
    """Return what the kernel knows the instructions of a program by; its maps are no part of it."""
    return syscalls.fdinfo(program_fd)["prog_tag"]
