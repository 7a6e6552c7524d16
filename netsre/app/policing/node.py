"""The policy datapath of this node: opened, made, or brought to the programs of this version."""

import contextlib
import errno
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from netsre.adapters import namespaces
from netsre.adapters.bpf import policy_connections, policy_maps, policy_programs
from netsre.adapters.bpf.policy import Datapath, open_policy
from netsre.adapters.bpf.policy_pins import Pins, map_path
from netsre.adapters.bpf.programs import LoadRefused
from netsre.app import resources
from netsre.app.policing.places import PINS, STATE
from netsre.app.policing.state import Place
from netsre.app.remembering import nobody
from netsre.datapath.policy.programs import CONNECTIONS, SOURCES
from netsre.datapath.policy.sync import Operation, Switch
from netsre.errors import BadInput, EnvironmentUnfit

_AT_ONCE: Final = 16
"""So many steps are carried out without a pause: a change of a policy has fewer."""
_NEXT_STEPS: Final = MappingProxyType(
    {
        errno.EPERM: "run it as root, where a BPF file system is: mount -t bpf bpf /sys/fs/bpf",
        errno.EACCES: "run it as root",
        errno.ENOENT: "is a BPF file system there? mount -t bpf bpf /sys/fs/bpf",
    }
)


_Opened = TypeVar("_Opened")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node has its datapath."""

    pins: Path = PINS
    """Below a BPF file system."""
    state: Path = STATE
    programs: Path = Path()
    """The directory of the C sources."""
    tells: Callable[[str], None] = nobody
    """Is told in one line for whom somebody has to wait, and what is not as somebody may think."""
    patient: bool = True
    """Whether to wait for whoever is changing something; else that raises `remembering.Locked`."""

    @property
    def place(self) -> Place:
        """Return what is remembered, with its lock."""
        return Place(self.state, self.tells, self.pins, patient=self.patient)


class NoDatapath(BadInput):
    """Nothing is in force; the message says how that begins."""


@contextlib.contextmanager
def kernel(what: str) -> Iterator[None]:
    """Turn what the kernel refuses into one line with the next step."""
    try:
        yield
    except (OSError, LoadRefused) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = _NEXT_STEPS.get(number or 0)
        raise EnvironmentUnfit(f"{what}: {reason}" + (f"; {hint}" if hint else "")) from error


@contextlib.contextmanager
def entered(what: str, entering: AbstractContextManager[_Opened]) -> Iterator[_Opened]:
    """Enter something, and turn only what the kernel refuses meanwhile into such a line."""
    with contextlib.ExitStack() as stack:
        with kernel(what):
            found = stack.enter_context(entering)
        yield found


def digest(programs: Path) -> str:
    """Return what the source of the programs is known by."""
    return resources.digest(programs, SOURCES)


def make(places: Places) -> None:
    """Make a datapath without a revision: all passes."""
    template = open_policy(places.programs)
    with kernel(f"the policy datapath cannot be made in {places.pins}"):
        Pins(places.pins).make(template, {}, digest(places.programs))


def there(places: Places) -> AbstractContextManager[Datapath | None]:
    """Open the datapath, or nothing where there is none."""
    return entered(f"the policy datapath in {places.pins} cannot be opened", Pins(places.pins).datapath())


@contextlib.contextmanager
def opened(places: Places) -> Iterator[Datapath]:
    """Open the datapath; raises `NoDatapath` where there is none."""
    with there(places) as datapath:
        if datapath is None:
            raise NoDatapath(
                f"no policies are in force: there is no datapath in {places.pins}; netsre policy apply"
            )
        yield datapath


def elsewhere(places: Places) -> str | None:
    """Return one line about the other network namespace that is policed; None where it is this one."""
    with kernel(f"what is policed by {places.pins} cannot be read"):
        number = Pins(places.pins).elsewhere()
    if number is None:
        return None
    return (
        f"policies are in force in another network namespace, net:[{number}]; run it there: "
        f"{namespaces.way_into(number)} netsre policy ..."
    )


def refuse_elsewhere(places: Places) -> None:
    """Raise `BadInput` where the interfaces of another network namespace are policed."""
    if (line := elsewhere(places)) is not None:
        raise BadInput(f"nothing was changed: {line}")


def settle(places: Places) -> None:
    """Go on with an exchange of programs, or of the tables of connections, that was killed, if one was."""
    with there(places) as datapath:
        # What can be opened is ours; in any other place nothing is taken away.
        if datapath is not None:
            with kernel("an exchange of policy programs cannot be finished"):
                policy_programs.settle(Pins(places.pins))
            with kernel("an exchange of tables cannot be finished"):
                policy_connections.finish(map_path(places.pins, CONNECTIONS).parent, datapath)


def carry_out(datapath: Datapath, operations: Iterable[Operation], done: Callable[[Operation], None]) -> None:
    """Do one step after the other; after the first few take at most half of the time there is."""
    refused = "the kernel does not take a step of the new revision, and the old one stays in force"
    for place, operation in enumerate(operations):
        began = time.monotonic()
        with kernel(refused):
            policy_maps.perform(datapath, operation)
        if isinstance(operation, Switch):
            refused = "the new revision is in force, but what older ones have left cannot be taken away"
        done(operation)
        if place >= _AT_ONCE:
            time.sleep(time.monotonic() - began)
