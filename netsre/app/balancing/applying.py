"""Putting a revision of services into force on this node, going back to an earlier one, and draining."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf.balance import NOTHING, Balance
from netsre.adapters.bpf.balance_pins import Pins
from netsre.app import resources
from netsre.app.balancing import ending, node
from netsre.app.balancing.ending import Ended
from netsre.app.balancing.node import Places
from netsre.app.balancing.state import Made, Place, State
from netsre.app.policing.node import kernel
from netsre.clock import SystemClock, boottime
from netsre.datapath.balance import drains
from netsre.datapath.balance.contents import Encoded
from netsre.datapath.balance.drains import Drain
from netsre.datapath.balance.frontends import NUMBERS, frontends
from netsre.datapath.balance.remembered import Wanted
from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model.balance import files

SUFFIXES: Final = (".yaml", ".yml", ".json")
KEPT: Final = 8
"""So many of the latest revisions can be returned to, beside the one in force."""
_AT_ONCE: Final = 16
"""So many tables are made without a pause: a change of a service has one or two."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done."""

    number: int
    """Of the revision in force now."""
    before: int | None
    """Of the one before; the same where nothing has changed."""
    made: Made
    tables: int
    """Those that no other revision had."""
    seconds: float
    cgroup: Path
    wanted: Wanted
    """What it was made of."""
    refused: tuple[str, ...]
    """Services that no backend takes new connections of."""
    unbalanced: tuple[str, ...]
    """Services of protocols that nobody can balance at a socket."""
    ended: Ended | None = None
    """Sockets, where that was asked for."""


@dataclass(frozen=True, slots=True)
class WentBack:
    """What a way back did."""

    number: int
    """Of the revision in force now."""
    before: int
    """Of the one before; the same where nothing has changed."""
    is_kept: bool
    """Whether the one before can be gone to; one with an end cannot."""
    freed: frozenset[Drain]
    """What was drained by hand before and is not now, as far as anybody remembers."""
    ended: Ended | None
    """Sockets, where that was asked for."""


def apply(
    places: Places,
    paths: Sequence[Path],
    cgroup: Path | None,
    said: Callable[[int, int], None],
    *,
    end_sockets: bool = False,
) -> Applied:
    """Put services into force; until the one step that does, the old revision decides.

    `said` is told how many tables are made, and of how many. What was drained by hand stays so, where it is
    there still. Raises `SpecErrors` for what cannot be read and `EnvironmentUnfit` for what the kernel does
    not take.
    """
    services = files.parse(resources.texts(list(paths), *SUFFIXES))
    if cgroup is not None and not (cgroup / "cgroup.controllers").is_file():
        raise BadInput(f"{cgroup} is no cgroup of the unified hierarchy (cgroup v2)")
    place = places.place

    def wanted(balance: Balance) -> Wanted:
        known = place.wanted(balance.in_force(boottime())) or Wanted()
        by_hand, passing = (drains.standing(services, each) for each in (known.drains, known.passing))
        return Wanted(services, by_hand, passing, known.until_ns)

    with place.locked():
        state = place.read()
        node.bring_up(places, state)
        programs = node.digest(places.programs)
        state = dataclasses.replace(state, programs=programs)
        done = _put_into_force(places, state, wanted, cgroup, said)
        return dataclasses.replace(done, ended=_ended(places) if end_sockets else None)


def drain(
    places: Places,
    backend: str,
    service: str | None,
    said: Callable[[int, int], None],
    *,
    seconds: float | None = None,
    force: bool = False,
) -> tuple[frozenset[Drain], Applied]:
    """Have a backend take nobody new, of one service or of all; return where, and what was done.

    For some seconds, after which the kernel ends it, and all others that are drained for a time; without them
    for good. Raises `BadInput` for no backend, and, unless forced, where a service would be left without.
    """
    found: frozenset[Drain] = frozenset()

    def wanted(balance: Balance) -> Wanted:
        nonlocal found
        known = _known(places, balance)
        found = drains.chosen(known.services, backend, service)
        without = drains.left_without(drains.drained(known.services, known.every), found)
        if without and not force:
            raise BadInput(
                f"nobody would be left to take connections of {', '.join(without)}; --force drains it"
            )
        if seconds is None:
            return known._replace(drains=known.drains | found, passing=known.passing - found)
        until_ns = boottime() + int(seconds * 1e9)
        return Wanted(known.services, known.drains - found, known.passing | found, until_ns)

    done = _change(places, wanted, said)
    return found, done


def undrain(
    places: Places, backend: str, service: str | None, said: Callable[[int, int], None]
) -> tuple[frozenset[Drain], Applied]:
    """Have a backend take connections again that was drained by hand; return where, and what was done."""
    found: frozenset[Drain] = frozenset()

    def wanted(balance: Balance) -> Wanted:
        nonlocal found
        known = _known(places, balance)
        found = drains.chosen(known.services, backend, service) & known.every
        if not found:
            raise BadInput(f"{backend} is not drained by hand; a file says draining: edit it, and apply")
        return known._replace(drains=known.drains - found, passing=known.passing - found)

    done = _change(places, wanted, said)
    return found, done


