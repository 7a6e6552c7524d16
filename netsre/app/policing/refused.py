"""What no policy of this node allows, by address: the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass

from netsre.adapters.bpf import policy_refused
from netsre.app.policing import node, orders
from netsre.app.policing.node import Places
from netsre.clock import boottime
from netsre.datapath.policy.programs import REFUSED
from netsre.datapath.policy.refused import Refused


@dataclass(frozen=True, slots=True)
class Found:
    """Everything there is to say."""

    refused: Sequence[tuple[str, Refused]]
    """With the name of the endpoint; what was seen last first."""
    evicted: int
    """Entries that had to make room for others."""
    lost: int
    """Packets that there was no room for."""
    capacity: int
    now_ns: int
    """CLOCK_BOOTTIME, as all times in the entries."""


def read(places: Places) -> Found:
    """Return what there is; raises `BadInput` without a datapath."""
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("what was refused cannot be read"):
        names = {number: name for name, number in place.read().numbers.endpoints.known.items()}
        said = policy_refused.read(datapath.maps)
        listed = [(names.get(one.endpoint, orders.nameless(one.endpoint)), one) for one in said.entries]
        listed.sort(key=lambda pair: -pair[1].last_ns)
        return Found(listed, said.evicted, said.lost, datapath.maps[REFUSED].capacity, boottime())
