"""Which programs police this node: those of this version, unless somebody went back from them."""

import contextlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from netsre.adapters.bpf import policy_programs
from netsre.adapters.bpf.policy import Datapath, open_policy
from netsre.adapters.bpf.policy_pins import Pins
from netsre.adapters.bpf.policy_programs import Running
from netsre.app.policing import node
from netsre.app.policing.node import Places
from netsre.errors import BadInput

_SHOWN: Final = 12
"""Digits of a digest that people read."""


class Brought(NamedTuple):
    """What runs now."""

    digest: str
    anew: bool = False
    """Whether it did not run before."""


def shown(digest: str) -> str:
    """Return a digest as people read it."""
    return digest[:_SHOWN] or "unknown"


def read(places: Places) -> Running:
    """Return what runs, after an exchange that was killed is finished; raises `node.NoDatapath`."""
    with node.opened(places), node.kernel("which policy programs run cannot be read"):
        if policy_programs.is_settled(Pins(places.pins)):
            return policy_programs.read(Pins(places.pins))
    with _alone(places) as found:
        return found


def finish(places: Places) -> bool:
    """Go on with an exchange that was killed; say whether one was. Raises `Locked` and `EnvironmentUnfit`."""
    if policy_programs.is_settled(Pins(places.pins)):
        return False
    with places.place.locked():
        node.settle(places)
    return True


def go_back(places: Places) -> Running:
    """Have the programs run that ran before, and leave those that run; return what runs then.

    Until `accept`, or another version, nobody has these run again. Raises `BadInput` where none are kept, or
    where those that are kept were gone back from.
    """
    with _alone(places) as found:
        if not found.kept:
            raise BadInput("no policy programs from before are kept; what runs goes on")
        if found.is_left:
            raise BadInput(
                f"programs {shown(found.kept)} were gone back from already, and no others are kept; "
                "to have them run again: netsre policy programs --accept"
            )
        return _gone(places, found, leaves=True)


def accept(places: Places) -> Running:
    """Have the programs run again that somebody went back from; return what runs then. Raises `BadInput`."""
    with _alone(places) as found:
        if not found.is_left:
            raise BadInput("nobody went back from any policy programs that are kept; what runs goes on")
        return _gone(places, found, leaves=False)


def exchange(places: Places, before: str, after: str, *, leaves: bool) -> bool:
    """Go from exactly these programs to exactly those; return whether these ran and those are kept."""
    with _alone(places) as found:
        if (found.digest, found.kept) != (before, after):
            return False
        _gone(places, found, leaves=leaves)
        return True


def bring(places: Places, datapath: Datapath, remembered: str) -> Brought:
    """Have the programs of this version run, unless somebody went back from them; whoever calls is alone.

    `remembered` is the digest of what runs where the kernel's names do not say it.
    """
    where, ours = Pins(places.pins), node.digest(places.programs)
    with node.kernel("which policy programs run cannot be read"):
        found = policy_programs.read(where)
    if (found.digest or remembered) == ours:
        return Brought(ours)
    if found.kept == ours:
        if found.is_left:
            places.tells(
                f"somebody went back from the policy programs of this version, {shown(ours)}, and those of "
                f"before go on, {shown(found.digest)}; to end that: netsre policy programs --accept"
            )
            return Brought(found.digest)
        _gone(places, found, leaves=False)
        return Brought(ours, anew=True)
    template = open_policy(places.programs)
    with node.kernel("the kernel does not take the new policy programs, and the old ones go on"):
        policy_programs.replace(where, datapath, template, ours, remembered)
    return Brought(ours, anew=True)


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[Running]:
    with places.place.locked():
        node.settle(places)
        with node.opened(places), node.kernel("which policy programs run cannot be read"):
            found = policy_programs.read(Pins(places.pins))
        yield found


def _gone(places: Places, found: Running, *, leaves: bool) -> Running:
    with node.kernel("policy programs cannot be exchanged; the next netsre policy programs goes on with it"):
        policy_programs.go_to(Pins(places.pins), found.kept, leaves=leaves)
        return policy_programs.read(Pins(places.pins))
