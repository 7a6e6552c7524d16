"""How strictly policies are treated on this node, changed and told."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from netsre.adapters.bpf.policy import Datapath
from netsre.app.policing import node, orders
from netsre.app.policing.node import Places
from netsre.clock import boottime
from netsre.datapath.policy import modes
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.policy.programs import ENDPOINT_MODES, MODE
from netsre.errors import BadInput


@dataclass(frozen=True, slots=True)
class Modes:
    """What is set."""

    everybody: Setting
    endpoints: Mapping[int, Setting]
    """By the number of an endpoint."""


@dataclass(frozen=True, slots=True)
class Strictness:
    """How strictly policies are treated for one endpoint, or for all."""

    own: Setting
    everybody: Setting
    """The same for all."""

    def now(self, now_ns: int) -> Mode:
        """Return what holds by CLOCK_BOOTTIME, never `inherit`."""
        mode = self.own.now(now_ns)
        return self.everybody.now(now_ns) if mode is Mode.INHERIT else mode


def read(datapath: Datapath) -> Modes:
    """Return what is set; raises `OSError`."""
    everybody = datapath.maps[MODE].lookup(modes.key()) or Setting(Mode.ENFORCE).pack()
    each = {
        int.from_bytes(key, "little"): Setting.of(value)
        for key, value in datapath.maps[ENDPOINT_MODES].entries()
    }
    return Modes(Setting.of(everybody), each)


def change(places: Places, mode: Mode, endpoint: str | None, seconds: float | None) -> Setting:
    """Set a mode for all or for one endpoint, for ever or for a time that the kernel ends.

    Raises `BadInput` for an endpoint that is not known here.
    """
    if endpoint is None and mode is Mode.INHERIT:
        raise BadInput(
            "inherit is for one endpoint; name it with --endpoint, or write off, monitor or enforce"
        )
    until_ns = 0 if seconds is None else boottime() + int(seconds * 1e9)
    return exchange(places, endpoint, lambda found: found.own.changed(mode, until_ns))


def exchange(places: Places, endpoint: str | None, chosen: Callable[[Strictness], Setting]) -> Setting:
    """Set what is chosen by what is set, alone with it; return that. What `chosen` raises changes nothing.

    Raises `BadInput` for an endpoint that is not known here.
    """
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("the mode cannot be set"):
        number = orders.number_of(place.read(), endpoint) if endpoint is not None else 0
        setting = chosen(_strictness(read(datapath), number))
        table = datapath.maps[ENDPOINT_MODES if number else MODE]
        if number and setting == Setting(Mode.INHERIT):
            table.delete(modes.key(number))
        else:
            table.put(modes.key(number), setting.pack())
    return setting


def of(places: Places, datapath: Datapath, endpoint: str | None) -> Strictness:
    """Return what is set for an endpoint or all, waiting for nobody; raises `BadInput` and `OSError`."""
    number = orders.number_of(places.place.read(), endpoint) if endpoint is not None else 0
    return _strictness(read(datapath), number)


def _strictness(known: Modes, number: int) -> Strictness:
    own = known.endpoints.get(number, Setting(Mode.INHERIT)) if number else known.everybody
    return Strictness(own, known.everybody)


def forget(datapath: Datapath, endpoints: AbstractSet[int]) -> None:
    """Take away the modes of all but these endpoints: their numbers are to be others' some day."""
    table = datapath.maps[ENDPOINT_MODES]
    for key, _ in list(table.entries()):
        if int.from_bytes(key, "little") not in endpoints:
            table.delete(key)
