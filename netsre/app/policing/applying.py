"""Putting a revision of policies into force on this node, and going back to an earlier one."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from netsre.adapters.bpf import policy_maps, policy_reading, policy_refused
from netsre.adapters.bpf.policy import Datapath
from netsre.adapters.bpf.policy_pins import Pins
from netsre.app import policies, resources
from netsre.app.policing import interfaces, lost, modes, node, orders, staggering
from netsre.app.policing.changing import Change, Wish, changing, until
from netsre.app.policing.memory import Memory
from netsre.app.policing.node import Places
from netsre.app.policing.putting import put
from netsre.app.policing.recipes import Recipe, Recipes
from netsre.app.policing.state import Made
from netsre.clock import boottime
from netsre.datapath.policy import reading, sync, verdicts
from netsre.datapath.policy.layouts import COUNT_KEY, Revision
from netsre.datapath.policy.modes import Mode
from netsre.datapath.policy.sync import Held
from netsre.errors import BadInput, EnvironmentUnfit


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done."""

    number: int
    """Of the revision in force now, or that comes into force when what is on trial ends."""
    before: int | None
    """Of the one before; the same where nothing has changed."""
    made: Made
    written: int
    """Entries of maps."""
    removed: int
    attached: tuple[str, ...] = ()
    """Interfaces that are policed now."""
    missing: tuple[str, ...] = ()
    """Interfaces of endpoints that are not there."""
    trial: int | None = None
    """The revision that decides until the modes of some policies end."""
    unremembered: str | None = None
    """Why it is not remembered when this came into force, and how long it took; None where it is."""


@dataclass(frozen=True, slots=True)
class Detached:
    """What was taken away."""

    interfaces: int
    packets: Mapping[str, int]
    """Counted until a moment before, by verdict."""


def apply(places: Places, paths: Sequence[Path], endpoints: Path, said: Callable[[str], None]) -> Applied:
    """Compile policies and put them into force; until the one step that does, the old revision decides.

    Modes of policies go on, and so do their ends. Raises `SpecErrors` for what cannot be read, `BadInput`
    during a canary, and `EnvironmentUnfit` for what the kernel does not take.
    """
    if (staggered := staggering.words(places.state)) is not None:
        places.tells(f"changes are staggered, and this one waits for nothing: {staggered}")
    return put_texts(
        places, policies.texts(paths, endpoints), resources.texts([endpoints], *policies.SUFFIXES), said
    )


def put_texts(
    places: Places,
    known: Mapping[str, str],
    endpoints: Mapping[str, str],
    said: Callable[[str], None],
    memory: Memory | None = None,
) -> Applied:
    """Do the same with files (name to text) that are read already; the memory makes it faster."""
    with changing(places, memory) as change:
        change.refuse_canary()
        forgotten = change.what_is_lost()
        wanted = Recipe(known, endpoints, change.lasting_modes())
        done = put_for_all(change, until(wanted, _going_on(change, known), change.until_ns), said)
        if forgotten is not None:
            places.tells(forgotten)
        return done


def _going_on(change: Change, texts: Mapping[str, str]) -> Mapping[str, Mode]:
    """Return the modes that end by themselves of policies that these files have."""
    modes_now = change.temporary()
    # Most nodes have none, and need not read their files twice.
    names = {one.document for one in reading.of_policies().read(texts)} if modes_now else set()
    return {name: mode for name, mode in modes_now.items() if name in names}


def put_for_all(change: Change, wish: Wish, said: Callable[[str], None]) -> Applied:
    """Put a wish into force, and police the interfaces of its endpoints and no others."""
    before, done = change.before, put(change, wish, said)
    compiled = done.lasting
    if compiled is None:
        raise ValueError("it is not said what is to last")
    with node.kernel("what is there of endpoints that are gone cannot be taken away"):
        known = {*compiled.encoded.numbers.endpoints.known.values()}
        modes.forget(done.datapath, known)
        orders.forget(done.datapath, known)
        policy_refused.forget(done.datapath.maps, known)
    ways = interfaces.police(Pins(change.places.pins), done.datapath, compiled.endpoints, done.numbers)
    counts = done.written, done.removed
    made = done.made[done.number]
    return Applied(done.number, before, made, *counts, *ways, done.trial, done.unremembered)


