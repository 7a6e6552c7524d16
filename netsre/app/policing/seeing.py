"""Which policies are in force, seen from outside: what tells that another hand has changed them."""

from typing import NamedTuple

from netsre.adapters.bpf import policy_maps, policy_reading
from netsre.app.policing import node
from netsre.app.policing.node import Places
from netsre.clock import boottime
from netsre.datapath.policy.programs import ACTIVE


class Seen(NamedTuple):
    """What is in force; 0 for none."""

    datapath: int
    """The kernel's number of one of its maps: a datapath that is made anew begins with revision 1."""
    lasting: int
    decides: int

    @property
    def lasts(self) -> tuple[int, int]:
        """Return what tells the revision that lasts from every other one."""
        return self.datapath, self.lasting


def seen(places: Places) -> Seen:
    """Return what is in force; raises `EnvironmentUnfit`."""
    place = places.place
    with (
        place.locked(),
        node.there(places) as datapath,
        node.kernel("what is in force cannot be read"),
    ):
        if datapath is None:
            return Seen(0, 0, 0)
        held = policy_maps.revisions(datapath)
        number = policy_reading.number_of(datapath.maps[ACTIVE])
    each = held.slots[held.lasting], held.decides(boottime())
    lasting, decides = (one.number if one.is_whole else 0 for one in each)
    return Seen(number, lasting, decides)
