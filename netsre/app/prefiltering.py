"""The prefilter of this node: attached to interfaces, its rules written, its state told."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import places as interfaces_of_node
from netsre.adapters.bpf.prefilter import Counts, Prefilter, Refused, open_prefilter
from netsre.adapters.bpf.prefilter_pins import Link, Pins, Said
from netsre.adapters.bpf.xdp import Where
from netsre.app.policing.node import entered, kernel
from netsre.app.policing.places import PREFILTER
from netsre.app.remembering import take_or_refuse
from netsre.clock import boottime
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import (
    ENFORCED,
    FOR_EVER,
    MOST_BURST,
    Action,
    BadRule,
    Limit,
    Network,
    Rule,
)
from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model import literals

_TAKEN: Final = frozenset({errno.EBUSY, errno.EEXIST})


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node has its prefilter."""

    pins: Path = PREFILTER
    """Below a BPF file system."""
    programs: Path = Path()
    """The directory of the C sources."""
    patient: bool = True
    """Whether to wait for whoever is changing something; else that raises `remembering.Locked`."""


class NoPrefilter(BadInput):
    """There is none; the message says how one begins."""


@dataclass(frozen=True, slots=True)
class Attached:
    """What was done."""

    interfaces: dict[str, Where]
    """All that are filtered now."""
    renewed: bool
    """Whether the program was another one before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A rule as it is asked for; lengths of time are in seconds."""

    action: Action
    limit: Limit | None = None
    lasts: float | None = None
    """None is for ever."""
    watches: float | None = None
    """For so long it only counts; infinity is for ever."""

    def of(self, network: Network, now_ns: int) -> Rule:
        """Return the rule for a network from now on; raises `BadRule`."""
        until_ns = FOR_EVER if self.lasts is None else now_ns + int(self.lasts * 1e9)
        mode = ENFORCED
        if self.watches is not None:
            for_ever = self.watches == float("inf")
            mode = Setting(Mode.MONITOR, FOR_EVER if for_ever else now_ns + int(self.watches * 1e9))
        return Rule(network, self.action, self.limit, until_ns, mode)


def attach(places: Places, interfaces: Sequence[str], wanted: Where | None) -> Attached:
    """Have interfaces filtered by the program of this version; the rules that there are go on.

    Raises `BadInput` for what is no interface, and `EnvironmentUnfit`.
    """
    numbers = {name: _number(name) for name in interfaces}
    instructions = open_prefilter(places.programs)
    pins, renewed = Pins(places.pins), False
    with _locked(pins, places):
        with kernel(f"the prefilter cannot be made in {places.pins}"), pins.prefilter() as found:
            if found is None:
                pins.make(instructions)
            else:
                renewed = pins.renew(found, instructions)
        with kernel("what is filtered cannot be read"):
            links = {link.interface: link for link in pins.links()}
        for name, number in numbers.items():
            _attach(pins, name, number, links.get(number), wanted)
        return Attached(interfaces_of(pins), renewed)


def _attach(pins: Pins, name: str, number: int, link: Link | None, wanted: Where | None) -> None:
    if link is not None:
        if wanted in {None, link.where}:
            return
        raise BadInput(f"interface {name} is filtered by way of {link.where.value}; detach it first")
    with kernel(f"interface {name} cannot be filtered"):
        try:
            pins.attach(number, wanted)
        except OSError as error:
            if error.errno in _TAKEN:
                raise EnvironmentUnfit(
                    f"interface {name} has another XDP program, and takes one; see: ip link show dev {name}"
                ) from error
            raise


def _number(name: str) -> int:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            found = interfaces_of_node.describe(any_socket, name)
    except OSError as error:
        known = (each for _, each in socket.if_nameindex())
        raise BadInput(
            f"there is no interface {literals.shown(name)}{literals.nearest(name, known)}"
        ) from error
    if not found.is_ethernet:
        raise BadInput(f"{name} is no Ethernet interface; name the one that its packets come through")
    return found.number


def detach(places: Places, interfaces: Sequence[str]) -> dict[str, Where]:
    """Filter these interfaces no more; without any, take all away: rules and counts, too.

    Return where it was. Raises `BadInput` for one that is not filtered.
    """
    pins = Pins(places.pins)
    with _locked(pins, places), kernel(f"{places.pins} cannot be taken away"):
        before = interfaces_of(pins)
        if not interfaces:
            pins.remove()
            return before
        links = {_name(link.interface): link for link in pins.links()}
        for name in interfaces:
            if name not in links:
                raise BadInput(
                    f"interface {literals.shown(name)} is not filtered{literals.nearest(name, links)}"
                )
        for name in {*interfaces}:
            links[name].path.unlink()
    return {name: before[name] for name in interfaces}


