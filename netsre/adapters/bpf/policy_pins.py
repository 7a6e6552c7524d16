"""The policy datapath where it stays: its maps, programs and links under names in a BPF file system.

Nobody has to be alive for it to go on. Whoever changes anything must be alone.
"""

import contextlib
import errno
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.bpf import pins, programs, syscalls
from netsre.adapters.bpf.policy import Datapath, Template, map_shape
from netsre.adapters.bpf.programs import Loaded
from netsre.datapath.policy.programs import MAPS, PROGRAMS
from netsre.model.policies.values import Direction

_HOOKS: Final = {Direction.EGRESS: 46, Direction.INGRESS: 47}
"""What an endpoint sends comes in at the node's end of its link, and what it gets goes out there (TCX)."""
_FIRST: Final = 1 << 3
"""Before every other program there: one that redirects would leave nothing to police."""
_LINK: Final = re.compile(rf"(?:([0-9]+)-)?([0-9]+)_({'|'.join(way.value for way in _HOOKS)})")
"""A network namespace, which earlier versions did not say, an interface and a direction."""
RAN: Final = "of_"
"""Begins the name of a directory of programs that have run; their digest ends it."""
_BY_WAY: Final = dict(zip((Direction.EGRESS, Direction.INGRESS), PROGRAMS, strict=True))


@dataclass(frozen=True, slots=True)
class Link:
    """A program on an interface."""

    interface: int
    """By number."""
    way: Direction
    path: Path
    namespace: int
    """The network namespace in which it was attached; 0 where nobody knows."""


class _Found(NamedTuple):
    link: Link
    is_here: bool
    """Whether its interface is in this network namespace."""
    is_anywhere: bool
    """Whether it has an interface still."""


def map_path(directory: Path, name: str) -> Path:
    """Return where a map is pinned."""
    return _place(directory).maps / name


def _place(directory: Path) -> pins.Place:
    return pins.Place(directory, "policy datapath", "netsre policy detach, then apply")


class Pins:
    """One directory of a BPF file system."""

    def __init__(self, directory: Path) -> None:
        """Work below a directory that need not be there."""
        self._place = _place(directory)

    @contextlib.contextmanager
    def datapath(self) -> Iterator[Datapath | None]:
        """Open what is there, or nothing; raises `MadeDifferently`, `NotOurs` and `OSError`."""
        if not self._place.is_there():
            yield None
            return
        with contextlib.ExitStack() as stack:
            maps = {name: self._place.open_map(name, map_shape(one), stack) for name, one in MAPS.items()}
            loaded = {name: Loaded(self._place.open_program(name, stack), 0.0, 0) for name in PROGRAMS}
            yield Datapath(maps, loaded)

    def make(self, template: Template, capacities: Mapping[str, int], digest: str) -> None:
        """Make maps and programs, which are known by this digest, without a revision: all passes.

        Raises `LoadRefused`, `NotOurs` and `OSError`.
        """
        self._place.check()
        made = Datapath.load(template, capacities)
        try:
            self._place.make(
                {name: one.fd for name, one in made.maps.items()},
                {
                    f"{below}{name}": one.fd
                    for name, one in made.programs.items()
                    for below in ("", f"{RAN}{digest}/")
                },
            )
        finally:
            made.close()

    @property
    def programs(self) -> Path:
        """Return where programs are; `policy_programs` says which."""
        return self._place.programs

    def rename_program(self, name: str, fd: int) -> None:
        """Give the name of a program, which new interfaces get, to another one."""
        self._place.rename_program(name, fd)

    def clear_renaming(self) -> None:
        """Take away what a `rename_program` has left that was killed."""
        for name in PROGRAMS:
            self._place.clear_renaming(name)

    def update_links(self, numbers: Mapping[str, int]) -> None:
        """Have these programs, descriptors by name, run wherever packets are seen, link after link."""
        for each in self._all_links():
            if each.is_anywhere:
                fd = pins.opened(each.link.path)
                try:
                    pins.update_link(fd, numbers[_BY_WAY[each.link.way]])
                except OSError as error:
                    # Its interface is gone since: nobody passes there any more.
                    if error.errno != errno.ENOLINK:
                        raise
                finally:
                    os.close(fd)

    def links(self) -> tuple[Link, ...]:
        """Return what is attached to interfaces of this network namespace, and leave all as it is."""
        return tuple(each.link for each in self._all_links() if each.is_here)

    def elsewhere(self) -> int | None:
        """Return the network namespace whose interfaces are policed; None where it is this one or none."""
        there = {each.link.namespace for each in self._all_links() if each.is_anywhere} - {0}
        return None if not there or pins.network_namespace() in there else min(there)

    def sweep(self) -> None:
        """Take away the links whose interface is not here, or not any more."""
        for each in self._all_links():
            if not each.is_here:
                each.link.path.unlink()

    def _all_links(self) -> Iterator[_Found]:
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self._place.links.iterdir()):
                name = _LINK.fullmatch(path.name)
                if name is None:
                    continue
                number, way = int(name[2]), Direction(name[3])
                fd = pins.opened(path)
                try:
                    about = syscalls.fdinfo(fd)
                finally:
                    os.close(fd)
                # An interface keeps its links in another namespace, and its number may be another's here.
                is_here = int(about.get("link_id", "0")) in pins.links_on(number, _HOOKS[way])
                link = Link(number, way, path, int(name[1] or 0))
                yield _Found(link, is_here, about.get("ifindex", "0") != "0")

    def attach(self, datapath: Datapath, interface: int, there: Collection[Link]) -> None:
        """Police an interface of this namespace, by its number, in each way that has no link there."""
        policed = {link.way for link in there if link.interface == interface}
        namespace = pins.network_namespace()
        for way, hook in _HOOKS.items():
            if way not in policed:
                fd = programs.attach_interface(datapath.programs[_BY_WAY[way]].fd, interface, hook, _FIRST)
                try:
                    pins.pin(fd, self._place.links / f"{namespace}-{interface}_{way.value}")
                finally:
                    os.close(fd)

    def remove(self) -> None:
        """Take everything away: first what sees packets. Raises `NotOurs` and `OSError`."""
        self._place.refuse_foreign()
        for each in self._all_links():
            each.link.path.unlink()
        self._place.clear()
