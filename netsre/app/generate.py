"""Writes what is generated: all of it is made in memory first, and each file appears whole or not at all."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre import conventions
from netsre.alerting.describe import Links
from netsre.app import resources, service_levels
from netsre.dashboards import boards, render
from netsre.errors import EnvironmentUnfit

CONSOLE_URL: Final = f"http://127.0.0.1:{conventions.CONTROLLER_PORT}"
"""Where the links of a board lead unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Report:
    """What stands in a directory, by file name."""

    current: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def outdated(self) -> tuple[str, ...]:
        """Return the files that have to be written."""
        return tuple(sorted((*self.stale, *self.missing)))


def shipped_dashboards() -> Path:
    """Return where the boards lie that ship with netsre."""
    return resources.directory("dashboards") / "generated"


def dashboards(slos: Sequence[Path], console_url: str = CONSOLE_URL) -> Mapping[str, bytes]:
    """Return every board by file name, made from service level files (the shipped ones when there are none).

    Raises `SpecErrors` for files that are wrong.
    """
    found = resources.texts([resources.directory("dashboards") / "templates"], ".j2")
    templates = {Path(file).name: text for file, text in found.items()}
    board = boards.on_call(service_levels.load(slos).slos, Links(console_url.rstrip("/")))
    return {"on-call.json": render.render(board, templates)}


def compare(files: Mapping[str, bytes], out: Path) -> Report:
    """Say which files of a directory are as they should be; `EnvironmentUnfit` when it is unreadable."""
    states: dict[str, list[str]] = {"current": [], "stale": [], "missing": []}
    for name, content in sorted(files.items()):
        try:
            state = "current" if (out / name).read_bytes() == content else "stale"
        except FileNotFoundError:
            state = "missing"
        except OSError as error:
            raise _unfit(out, error) from error
        states[state].append(name)
    return Report(**{state: tuple(names) for state, names in states.items()})


def write(files: Mapping[str, bytes], out: Path) -> Report:
    """Write what is stale or missing, leave every other file alone, and say what was found before.

    Raises `EnvironmentUnfit` when the directory cannot be made or written; the files in it are then whole.
    """
    try:
        for directory in {out, *((out / name).parent for name in files)}:
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unfit(out, error) from error
    before = compare(files, out)
    for name in before.outdated:
        try:
            _replace(out / name, files[name])
        except OSError as error:
            raise _unfit(out, error) from error
    return before


def _replace(path: Path, content: bytes) -> None:
    """Put the content in place in one step, with the permissions that the umask gives."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _unfit(out: Path, error: OSError) -> EnvironmentUnfit:
    reason = error.strerror or type(error).__name__
    return EnvironmentUnfit(f"output directory {out}: {reason}; name another with --out")