def add(places: Places, networks: Sequence[Network], asked: Asked) -> Said:
    """Follow rules from the next packet on; return what there is then. Rules that are over are tidied away.

    Raises `BadInput` for what the prefilter could not follow, and then no rule is another one.
    """
    now = boottime()
    try:
        rules = [asked.of(network, now) for network in dict.fromkeys(networks)]
        with opened(places) as found, kernel("the rules cannot be written"):
            found.tidy(now)
            found.put(*rules)
    except (BadRule, Refused) as error:
        raise BadInput(str(error)) from error
    return read(places)


def remove(places: Places, networks: Sequence[Network] | None) -> dict[Network, Counts]:
    """Follow rules no more, all of them without a list; return what each has counted.

    Raises `BadInput` where there is no such rule, and then nothing has changed.
    """
    with opened(places) as found, kernel("the rules cannot be removed"):
        known = {rule.network for rule in found.rules()}
        for network in networks or ():
            if network not in known:
                raise BadInput(f"there is no rule for {network}; netsre prefilter list shows those that are")
        return found.remove(*(sorted(known, key=str) if networks is None else dict.fromkeys(networks)))


def change(places: Places, mode: Mode, seconds: float | None) -> Setting:
    """Set how strictly all rules are taken, for ever or for a time that the kernel ends."""
    with opened(places) as found, kernel("the mode cannot be set"):
        until_ns = 0 if seconds is None else boottime() + int(seconds * 1e9)
        setting = found.mode().changed(mode, until_ns)
        found.set_mode(setting)
    return setting


def read(places: Places) -> Said:
    """Return what there is; raises `BadInput` where there is none."""
    with kernel(f"the prefilter in {places.pins} cannot be read"):
        said = Pins(places.pins).read()
    if said is None:
        raise _none(places)
    return said


@contextlib.contextmanager
def opened(places: Places) -> Iterator[Prefilter]:
    """Open the prefilter, alone; raises `NoPrefilter` where there is none."""
    pins = Pins(places.pins)
    opening = entered(f"the prefilter in {places.pins} cannot be opened", pins.prefilter())
    with _locked(pins, places), opening as found:
        if found is None:
            raise _none(places)
        yield found


def _locked(pins: Pins, places: Places) -> AbstractContextManager[None]:
    locking = pins.locked() if places.patient else pins.locked(take_or_refuse)
    return entered(f"the prefilter in {places.pins} cannot be reached", locking)


def _none(places: Places) -> NoPrefilter:
    return NoPrefilter(f"there is no prefilter in {places.pins}; netsre prefilter attach INTERFACE")


def interfaces_of(pins: Pins) -> dict[str, Where]:
    """Return the interfaces of this namespace that are filtered, by name."""
    return {_name(link.interface): link.where for link in pins.links()}


def _name(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:
        return f"interface {number}"


def named(said: Said) -> dict[str, Where]:
    """Return the interfaces that are filtered, by name."""
    return {_name(number): where for number, where in said.interfaces.items()}


def network_of(text: str) -> Network:
    """Read a network, or an address that stands for itself; raises `ValueError`."""
    try:
        if "%" in text:
            raise ValueError(text)  # noqa: TRY301
        return ipaddress.ip_network(text)
    except ValueError as error:
        hint = "write one such as 192.0.2.0/24 or 2001:db8::/32"
        with contextlib.suppress(ValueError):
            hint = f"it has bits beyond its prefix; write {ipaddress.ip_network(text, strict=False)}"
        raise ValueError(f"{literals.shown(text)} is no network; {hint}") from error


def networks_of(texts: Sequence[str]) -> list[Network]:
    """Read networks; raises `BadInput` for what is none."""
    try:
        return [network_of(text) for text in texts]
    except ValueError as error:
        raise BadInput(str(error)) from error


def networks_in(file: str, text: str) -> list[Network]:
    """Read a list of networks: one in a line, `#` begins a remark. Raises `BadInput` with the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if word := line.partition("#")[0].strip():
            try:
                found.append(network_of(word))
            except ValueError as error:
                raise BadInput(f"{file}:{number}: {error}") from error
    return found


def limit_of(text: str) -> Limit:
    """Read `RATE` or `RATE/BURST` in packets; a burst is as much as a second brings unless it is said."""
    rate, slash, burst = text.partition("/")
    if not rate.isascii() or not rate.isdigit() or (slash and not (burst.isascii() and burst.isdigit())):
        raise ValueError(
            f"{literals.shown(text)} is no rate; write packets per second, and a burst: 1000/2000"
        )
    return Limit(int(rate), int(burst) if slash else min(int(rate), MOST_BURST))
