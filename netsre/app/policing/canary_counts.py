"""What the kernel counted of a canary at one moment: a sample for whoever judges it."""

from collections.abc import Collection

from netsre.adapters.bpf import policy_counts
from netsre.adapters.bpf.policy import Datapath
from netsre.app.policing import modes, node
from netsre.app.policing.node import Places
from netsre.app.policing.state import Place
from netsre.datapath.policy import canary
from netsre.datapath.policy.canary import Sample
from netsre.datapath.policy.conntrack import EVENT, Event
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.policy.programs import CONNECTIONS, EVENTS
from netsre.datapath.policy.verdicts import Names


def read(places: Places, names: Collection[str], revision: int, now_ns: int, *, connections: bool) -> Sample:
    """Return what is counted of endpoints under a revision, `now_ns` being CLOCK_BOOTTIME.

    With their connections or without: all that the node has are looked at. Nothing where nothing is in force.
    Raises `EnvironmentUnfit`.
    """
    numbers = Place(places.state).read().numbers
    known = {numbers.endpoints.known[name]: name for name in names if name in numbers.endpoints.known}
    with node.there(places) as datapath, node.kernel("what is counted cannot be read"):
        if datapath is None:
            return Sample()
        return Sample(
            canary.withdrawn(policy_counts.read(datapath.maps).items(), Names.of(numbers.rules.known, {})),
            canary.connections(datapath.maps[CONNECTIONS].entries(), revision, known) if connections else {},
            frozenset(name for number, name in known.items() if _is_off(datapath, number, now_ns)),
            _counted(datapath, Event.COUNTS_FULL),
            _counted(datapath, Event.FORGED_SOURCE_DROPPED) + _counted(datapath, Event.FORGED_SOURCE_PASSED),
        )


def _is_off(datapath: Datapath, endpoint: int, now_ns: int) -> bool:
    known = modes.read(datapath)
    mode = known.endpoints.get(endpoint, Setting(Mode.INHERIT)).now(now_ns)
    return (known.everybody.now(now_ns) if mode is Mode.INHERIT else mode) is Mode.OFF


def _counted(datapath: Datapath, event: Event) -> int:
    value = datapath.maps[EVENTS].lookup(int(event).to_bytes(4, "little")) or b""
    return sum(each for (each,) in EVENT.iter_unpack(value))
