"""The programs of the policy datapath that run, and those that ran before them, by what they were made of.

Below the directory of programs:

    NAME                    what runs, and what a new interface gets
    of_DIGEST/NAME          what runs under its digest, and what ran before
    left_DIGEST/NAME        what ran before, and somebody went back from
    new_DIGEST/NAME         what has not run yet
    going_of_DIGEST         an exchange has begun, from this to what has the first NAME
    going_left_DIGEST       the same, and what ran until then is gone back from

All of them share their maps. An exchange is decided by one step, the first NAME; killed before it, it never
was, and killed after it, `settle` goes on. Whoever changes anything, or settles, must be alone.
"""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.bpf import pins, programs, syscalls
from netsre.adapters.bpf.policy import Datapath, Template
from netsre.adapters.bpf.policy_pins import RAN, Pins
from netsre.datapath.policy.programs import MAPS, PROGRAMS

_LEFT: Final = "left_"
_NEW: Final = "new_"
_GOING: Final = "going_"
_UNKNOWN: Final = "unknown"
_MAKING: Final = "making"
_KEPT: Final = re.compile(rf"({RAN}|{_LEFT}|{_NEW})([0-9a-f]+)")
_FROM: Final = re.compile(rf"{_GOING}({RAN}|{_LEFT})([0-9a-f]+|{_UNKNOWN})")
_FIRST: Final = PROGRAMS[0]


@dataclass(frozen=True, slots=True)
class Running:
    """Which programs run, and which may run again."""

    digest: str
    """Of what those were made of that run; empty where nothing says so, as an earlier version made them."""
    since_ms: int
    """By the clock on the wall."""
    kept: str
    """Of those that ran before; empty where none are kept."""
    is_left: bool
    """Whether somebody went back from these."""


class _Generation(NamedTuple):
    how: str
    digest: str
    path: Path


def read(where: Pins) -> Running:
    """Return what runs; raises `OSError`."""
    now, others = _of(where.programs / _FIRST), [one for one in _all(where) if one.how != _NEW]
    runs = next((one for one in others if _of(one.path / _FIRST) == now), None)
    since = (where.programs / _FIRST).stat().st_mtime_ns // 10**6
    if runs is None:
        return Running("", since, "", is_left=False)
    kept = next((one for one in others if one is not runs), None)
    return Running(
        runs.digest,
        since,
        kept.digest if kept is not None else "",
        is_left=kept is not None and kept.how == _LEFT,
    )


def is_settled(where: Pins) -> bool:
    """Say whether no exchange has begun and not ended."""
    return not _begun(where)


def replace(where: Pins, datapath: Datapath, template: Template, digest: str, before: str) -> None:
    """Have other programs run with the same maps, without a packet that none sees; keep what ran.

    `digest` is theirs; `before` that of what runs, where `read` does not say it: what is empty is not kept.
    Raises `LoadRefused`, and the old ones go on.
    """
    numbers = [datapath.maps[name].fd for name in MAPS]
    with contextlib.ExitStack() as stack:
        new = {}
        for name, code in template.instructions.items():
            ours = programs.with_maps(code, numbers.__getitem__)
            new[name] = programs.load(name, ours, programs.SCHED_CLS).fd
            stack.callback(os.close, new[name])
        runs = read(where).digest
        if not runs and before:
            _keep(where, f"{RAN}{before}", _opened(where.programs, stack))
        _keep(where, f"{_NEW}{digest}", new)
    _go(where, where.programs / f"{_NEW}{digest}", f"{RAN}{runs or before or _UNKNOWN}")


def go_to(where: Pins, kept: str, *, leaves: bool) -> None:
    """Have the programs run again that are kept, which must have this digest; keep what ran.

    `leaves` says that what runs until then is gone back from.
    """
    [target] = [one.path for one in _all(where) if one.digest == kept]
    _go(where, target, f"{_LEFT if leaves else RAN}{read(where).digest}")


def settle(where: Pins) -> None:
    """Go on with an exchange that was killed, if one was."""
    for marker, becomes, source in _begun(where):
        _finish(where, becomes, source)
        where.clear_renaming()
        marker.rmdir()
    for path in (where.programs / _MAKING, *(one.path for one in _all(where) if one.how == _NEW)):
        _clear(path)


def _go(where: Pins, target: Path, source: str) -> None:
    (where.programs / f"{_GOING}{source}").mkdir(mode=0o700)
    fd = pins.opened(target / _FIRST)
    try:
        where.rename_program(_FIRST, fd)
    finally:
        os.close(fd)
    settle(where)


def _finish(where: Pins, becomes: str, source: str) -> None:
    """Go on to what has the first name; what ran is known by this digest, and is named so as it becomes."""
    now, kept = _of(where.programs / _FIRST), _all(where)
    goal = next((one for one in kept if now is not None and _of(one.path / _FIRST) == now), None)
    if goal is None or goal.digest == source:
        return  # never decided
    with contextlib.ExitStack() as stack:
        numbers = _opened(goal.path, stack)
        for name in PROGRAMS[1:]:
            where.rename_program(name, numbers[name])
        where.update_links(numbers)
    for one in kept:
        if one is not goal and (one.digest != source or one.how == _NEW):
            _clear(one.path)
        else:
            name = f"{RAN}{goal.digest}" if one is goal else becomes
            one.path.rename(one.path.with_name(name))


def _begun(where: Pins) -> Sequence[tuple[Path, str, str]]:
    """Return the mark of an exchange, the name that what ran gets by it, and its digest."""
    found = [(path, _FROM.fullmatch(path.name)) for path in _listed(where)]
    return [(path, f"{name[1]}{name[2]}", name[2]) for path, name in found if name is not None]


def _all(where: Pins) -> Sequence[_Generation]:
    found = [(path, _KEPT.fullmatch(path.name)) for path in _listed(where)]
    return [_Generation(name[1], name[2], path) for path, name in found if name is not None]


def _listed(where: Pins) -> Sequence[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(where.programs.iterdir())
    return ()


def _keep(where: Pins, name: str, numbers: Mapping[str, int]) -> None:
    """Give programs, descriptors by name, a directory of their own, which is there whole or not at all."""
    making = where.programs / _MAKING
    _clear(making)
    _clear(where.programs / name)
    making.mkdir(mode=0o700)
    for each, fd in numbers.items():
        pins.pin(fd, making / each)
    making.rename(where.programs / name)


def _opened(directory: Path, stack: contextlib.ExitStack) -> Mapping[str, int]:
    numbers = {}
    for name in PROGRAMS:
        numbers[name] = pins.opened(directory / name)
        stack.callback(os.close, numbers[name])
    return numbers


def _clear(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        pins.remove_tree(directory)


def _of(path: Path) -> str | None:
    """Return the kernel's number of a program; None where there is none."""
    try:
        fd = pins.opened(path)
    except FileNotFoundError:
        return None
    try:
        return syscalls.fdinfo(fd)["prog_id"]
    finally:
        os.close(fd)
