"""How strictly policies are treated on this node, changed and told."""

from collections.abc import Mapping
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
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("the mode cannot be set"):
        number = orders.number_of(place.read(), endpoint) if endpoint is not None else 0
        known = read(datapath)
        before = known.endpoints.get(number, Setting(Mode.INHERIT)) if number else known.everybody
        until_ns = 0 if seconds is None else boottime() + int(seconds * 1e9)
        setting = before.changed(mode, until_ns)
        table = datapath.maps[ENDPOINT_MODES if number else MODE]
        if number and setting == Setting(Mode.INHERIT):
            table.delete(modes.key(number))
        else:
            table.put(modes.key(number), setting.pack())
    return setting


def forget(datapath: Datapath, endpoints: AbstractSet[int]) -> None:
    """Take away the modes of all but these endpoints: their numbers are to be others' some day."""
    table = datapath.maps[ENDPOINT_MODES]
    for key, _ in list(table.entries()):
        if int.from_bytes(key, "little") not in endpoints:
            table.delete(key)
