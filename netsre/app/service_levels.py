"""Service level files: which are read, and what is known beside them."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final

from netsre import conventions
from netsre.app import resources
from netsre.datapath.buckets import CONNECT_BOUNDS
from netsre.errors import BadInput
from netsre.model.levels import SLO
from netsre.slo import parsing

BOUNDS: Final[Mapping[str, Sequence[Decimal]]] = MappingProxyType(
    {conventions.FLOW_CONNECT_SECONDS: CONNECT_BOUNDS}
)
"""Bucket bounds of every histogram that a latency SLO may use."""

_SUFFIXES: Final = (".yaml", ".yml")


def load(
    paths: Sequence[Path] = (), policies: Path | None = None, runbooks: Collection[str] | None = None
) -> parsing.SpecSet:
    """Read service levels from files and directories, those shipped with netsre when there are none.

    Burn policies come from the same files, and from `policies` (those shipped with netsre when None).
    `runbooks` are the names that an SLO may name, None where nobody asks. Raises `SpecErrors` with every
    finding.
    """
    shipped = resources.directory("slos")
    known = parsing.parse(resources.texts([policies or shipped / "policies"], *_SUFFIXES), BOUNDS)
    texts = resources.texts(list(paths) or [shipped], *_SUFFIXES)
    return parsing.parse(texts, BOUNDS, known.policies, runbooks)


def required(paths: Sequence[Path], runbooks: Collection[str] | None = None) -> tuple[SLO, ...]:
    """Read SLO files; none at all raises `BadInput`, because every alert would end, asked for by nobody."""
    found = load(paths, runbooks=runbooks).slos
    if not found:
        where = ", ".join(map(str, paths))
        raise BadInput(f"no SLO in {where}; name a file with one, or leave --slos out for those shipped")
    return found