def rollback(places: Places, number: int | None) -> tuple[Revision, int]:
    """Go to a revision that is kept; return the one before, and the number of that in force then.

    Without a number it is the one before that in force, of one on trial the one that comes after it. What is
    on trial ends. Raises `BadInput` where it is not kept.
    """

    def chosen(held: Held, now_ns: int) -> int:
        if number is not None:
            return number
        lasting = held.slots[held.lasting].number
        return lasting if held.trial(now_ns) is not None else _earlier(held, lasting)

    return go_to(places, chosen)


def go_to(places: Places, chosen: Callable[[Held, int], int]) -> tuple[Revision, int]:
    """Go to a revision by what the kernel holds and the time (CLOCK_BOOTTIME); return as `rollback`."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(places.place.locked())
        node.settle(places)
        datapath = stack.enter_context(node.opened(places))
        with node.kernel("the policy datapath cannot be read"):
            held = policy_maps.revisions(datapath)
        now_ns = boottime()
        number = chosen(held, now_ns)
        node.carry_out(datapath, sync.rollback(held, number).operations, lambda _: None)
        _police_again(places, datapath, number)
    return held.decides(now_ns), number


class Policed(NamedTuple):
    """Interfaces of endpoints, by the names that these have for them."""

    attached: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Those that are not there."""
    unknown: tuple[str, ...] = ()
    """Of those that are there: none that is in force was compiled for them; that has to be done again."""


def police_again(places: Places, memory: Memory) -> Policed:
    """Police the interfaces of what is in force; raises `EnvironmentUnfit`."""
    with changing(places, memory) as change:
        lasting = change.recipes.read(change.before) if change.before is not None else None
        numbers = change.state.numbers
        if change.datapath is None or lasting is None or not numbers.interfaces.known:
            return Policed()
        known = [*memory.compiler.endpoints(lasting.endpoints)]
        if (trial := change.trial()) is not None:
            known += memory.trial.read(trial.endpoints)
        ways = interfaces.police(Pins(places.pins), change.datapath, known, numbers)
    there = interfaces.at(ways[0])
    unknown = (name for name, (_, known_as) in there.items() if known_as not in numbers.interfaces.known)
    return Policed(*ways, tuple(unknown))


def _police_again(places: Places, datapath: Datapath, number: int) -> None:
    """Police the interfaces of a revision that is gone back to, or tell why they are those of before."""
    stays = f"revision {number} is in force, and policed is what was before"
    try:
        recipes, state = Recipes(places.state), places.place.read()
        recipe = recipes.read(number)
        if not state.numbers.interfaces.known:
            state = lost.found(state, policy_maps.held(datapath), recipes, datapath)
    except EnvironmentUnfit as error:
        raise EnvironmentUnfit(f"{stays}: {error}") from error
    if recipe is None:
        places.tells(f"{stays}: nobody remembers what it was made of; apply its policies once more")
    elif (line := node.elsewhere(places)) is not None:
        places.tells(f"{stays}: {line}")
    else:
        endpoints = reading.of_endpoints().read(recipe.endpoints)
        interfaces.police(Pins(places.pins), datapath, endpoints, state.numbers)


def _earlier(held: Held, now: int) -> int:
    earlier = [one.number for one in held.kept.values() if one.number < now]
    if not earlier:
        raise BadInput(f"no revision before {now} is kept; netsre policy status lists those that are")
    return earlier[-1]


def detach(places: Places) -> Detached:
    """Take the datapath away; all passes from then on."""
    with places.place.locked(), node.kernel(f"{places.pins} cannot be taken away"):
        pins = Pins(places.pins)
        count = len({link.interface for link in pins.links()})
        packets = _packets(places)
        pins.remove()
        Recipes(places.state).forget()
    return Detached(count, packets)


def _packets(places: Places) -> Mapping[str, int]:
    """Return what was counted, by verdict; nothing of a datapath of another version, or without a map."""
    found = dict.fromkeys(verdicts.WORDS, 0)
    with contextlib.suppress(OSError):
        said = policy_reading.read(places.pins, boottime())
        for key, (packets, *_) in said.counts.items() if said is not None else ():
            found[verdicts.WORDS[COUNT_KEY.unpack(key)[3]]] += packets
    return {word: packets for word, packets in found.items() if packets}
