"""The connections that the policy datapath of this node knows: told, and tuned while packets pass."""

import os
import struct
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from netsre.adapters.bpf import pinned, policy_connections, policy_pins
from netsre.adapters.bpf.policy import Datapath
from netsre.adapters.bpf.syscalls import MapFull
from netsre.app.policing import node
from netsre.app.policing.node import Places
from netsre.datapath.policy import conntrack
from netsre.datapath.policy.conntrack import PROTOCOL_AT, TIMEOUT, Connection, State, over, state_of
from netsre.datapath.policy.programs import CONNECTIONS, TIMEOUTS
from netsre.errors import BadInput, EnvironmentUnfit

_STATE: Final = struct.Struct("<I")
ENTRY_BYTES: Final = 160
"""What room for a connection takes in the kernel: key and value, what a table adds, its bucket."""
_COUNT_SECONDS: Final = 10.0


class DoesNotFit(BadInput):
    """There is no room for the connections that are known; the table stays as it is."""


@dataclass(frozen=True, slots=True)
class Connections:
    """What there is now."""

    capacity: int
    states: Mapping[State, int]
    """How many are in each."""
    over: int
    """How many of all have ended, and wait to be collected."""
    timeouts: Mapping[State, float]
    """Seconds without a packet after which a connection has ended."""

    @property
    def entries(self) -> int:
        """Return how many there are, ended ones included."""
        return sum(self.states.values())


def read(places: Places) -> Connections:
    """Return what there is; raises `BadInput` without a datapath."""
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("connections cannot be read"):
        return _read(datapath)


def tune(places: Places, limit: int | None, seconds: Mapping[State, float]) -> Connections:
    """Change timeouts, and how many fit; every connection stays. Return what there is then.

    Raises `DoesNotFit` where those that there are would not fit.
    """
    with places.place.locked():
        node.settle(places)
        with node.opened(places) as datapath:
            with node.kernel("timeouts cannot be set"):
                for state, each in seconds.items():
                    datapath.maps[TIMEOUTS].put(_STATE.pack(state), TIMEOUT.pack(int(each * 1e9)))
            if limit is not None:
                _resize(places, datapath, limit)
        with node.opened(places) as datapath, node.kernel("connections cannot be read"):
            return _read(datapath)


def size(places: Places) -> int:
    """Return how many connections fit, after an exchange that was killed is finished; raises `NoDatapath`."""
    with places.place.locked():
        node.settle(places)
        with node.opened(places) as datapath:
            return datapath.maps[CONNECTIONS].capacity


def resize(places: Places, before: int, limit: int) -> bool:
    """Have room for so many if there is room for `before` now; return whether that was so.

    Raises `NoDatapath` and `DoesNotFit`.
    """
    with places.place.locked():
        node.settle(places)
        with node.opened(places) as datapath:
            if datapath.maps[CONNECTIONS].capacity != before:
                return False
            _resize(places, datapath, limit)
    return True


def _resize(places: Places, datapath: Datapath, limit: int) -> None:
    if limit == datapath.maps[CONNECTIONS].capacity:
        return
    if policy_connections.is_exchanged(datapath):
        raise DoesNotFit(
            "two tables are known since an exchange was killed, and neither has room for all of both; "
            "try again when some connections have ended, or end them sooner with --timeout"
        )
    with node.kernel("connections cannot be counted"):
        alive = pinned.count(datapath.maps[CONNECTIONS], _COUNT_SECONDS)
    if alive > limit:
        raise DoesNotFit(f"{alive} connections are known, and {limit} would fit; write a larger number")
    maps = policy_pins.map_path(places.pins, CONNECTIONS).parent
    try:
        with node.kernel("the table of connections cannot be exchanged, and the old one goes on"):
            os.close(policy_connections.exchange(maps, datapath, limit).fd)
    except EnvironmentUnfit as error:
        if isinstance(error.__cause__, MapFull):
            raise DoesNotFit(f"more connections began than {limit}; the old table goes on") from error
        raise


def _read(datapath: Datapath) -> Connections:
    timeouts = conntrack.timeouts(datapath.maps[TIMEOUTS].entries())
    entries = list(datapath.maps[CONNECTIONS].entries())
    states = Counter(state_of(Connection.of(value), key[PROTOCOL_AT]) for key, value in entries)
    ended = over(entries, timeouts, time.monotonic_ns())
    seconds = {state: each / 1e9 for state, each in timeouts.items()}
    return Connections(datapath.maps[CONNECTIONS].capacity, states, len(ended), seconds)
