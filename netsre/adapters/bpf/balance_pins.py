"""The balancer where it stays: its maps, programs and links under names in a BPF file system.

Nobody has to be alive for it to go on. What is made appears as a whole, by renaming one directory. Whoever
changes anything must be alone.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from netsre.adapters.bpf import attaching, pins, syscalls
from netsre.adapters.bpf.balance_programs import MAPS, Objects, Template, load_programs
from netsre.datapath.balance.programs import PROGRAMS


@dataclass(frozen=True, slots=True)
class Link:
    """A program at a hook of a cgroup."""

    hook: str
    cgroup: int
    """As the kernel calls it, which is the inode of its directory; 0 where the cgroup is gone."""


def map_path(directory: Path, name: str) -> Path:
    """Return where a map is pinned."""
    return _place(directory).maps / name


def _place(directory: Path) -> pins.Place:
    return pins.Place(directory, "balancer", "netsre balance detach, then apply")


class Pins:
    """One directory of a BPF file system."""

    def __init__(self, directory: Path) -> None:
        """Work below a directory that need not be there."""
        self._place = _place(directory)

    @contextlib.contextmanager
    def objects(self) -> Iterator[Objects | None]:
        """Open what is there, or nothing; raises `MadeDifferently`, `NotOurs` and `OSError`."""
        if not self._place.is_there():
            yield None
            return
        with contextlib.ExitStack() as stack:
            maps = {name: self._place.open_map(name, shape, stack) for name, shape in MAPS.items()}
            programs = {one.name: self._place.open_program(one.name, stack) for one in PROGRAMS}
            yield Objects(maps, programs)

    def make(self, template: Template) -> None:
        """Make maps and programs, attached nowhere; raises `LoadRefused`, `NotOurs` and `OSError`."""
        self._place.check()
        made = Objects.load(template)
        try:
            self._place.make({name: one.fd for name, one in made.maps.items()}, made.programs)
        finally:
            made.close()

    def replace_programs(self, objects: Objects, template: Template) -> None:
        """Have other programs run with the same maps, without a call that none sees.

        Raises `LoadRefused`, and the old ones go on.
        """
        with contextlib.ExitStack() as stack:
            loaded = load_programs(template, objects.maps, stack)
            there = {link.hook for link in self.links()}
            for program in PROGRAMS:
                if program.hook in there:
                    fd = pins.opened(self._place.links / program.hook)
                    stack.callback(os.close, fd)
                    pins.update_link(fd, loaded[program.name])
            for name, fd in loaded.items():
                self._place.rename_program(name, fd)

    def links(self) -> tuple[Link, ...]:
        """Return what is attached."""
        found = []
        for program in PROGRAMS:
            with contextlib.suppress(FileNotFoundError):
                fd = pins.opened(self._place.links / program.hook)
                try:
                    found.append(Link(program.hook, int(syscalls.fdinfo(fd).get("cgroup_id", "0"))))
                finally:
                    os.close(fd)
        return tuple(found)

    def attach(self, programs: Mapping[str, int], cgroup: Path) -> bool:
        """Balance for the processes of a cgroup and of those below it, and for no others.

        The cgroup is a directory of the unified hierarchy. Returns whether anything was to be done.
        """
        there = {link.hook: link.cgroup for link in self.links()}
        directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
        try:
            number = os.fstat(directory).st_ino
            missing = [program for program in PROGRAMS if there.get(program.hook) != number]
            for program in missing:
                fd = attaching.attach_cgroup(programs[program.name], program.hook, directory)
                try:
                    self._place.rename_link(program.hook, fd)
                finally:
                    os.close(fd)
        finally:
            os.close(directory)
        return bool(missing)

    def remove(self) -> None:
        """Take everything away: first what begins things. Raises `NotOurs` and `OSError`."""
        self._place.refuse_foreign()
        for program in reversed(PROGRAMS):
            (self._place.links / program.hook).unlink(missing_ok=True)
        self._place.clear()
