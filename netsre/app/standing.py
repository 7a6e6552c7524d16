"""What netsre has left in force on this node, where it is put unless somebody says otherwise."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from netsre.adapters.bpf import policy_pins, policy_programs, prefilter_pins
from netsre.adapters.bpf.pins import MadeDifferently
from netsre.adapters.bpf.prefilter import open_prefilter
from netsre.adapters.bpf.programs import LoadRefused
from netsre.app.balancing import node as balancing
from netsre.app.balancing import places as balancer
from netsre.app.policing import node as policing
from netsre.app.policing import places as policies
from netsre.app.policing.programs import shown
from netsre.app.resources import directory
from netsre.datapath.standing import BALANCER, POLICIES, PREFILTER, Found, Standing, Version
from netsre.errors import EnvironmentUnfit

PLACES: Final[Mapping[Standing, Path]] = MappingProxyType(
    {POLICIES: policies.PINS, PREFILTER: policies.PREFILTER, BALANCER: balancer.PINS}
)


def in_force(places: Mapping[Standing, Path] = PLACES, programs: Path | None = None) -> dict[Standing, Found]:
    """Return what is there, and of which version it is; to who may not look, nothing is.

    `programs` are the C sources of this version, where they are others than those that ship.
    """
    found = {}
    for one, place in places.items():
        with contextlib.suppress(OSError):
            if (place / "maps").is_dir():
                found[one] = _read(_VERSION[one], place, programs or directory("bpf"))
    return found


def _read(version: Callable[[Path, Path], Found], place: Path, programs: Path) -> Found:
    try:
        return version(place, programs)
    except MadeDifferently:
        return Found(Version.STRANGE)
    except (EnvironmentUnfit, LoadRefused, OSError):
        # What cannot be compiled or read is told beside this; it goes on whatever is said of it.
        return Found(Version.UNKNOWN)


def _policies(place: Path, programs: Path) -> Found:
    ours, pins = policing.digest(programs), policy_pins.Pins(place)
    with pins.datapath():
        running = policy_programs.read(pins)
    if running.digest == ours:
        return Found(Version.THIS)
    left = running.is_left and running.kept == ours
    return Found(Version.BEFORE if left else Version.OTHER, shown(running.digest), shown(ours))


def _prefilter(place: Path, programs: Path) -> Found:
    told = prefilter_pins.Pins(place).version(open_prefilter(programs))
    return Found(Version.THIS) if told.runs == told.ours else Found(Version.OTHER, told.runs, told.ours)


def _balancer(place: Path, programs: Path) -> Found:
    places, ours = balancing.Places(place), balancing.digest(programs)
    with balancing.opened(places) as objects:
        runs = balancing.of_this(places.place.read(), objects).programs
    if not runs:
        return Found(Version.UNKNOWN)
    return Found(Version.THIS) if runs == ours else Found(Version.OTHER, shown(runs), shown(ours))


_VERSION: Final = MappingProxyType({POLICIES: _policies, PREFILTER: _prefilter, BALANCER: _balancer})
