"""Taking away what netsre left behind when it could not do so itself (kill -9, a crash, a lost terminal).

Every name says whose it is (`netsre.gameday.ownership`), so a sweep needs no record of what was made, and
takes nothing away from an owner that lives. Only what has no name, such as a limit of the kernel, is written
down, in the ledger of effects.
"""

import contextlib
import itertools
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters import namespaces, processes
from netsre.app import rundir
from netsre.app.effects import ledger, orphans
from netsre.app.effects.ledger import Where
from netsre.app.policing import programs
from netsre.app.policing.node import Places
from netsre.app.remembering import Locked
from netsre.clock import boottime
from netsre.errors import BadInput
from netsre.gameday import ownership
from netsre.gameday.ownership import Ownership

_GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Removed:
    """One thing that a sweep took away."""

    kind: str
    """`process`, `namespace`, a kind of effect such as `limit`, `exchange`, `directory` or `file`."""
    name: str
    detail: str


def sweep(data_dir: Path | None = None, effects: Path = ledger.DIRECTORY) -> tuple[Removed, ...]:
    """Remove every stale thing of ours and return what was removed, in the order of removal.

    Needs root. A `data_dir` that is not a directory raises `BadInput`; one that does not exist holds nothing.
    `effects` is the directory that agents write their changes down in, also where these are. Raises
    `EnvironmentUnfit` when the kernel does not let one of them be put back.
    """
    # Agents that outlived their parent end first, and take back what is theirs.
    changed = _sweep_processes(), _sweep_effects(effects)
    removed = [*itertools.chain(*changed), *_sweep_namespaces(), *_sweep_run_directories()]
    if data_dir is not None:
        removed += _sweep_files(data_dir)
    return tuple(removed)


def is_stale(name: str) -> bool:
    """Say whether a name is one of ours whose owner is gone."""
    parsed = ownership.parse(name)
    if parsed is None:
        return False
    return ownership.verdict(name, processes.start_time(parsed.owner.pid)) is Ownership.OURS_STALE


def _sweep_processes() -> list[Removed]:
    """End the children that outlived their parent: one that hangs does not hear the kernel's SIGTERM."""
    spared = _ancestors()
    stale = {pid: mark for pid, mark in processes.marked().items() if pid not in spared and is_stale(mark)}
    called = {pid: processes.command_name(pid) for pid in stale}
    gone = processes.end(stale, lambda pid: processes.mark(pid) == stale[pid], _GRACE)
    return [Removed("process", stale[pid], f"pid {pid} ({called[pid]})") for pid in sorted(gone)]


def _sweep_effects(directory: Path) -> list[Removed]:
    known = sorted(orphans.places(directory))
    ended = orphans.end_orphans(directory, boottime())
    finished = [where.policies for where in known if _finishes(where)]
    return [
        *(Removed(effect.kind, effect.name, effect.detail) for effect in ended),
        *(Removed("exchange", str(pins), "of policy programs, was not finished") for pins in finished),
    ]


def _finishes(where: Where) -> bool:
    """Finish an exchange of policy programs; what somebody holds is no leftover."""
    with contextlib.suppress(Locked):
        return programs.finish(Places(where.policies, where.state, patient=False))
    return False


def _sweep_run_directories() -> list[Removed]:
    removed = []
    if rundir.RUN.is_dir():
        for path in sorted(rundir.RUN.iterdir()):
            if is_stale(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
                removed.append(Removed("directory", path.name, f"in {rundir.RUN}"))
    return removed


def _sweep_namespaces() -> list[Removed]:
    removed = []
    for name in filter(is_stale, namespaces.names()):
        identity = namespaces.identity(name)
        ended = _empty(identity) if identity is not None else frozenset()
        if namespaces.remove(name):
            detail = f"with {len(ended)} processes" if ended else "no process was in it"
            removed.append(Removed("namespace", name, detail))
    return removed


def _empty(identity: tuple[int, int]) -> frozenset[int]:
    """End every process inside a namespace, also those started meanwhile; never in our own namespace."""
    if identity == namespaces.own_identity():
        return frozenset()
    ended: frozenset[int] = frozenset()
    for _ in range(5):
        inside = processes.in_network_namespace(identity) - _ancestors()
        if not inside:
            break
        ended |= processes.end(inside, lambda pid: pid in processes.in_network_namespace(identity), _GRACE)
    return ended


def _sweep_files(data_dir: Path) -> list[Removed]:
    """Remove our own temporary files from a data directory, by their names."""
    try:
        descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        message = f"data directory {data_dir} is not a directory; name another with --data-dir"
        raise BadInput(message) from None
    removed = []
    try:
        # Relative to what was opened: the directory is another user's, who could move it meanwhile.
        for name in filter(is_stale, sorted(os.listdir(descriptor))):  # noqa: PTH208
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=descriptor)
                    removed.append(Removed("file", name, f"in {data_dir}"))
    finally:
        os.close(descriptor)
    return removed


def _ancestors() -> frozenset[int]:
    """Return this process and those that it descends from: a sweep never ends itself."""
    return processes.lineage(os.getpid())
