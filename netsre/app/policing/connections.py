"""The connections that the policy datapath of this node knows: told, and tuned while packets pass."""

import os
import struct
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import policy_connections, policy_pins
from netsre.adapters.bpf.policy import Datapath
from netsre.adapters.bpf.syscalls import MapFull
from netsre.app.policing import node
from netsre.app.policing.node import Places
from netsre.datapath.policy import conntrack
from netsre.datapath.policy.conntrack import PROTOCOL_AT, TIMEOUT, Connection, State, over, state_of
from netsre.datapath.policy.programs import CONNECTIONS, TIMEOUTS
from netsre.errors import BadInput, EnvironmentUnfit

_STATE: Final = struct.Struct("<I")


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

    Raises `BadInput` where those that there are would not fit.
    """
    maps = policy_pins.map_path(places.pins, CONNECTIONS).parent
    with places.place.locked():
        node.finish_exchange(places)
        with node.opened(places) as datapath:
            with node.kernel("timeouts cannot be set"):
                for state, each in seconds.items():
                    datapath.maps[TIMEOUTS].put(_STATE.pack(state), TIMEOUT.pack(int(each * 1e9)))
            if limit is not None and limit != datapath.maps[CONNECTIONS].capacity:
                _refuse_two(datapath)
                _resize(maps, datapath, limit)
        with node.opened(places) as datapath, node.kernel("connections cannot be read"):
            return _read(datapath)


def _refuse_two(datapath: Datapath) -> None:
    """Raise `BadInput` while an exchange that was killed cannot be finished."""
    if policy_connections.is_exchanged(datapath):
        raise BadInput(
            "two tables are known since an exchange was killed, and neither has room for all of both; "
            "try again when some connections have ended, or end them sooner with --timeout"
        )


def _resize(maps: Path, datapath: Datapath, limit: int) -> None:
    alive = _read(datapath).entries
    if alive > limit:
        raise BadInput(f"{alive} connections are known, and {limit} would fit; write a larger number")
    try:
        with node.kernel("the table of connections cannot be exchanged, and the old one goes on"):
            os.close(policy_connections.exchange(maps, datapath, limit).fd)
    except EnvironmentUnfit as error:
        if isinstance(error.__cause__, MapFull):
            raise BadInput(f"more connections began than {limit}; the old table goes on") from error
        raise


def _read(datapath: Datapath) -> Connections:
    timeouts = conntrack.timeouts(datapath.maps[TIMEOUTS].entries())
    entries = list(datapath.maps[CONNECTIONS].entries())
    states = Counter(state_of(Connection.of(value), key[PROTOCOL_AT]) for key, value in entries)
    ended = over(entries, timeouts, time.monotonic_ns())
    seconds = {state: each / 1e9 for state, each in timeouts.items()}
    return Connections(datapath.maps[CONNECTIONS].capacity, states, len(ended), seconds)
