"""What files of services say, without a kernel."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netsre.app import resources
from netsre.app.balancing.applying import SUFFIXES
from netsre.datapath.balance import maglev
from netsre.datapath.balance.frontends import Frontend, frontends
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.balance import files
from netsre.model.balance.values import Service


@dataclass(frozen=True, slots=True)
class Shares:
    """Who is given the connections to one address of a service."""

    frontend: Frontend
    slots: Mapping[str, int]
    """Of the table, by backend; none where all are refused."""
    given: str | None
    """The backend of the cookie that was asked for."""


def read(paths: Sequence[Path]) -> tuple[Service, ...]:
    """Return what files say; raises `SpecErrors` with all findings, and `BadInput`."""
    return files.parse(resources.texts(list(paths), *SUFFIXES))


def shares(paths: Sequence[Path], place: str, cookie: int | None) -> Shares:
    """Return who is given the connections to `ADDRESS:PORT/PROTOCOL`; raises `BadInput` for no service."""
    known = {one.place: one for one in frontends(read(paths))}
    if place not in known:
        hint = literals.nearest(place, known)
        raise BadInput(f"{literals.shown(place)} is no place of a service that is balanced{hint}")
    found = known[place]
    slots = Counter(maglev.table(found.weights)) if found.weights else Counter[str]()
    given = found.backend_of(cookie) if cookie is not None else None
    return Shares(found, {name: slots[name] for name in found.members}, given)
