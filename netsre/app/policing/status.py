"""What the policy datapath of this node does now."""

import contextlib
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from netsre.adapters.bpf import policy_counts, policy_maps, policy_programs
from netsre.adapters.bpf.policy import Datapath
from netsre.adapters.bpf.policy_pins import Pins
from netsre.adapters.bpf.policy_programs import Running
from netsre.app.policing import followed, modes, node, orders, policy_modes, staggering, trials
from netsre.app.policing.followed import Following
from netsre.app.policing.modes import Modes
from netsre.app.policing.node import Places
from netsre.app.policing.recipes import Recipes
from netsre.app.policing.state import Made, State
from netsre.app.policing.trials import Trial
from netsre.clock import boottime
from netsre.datapath.policy import verdicts
from netsre.datapath.policy.conntrack import EVENT, Event
from netsre.datapath.policy.layouts import COUNT_KEY, Map
from netsre.datapath.policy.modes import Setting
from netsre.datapath.policy.programs import CONNECTIONS, EVENTS, ROWS
from netsre.datapath.policy.sync import Held
from netsre.model.policies.values import Direction

_INDEX: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """A revision that can be gone to."""

    number: int
    in_force: bool
    made: Made | None
    """None where nobody remembers."""


class Verdicts(NamedTuple):
    """What was decided by one rule, in one direction."""

    verdict: str
    rule: str
    """Its name, or the reason that there is none."""
    direction: Direction
    packets: int
    bytes: int
    connections: int


@dataclass(frozen=True, slots=True)
class Status:
    """Everything there is to say."""

    revisions: tuple[KeptRevision, ...]
    """The latest first."""
    everybody: Setting
    endpoints: Mapping[str, Setting]
    """Those with a mode of their own, by name."""
    policies: Mapping[str, Setting]
    """Those that are not enforced, now or later, by name."""
    trial: Trial | None
    """The canary."""
    interfaces: tuple[str, ...]
    verdicts: tuple[Verdicts, ...]
    """Denied and audited before allowed, those of most packets first."""
    orders: int
    """Addresses that are denied whatever policies and modes say."""
    events: Mapping[Event, int]
    """Packets that no policy was asked about, and how often there was no room."""
    entries: Mapping[str, tuple[int, int]]
    """Of each map: how many entries it has, and how many fit."""
    following: tuple[Following, bool] | None
    """Who follows files of policies, and whether he is still there."""
    staggered: str | None
    """In one line, where changes of files that are followed are staggered."""
    elsewhere: str | None
    """In one line, where the interfaces of another network namespace are policed."""
    programs: Running
    """Which programs decide."""
    unreadable: tuple[str, ...]
    """One line for each revision of which is not known what it was made of, as its file is damaged."""


def read(places: Places) -> Status:
    """Return what is in force; raises `BadInput` where nothing is."""
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("the policy datapath cannot be read"):
        state = place.read()
        held, now_ns, unreadable = policy_maps.revisions(datapath), boottime(), list[str]()
        recipes = Recipes(places.state, unreadable.append)
        known, listed = modes.read(datapath), tuple(_revisions(held, state, now_ns))
        for one in listed:
            recipes.read(one.number)
        return Status(
            listed,
            known.everybody,
            _named(known, state),
            policy_modes.told(held, recipes, now_ns),
            trials.of(held, recipes, now_ns),
            tuple(_interfaces(Pins(places.pins))),
            _verdicts(datapath, state),
            len(orders.holding(datapath, boottime())),
            _events(datapath),
            {name: _fill(datapath, name) for name in (*Map, CONNECTIONS, ROWS)},
            followed.read(places.state),
            staggering.words(places.state),
            node.elsewhere(places),
            policy_programs.read(Pins(places.pins)),
            tuple(dict.fromkeys(unreadable)),
        )


def _revisions(held: Held, state: State, now_ns: int) -> Iterable[KeptRevision]:
    """Yield the latest first; one on trial is one of them for as long as it decides."""
    decides = held.decides(now_ns)
    numbers = {decides.number, *(one.number for one in held.kept.values())} - {0}
    for number in sorted(numbers, reverse=True):
        yield KeptRevision(number, number == decides.number, state.made.get(number))


def _named(known: Modes, state: State) -> Mapping[str, Setting]:
    names = {number: name for name, number in state.numbers.endpoints.known.items()}
    return {names.get(number, orders.nameless(number)): one for number, one in known.endpoints.items()}


def _interfaces(pins: Pins) -> Iterable[str]:
    for number in sorted({link.interface for link in pins.links()}):
        name = f"interface {number}"
        with contextlib.suppress(OSError):
            name = socket.if_indextoname(number)
        yield name


def _verdicts(datapath: Datapath, state: State) -> tuple[Verdicts, ...]:
    names = {number: name for name, number in state.rules.items()}
    found: dict[tuple[int, str, int], list[int]] = {}
    for key, value in policy_counts.read(datapath.maps).items():
        rule, _, _, verdict, direction, reason, _ = COUNT_KEY.unpack(key)
        name = verdicts.told(names.get(rule, f"rule {rule}") if rule else None, reason)
        known = found.setdefault((verdict, name, direction), [0, 0, 0])
        known[:] = (one + other for one, other in zip(known, verdicts.sums(value), strict=True))
    listed = [
        Verdicts(verdicts.WORDS[verdict], name, verdicts.DIRECTION[direction], *sums)
        for (verdict, name, direction), sums in found.items()
        if verdict < len(verdicts.WORDS)
    ]
    return tuple(sorted(listed, key=lambda one: (one.verdict == verdicts.WORDS[0], -one.packets, one.rule)))


def _events(datapath: Datapath) -> Mapping[Event, int]:
    found = {
        _INDEX.unpack(key)[0]: sum(each for (each,) in EVENT.iter_unpack(value))
        for key, value in datapath.maps[EVENTS].entries()
    }
    return {event: found[event] for event in Event}


def _fill(datapath: Datapath, name: str) -> tuple[int, int]:
    table = datapath.maps[name]
    return sum(len(keys) // table.key_size for keys, _ in table.batches()), table.capacity