def rollback(places: Places, number: int | None, *, end_sockets: bool = False) -> WentBack:
    """Go to a revision that is kept, without one to that before the one in force.

    Raises `BadInput` where it is not kept.
    """
    place = places.place
    with place.locked(), node.opened(places) as objects:
        balance = node.balance(objects, node.of_this(place.read(), objects))
        now, kept = balance.in_force(boottime()), balance.lasting
        if number is None:
            earlier = [one for one in kept if one < now]
            if not earlier:
                raise BadInput(
                    f"no revision before {now} is kept; netsre balance status lists those that are"
                )
            number = earlier[-1]
        if number not in kept:
            known = ", ".join(map(str, kept)) or "none"
            raise BadInput(f"revision {number} is not kept; kept are {known}")
        with kernel("the kernel does not take the step, and the old revision stays in force"):
            balance.switch(number)
            balance.drop(*_too_old(balance))
        ended = ending.end_strays(balance) if end_sockets else None
        before, after = (place.wanted(one) or Wanted() for one in (now, number))
        return WentBack(number, now, now in balance.kept, before.every - after.every, ended)


def detach(places: Places) -> None:
    """Take the balancer away; nothing is balanced from then on, and established connections stay."""
    place = places.place
    with place.locked():
        with kernel(f"{places.pins} cannot be taken away"):
            Pins(places.pins).remove()
        place.forget(frozenset())


def _ended(places: Places) -> Ended:
    with node.opened(places) as objects:
        state = places.place.read()
        return ending.end_strays(node.balance(objects, node.of_this(state, objects)))


def _change(places: Places, wanted: Callable[[Balance], Wanted], said: Callable[[int, int], None]) -> Applied:
    place = places.place
    with place.locked():
        return _put_into_force(places, place.read(), wanted, None, said)


def _known(places: Places, balance: Balance) -> Wanted:
    number = balance.in_force(boottime())
    known = places.place.wanted(number)
    if known is None:
        raise BadInput(f"nobody remembers what revision {number} was made of; netsre balance apply")
    return known


def _put_into_force(
    places: Places,
    state: State,
    wanted: Callable[[Balance], Wanted],
    cgroup: Path | None,
    said: Callable[[int, int], None],
) -> Applied:
    began, place = time.monotonic(), places.place
    with node.opened(places) as objects:
        programs = state.programs
        state = dataclasses.replace(node.of_this(state, objects), programs=programs)
        balance = node.balance(objects, state)
        before, target = balance.in_force(boottime()), wanted(balance)
        where = cgroup or node.cgroup(places, state)
        state = dataclasses.replace(state, cgroup=str(where))
        place.write(state)
        with kernel(f"processes of {where} cannot be balanced"):
            Pins(places.pins).attach(objects.programs, where)
        writing = _Writing(place, balance, state, said)
        number = writing.write(target.lasting)
        if target.passing:
            number = writing.write(target, number)
        with kernel("the kernel does not take the step, and the old revision stays in force"):
            balance.switch(number)
            balance.drop(*_too_old(balance))
        place.write(writing.state)
        place.forget(balance.kept.keys())
    services = drains.drained(target.services, target.every)
    return Applied(
        *(number, before or None, writing.state.made[number], writing.tables),
        *(time.monotonic() - began, where, target),
        drains.without(services),
        tuple(one.full_name for one in services if one.protocol.value not in NUMBERS),
    )


class _Writing:
    """Writes revisions beside those that are there, and before each what is to be remembered of it."""

    def __init__(
        self, place: Place, balance: Balance, state: State, said: Callable[[int, int], None]
    ) -> None:
        self.state = state
        self.tables = 0
        """How many were made."""
        self._place = place
        self._balance = balance
        self._said = said

    def write(self, wanted: Wanted, after: int = NOTHING) -> int:
        """Return the number of a revision: one that is kept, or one with an end, with who decides then."""
        balance, services = self._balance, drains.drained(wanted.services, wanted.every)
        encoded = balance.encode(frontends(services))
        # First the names: what the kernel has must be explained, whatever becomes of us.
        self._place.write(self.state)
        number = None if after else balance.find(encoded.content)
        self._place.remember(number or balance.following, wanted)
        is_new = number is None
        if number is None:
            work = _Steady(self._said)
            with kernel("the kernel does not take the new revision, and the old one stays in force"):
                _make_room(balance, encoded, balance.needed | {after})
                number = balance.write(encoded, work.done, wanted.until_ns if after else 0, after)
            self.tables += work.made
        if is_new or number not in self.state.made:
            backends = {one for each in services for one in each.backends}
            made = Made(SystemClock().now(), len(services), len(backends))
            self.state = self.state.with_made(number, made, balance.kept.keys())
            self._place.write(self.state)
        return number


class _Steady:
    """Takes half of the time there is, after the first few tables: others are to have the node too."""

    def __init__(self, said: Callable[[int, int], None]) -> None:
        self.made = 0
        self._said = said
        self._began = time.monotonic()

    def done(self, made: int, of: int) -> None:
        """Tell how far the work is, and rest as long as the last table took."""
        self.made = made
        if made > _AT_ONCE:
            self._said(made, of)
            time.sleep(time.monotonic() - self._began)
        self._began = time.monotonic()


def _make_room(balance: Balance, encoded: Encoded, needed: AbstractSet[int]) -> None:
    """Give up the oldest revisions where the maps have no room for all; raises `EnvironmentUnfit`."""
    if lacking := balance.lacking(encoded, needed):
        what = ", ".join(
            f"{name.removeprefix('balance_')} {wanted} of {most}" for name, (wanted, most) in lacking.items()
        )
        raise EnvironmentUnfit(f"it does not fit in beside what is in force ({what}); balance fewer services")
    while balance.lacking(encoded, balance.kept):
        balance.drop(min(balance.kept.keys() - needed))


def _too_old(balance: Balance) -> AbstractSet[int]:
    """Return the revisions that nobody can go to, or that are too many."""
    lasting = [number for number in balance.lasting if number not in balance.needed]
    return balance.kept.keys() - balance.needed - {*lasting[-KEPT:]}
