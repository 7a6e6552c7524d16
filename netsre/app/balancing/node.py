"""The balancer of this node: opened, made, or brought to the programs of this version."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from netsre.adapters.bpf import attaching, syscalls
from netsre.adapters.bpf.balance import Balance
from netsre.adapters.bpf.balance_pins import Pins
from netsre.adapters.bpf.balance_programs import Objects, open_balance
from netsre.app import resources
from netsre.app.balancing.places import PINS, STATE
from netsre.app.balancing.state import Place, State
from netsre.app.policing.node import entered, kernel
from netsre.app.remembering import nobody
from netsre.datapath.balance.programs import ACTIVE, SOURCES
from netsre.errors import BadInput


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node has its balancer."""

    pins: Path = PINS
    """Below a BPF file system."""
    state: Path = STATE
    programs: Path = Path()
    """The directory of the C sources."""
    tells: Callable[[str], None] = nobody
    """Is told in one line for whom somebody has to wait."""

    @property
    def place(self) -> Place:
        """Return what is remembered, with its lock."""
        return Place(self.state, self.tells, self.pins)


def digest(programs: Path) -> str:
    """Return what the source of the programs is known by."""
    return resources.digest(programs, SOURCES)


def there(places: Places) -> AbstractContextManager[Objects | None]:
    """Open the balancer, or nothing where there is none."""
    return entered(f"the balancer in {places.pins} cannot be opened", Pins(places.pins).objects())


@contextlib.contextmanager
def opened(places: Places) -> Iterator[Objects]:
    """Open the balancer; raises `BadInput` where there is none."""
    with there(places) as objects:
        if objects is None:
            raise BadInput(
                f"nothing is balanced: there is no balancer in {places.pins}; netsre balance apply"
            )
        yield objects


def bring_up(places: Places, state: State) -> None:
    """Have the programs of this version there: made, or in the place of those of another one."""
    with there(places) as objects:
        if objects is not None and of_this(state, objects).programs == digest(places.programs):
            return
        template = open_balance(places.programs)
        if objects is None:
            with kernel(f"the balancer cannot be made in {places.pins}"):
                Pins(places.pins).make(template)
        else:
            with kernel("the kernel does not take the new programs, and the old ones go on"):
                Pins(places.pins).replace_programs(objects, template)


def number_of(objects: Objects) -> int:
    """Return the number that the kernel gave to a map of the balancer; no other has it while it is there."""
    return int(syscalls.fdinfo(objects.maps[ACTIVE].fd)["map_id"])


def of_this(state: State, objects: Objects) -> State:
    """Return what is remembered of this balancer: nothing where it is of another one."""
    return state if state.balancer == number_of(objects) else State(number_of(objects))


def balance(objects: Objects, state: State) -> Balance:
    """Return what is balanced; the numbers of the state are those that it works with."""
    with kernel("the balancer cannot be read"):
        return Balance(objects.maps, state.numbers)


def cgroup(places: Places, state: State) -> Path:
    """Return whose processes are balanced, at first those of the whole node.

    Raises `BadInput` where the cgroup is gone that it was for: nobody asked for more than that.
    """
    with kernel("cgroups cannot be found (mount -t cgroup2)"):
        there = {link.cgroup for link in Pins(places.pins).links()} - {0}
        known = Path(state.cgroup) if state.cgroup else None
        if known is not None and known.is_dir() and (not there or known.stat().st_ino in there):
            return known
        found = next((path for path in map(attaching.cgroup_of, sorted(there)) if path is not None), None)
        if found is not None:
            return found
        if known is not None:
            raise BadInput(
                f"cgroup {known} is gone, for which services were balanced; name one with --cgroup"
            )
        return attaching.root()
