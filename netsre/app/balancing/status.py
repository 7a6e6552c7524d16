"""What the balancer of this node does now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netsre.adapters.bpf import attaching
from netsre.adapters.bpf.balance import NOTHING, BalanceCount
from netsre.adapters.bpf.balance_pins import Pins
from netsre.adapters.bpf.counters import MapUsage
from netsre.app.balancing import node
from netsre.app.balancing.node import Places
from netsre.app.balancing.state import Made
from netsre.app.policing.node import kernel
from netsre.clock import boottime
from netsre.datapath.balance import contents
from netsre.datapath.balance.contents import Member
from netsre.datapath.balance.programs import PROGRAMS
from netsre.datapath.balance.remembered import Wanted


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """A revision that can be gone to."""

    number: int
    in_force: bool
    made: Made | None
    """None where nobody remembers."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything there is to say."""

    revisions: tuple[KeptRevision, ...]
    """The latest first."""
    cgroup: str
    """Whose processes are balanced; empty where nobody's are."""
    attached: int
    """Programs, of as many as there are hooks."""
    members: Sequence[Member]
    """Of the revision in force."""
    refused: frozenset[tuple[str, str]]
    """Services and places of it that nobody takes new connections of."""
    counts: Sequence[BalanceCount]
    """In all revisions that are kept."""
    events: Mapping[str, int]
    usage: Sequence[MapUsage]
    wanted: Wanted
    """What it was made of, as far as anybody remembers."""
    seconds_left: float | None
    """Until what is drained for a time is not any more; None where nothing is."""


def read(places: Places) -> Status:
    """Return what is in force; raises `BadInput` where nothing is."""
    place = places.place
    with place.locked(), node.opened(places) as objects, kernel("the balancer cannot be read"):
        state = node.of_this(place.read(), objects)
        balance = node.balance(objects, state)
        links = Pins(places.pins).links()
        now_ns = boottime()
        number = balance.in_force(now_ns)
        there, known = balance.kept[number].content, place.wanted(number) or Wanted()
        members = contents.members(there, balance.numbers)
        serving = {(one.service, one.place) for one in members if one.is_serving}
        every = {(service, where) for service, where, _ in contents.named(there, balance.numbers).values()}
        return Status(
            tuple(
                KeptRevision(one, one == number, state.made.get(one))
                for one in sorted({*balance.lasting, number} - {NOTHING}, reverse=True)
            ),
            _cgroups({link.cgroup for link in links}),
            sum(link.cgroup != 0 for link in links),
            members,
            frozenset(every - serving),
            balance.counts(),
            balance.events(),
            tuple(balance.usage()),
            known,
            (known.until_ns - now_ns) / 1e9 if known.passing else None,
        )


def is_whole(found: Status) -> bool:
    """Say whether every hook has its program."""
    return found.attached == len(PROGRAMS)


def _cgroups(numbers: set[int]) -> str:
    """Return the directories of cgroups."""
    paths = (attaching.cgroup_of(number) for number in sorted(numbers - {0}))
    return ", ".join(str(path) for path in paths if path is not None)
