"""What netsre has left in force on this node, where it is put unless somebody says otherwise."""

import contextlib
from types import MappingProxyType
from typing import Final

from netsre.app.balancing import places as balancing
from netsre.app.policing import places as policing
from netsre.datapath.standing import BALANCER, POLICIES, PREFILTER, Standing

_PLACES: Final = MappingProxyType(
    {POLICIES: policing.PINS, PREFILTER: policing.PREFILTER, BALANCER: balancing.PINS}
)


def in_force() -> tuple[Standing, ...]:
    """Return what is there; to who may not look, nothing is."""
    found = []
    for one, place in _PLACES.items():
        with contextlib.suppress(OSError):
            if (place / "maps").is_dir():
                found.append(one)
    return tuple(found)
