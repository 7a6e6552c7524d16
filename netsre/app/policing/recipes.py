"""What revisions were made of: text of policies and endpoints, and how strictly each policy is treated.

One file for each revision that the kernel still has, so that one can be made anew with a part of it changed.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from netsre.app import remembering
from netsre.datapath.policy.modes import Mode
from netsre.datapath.policy.reference import Staged
from netsre.errors import EnvironmentUnfit
from netsre.model.documents import canonical

_VERSION: Final = 1
_DIGEST: Final = 16
"""Digits that tell one from another."""
_DIRECTORY: Final = "revisions"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Of one revision. It has what somebody wrote, and nothing that was worked out of it."""

    policies: Mapping[str, str]
    """Files, name to text; so are the endpoints."""
    endpoints: Mapping[str, str]
    modes: Mapping[str, Mode] = field(default_factory=lambda: MappingProxyType({}))
    """Of policies that are not enforced, by name."""
    canary: tuple[str, ...] = ()
    """Endpoints that alone have these policies; all others have those of what comes afterwards."""

    @property
    def staged(self) -> Staged:
        """Return which policies are not enforced."""
        each = (
            frozenset(name for name, one in self.modes.items() if one is mode)
            for mode in (Mode.MONITOR, Mode.OFF)
        )
        return Staged(*each)

    @property
    def digest(self) -> str:
        """Return what it is known by, also under another number or after the end of its datapath."""
        return hashlib.sha256(canonical(self.document()).encode()).hexdigest()[:_DIGEST]

    def document(self) -> dict[str, Any]:
        """Return what the file has."""
        return {
            "version": _VERSION,
            "policies": dict(self.policies),
            "endpoints": dict(self.endpoints),
            "modes": {name: mode.value for name, mode in self.modes.items()},
            "canary": list(self.canary),
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return the recipe of a document; raises one of `remembering.WRONG`."""
        if found["version"] != _VERSION:
            raise ValueError(f"it is of version {found['version']}")
        policies, endpoints = (
            {str(file): str(text) for file, text in found[what].items()} for what in ("policies", "endpoints")
        )
        modes = {str(name): Mode(mode) for name, mode in found["modes"].items()}
        return cls(policies, endpoints, modes, tuple(map(str, found["canary"])))


class Recipes:
    """Those of a node; whoever writes holds the lock of its state."""

    def __init__(self, directory: Path, unreadable: Callable[[str], None] | None = None) -> None:
        """Keep them below the directory of the state; who is told what cannot be read gets none instead."""
        self._directory = directory / _DIRECTORY
        self._unreadable = unreadable
        self._last: dict[Path, tuple[tuple[int, ...], Recipe]] = {}
        """What files say, and what these are known again by."""

    def read(self, number: int) -> Recipe | None:
        """Return that of a revision, None where nobody knows; raises `EnvironmentUnfit`."""
        try:
            return self._read(self._path(number))
        except EnvironmentUnfit as error:
            if self._unreadable is None:
                raise
            self._unreadable(str(error))
            return None

    def _read(self, path: Path) -> Recipe | None:
        stamp: tuple[int, ...] = ()
        with contextlib.suppress(OSError):  # who reads it says why
            stamp = remembering.stamp(path)
        known = self._last.get(path)
        if stamp and known is not None and known[0] == stamp:
            return known[1]
        found = remembering.read(path, Recipe.of, "verdicts do not rest on it")
        if found is not None:
            self._last[path] = stamp, found
        return found

    def write(self, number: int, recipe: Recipe) -> None:
        """Put it on disk, whole or not at all; raises `EnvironmentUnfit`."""
        if self.read(number) != recipe:
            path = self._path(number)
            remembering.write(path, json.dumps(recipe.document()))
            with contextlib.suppress(OSError):
                self._last[path] = remembering.stamp(path), recipe

    def keep(self, numbers: AbstractSet[int]) -> None:
        """Forget all others; what cannot be taken away stays until the next time."""
        wanted = {self._path(number) for number in numbers}
        self._last = {path: one for path, one in self._last.items() if path in wanted}
        with contextlib.suppress(OSError):
            for path in [*self._directory.iterdir()]:
                if path not in wanted:
                    path.unlink()

    def forget(self) -> None:
        """Forget them all."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}.json"
