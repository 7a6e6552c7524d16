"""What is in force when somebody asks for a change of it, and what is to be in force then."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import NamedTuple

from netsre.adapters.bpf.policy import Datapath
from netsre.app.policing import node
from netsre.app.policing.memory import Known, Memory
from netsre.app.policing.node import Places
from netsre.app.policing.recipes import Recipe, Recipes
from netsre.app.policing.state import State
from netsre.clock import boottime
from netsre.datapath.policy.modes import Mode
from netsre.datapath.policy.sync import Held
from netsre.errors import BadInput


class OnTrial(BadInput):
    """A canary is on trial, and nothing else can be put into force until it has ended; nothing was done."""


class Wish(NamedTuple):
    """What is to be in force."""

    lasting: Recipe | None
    """None for what lasts already."""
    trial: Recipe | None = None
    """What decides before that, until its end."""
    until_ns: int = 0
    """By CLOCK_BOOTTIME."""


@dataclass(slots=True)
class Change:
    """What is there when a change is asked for."""

    places: Places
    stack: contextlib.ExitStack
    began: float
    """On the monotonic clock."""
    now_ns: int
    """By CLOCK_BOOTTIME."""
    datapath: Datapath | None
    known: Known
    memory: Memory
    is_whole: bool = True
    """Whether `known` is what is there now; not while a plan is carried out."""

    @property
    def state(self) -> State:
        """Return what is remembered."""
        return self.known.state

    @property
    def held(self) -> Held:
        """Return what the kernel holds."""
        return self.known.held

    @property
    def recipes(self) -> Recipes:
        """Return what revisions were made of."""
        return self.memory.recipes

    @property
    def before(self) -> int | None:
        """Return the number of the revision that lasts; None where there is none."""
        one = self.held.slots[self.held.lasting]
        return one.number if one.is_whole else None

    def opened(self) -> Datapath:
        """Return the datapath; raises `BadInput` where there is none."""
        if self.datapath is None:
            self.datapath = self.stack.enter_context(node.opened(self.places))
        return self.datapath

    def lasting(self) -> Recipe:
        """Return what it was made of; raises `BadInput` where nobody knows."""
        if self.before is None:
            raise BadInput(
                f"no policies are in force in {self.places.pins}; begin with netsre policy apply PATH..."
            )
        if (found := self.recipes.read(self.before)) is None:
            raise BadInput(
                f"nobody remembers what revision {self.before} was made of; apply its policies once more"
            )
        return found

    def trial(self) -> Recipe | None:
        """Return what the revision was made of that is on trial now."""
        one = self.held.trial(self.now_ns)
        return self.recipes.read(one.number) if one is not None else None

    @property
    def until_ns(self) -> int:
        """Return when what is on trial ends, by CLOCK_BOOTTIME."""
        return self.held.slots[self.held.in_force].until_ns

    def refuse_canary(self) -> None:
        """Raise `OnTrial` while a canary is on trial."""
        if (found := self.trial()) is not None and found.canary:
            raise OnTrial(
                f"a canary is on trial ({', '.join(found.canary)}); first netsre policy promote, or rollback"
            )

    def refuse_temporary(self, those: AbstractSet[str] = frozenset()) -> None:
        """Raise `BadInput` while modes of other policies than those end by themselves: they have one end."""
        if others := sorted(self.temporary().keys() - those):
            raise BadInput(
                f"the mode of {', '.join(others)} ends by itself, and one thing at a time is on trial; wait, "
                f"or end it: netsre policy rollback"
            )

    def lasting_modes(self) -> Mapping[str, Mode]:
        """Return the modes of policies that stay, as far as somebody knows."""
        found = self.recipes.read(self.before) if self.before is not None else None
        return found.modes if found is not None else {}

    def what_is_lost(self) -> str | None:
        """Return what to say where nobody knows the modes of policies, so that all will be enforced."""
        if self.before is None or self.recipes.read(self.before) is not None:
            return None
        return (
            f"nobody remembers what revision {self.before} was made of: if any policy had a mode, it is "
            "enforced from now on; netsre policy mode --policy sets it again"
        )

    def temporary(self) -> Mapping[str, Mode]:
        """Return the modes of policies that end by themselves."""
        now, lasting = self.trial(), self.lasting_modes()
        if now is None or now.canary:
            return {}
        each = ((name, now.modes.get(name, Mode.ENFORCE)) for name in {*now.modes, *lasting})
        return {name: mode for name, mode in each if mode is not lasting.get(name, Mode.ENFORCE)}


def with_modes(recipe: Recipe, modes: Mapping[str, Mode]) -> Recipe:
    """Return a recipe with these modes changed."""
    both = {**recipe.modes, **modes}
    return replace(recipe, modes={name: one for name, one in both.items() if one is not Mode.ENFORCE})


def until(lasting: Recipe, modes: Mapping[str, Mode], until_ns: int, *, anew: bool = True) -> Wish:
    """Return that these modes hold until a time, beside what lasts; that may be there already."""
    trial = with_modes(lasting, modes)
    wanted = lasting if anew else None
    return Wish(wanted) if trial == lasting else Wish(wanted, trial, until_ns)


@contextlib.contextmanager
def changing(places: Places, memory: Memory | None = None) -> Iterator[Change]:
    """Be alone with what is there; raises `EnvironmentUnfit` where it cannot be read.

    With a memory only what it does not know is read, and it knows afterwards what was done.
    Raises `BadInput` where the interfaces of another network namespace are policed.
    """
    began, place = time.monotonic(), places.place
    known = memory or Memory(place)
    with place.locked(), contextlib.ExitStack() as stack:
        node.settle(places)
        datapath = stack.enter_context(node.there(places))
        if datapath is not None:
            node.refuse_elsewhere(places)
        with node.kernel(f"the policy datapath in {places.pins} cannot be read"):
            there = known.known(datapath)
        change = Change(places, stack, began, boottime(), datapath, there, known)
        try:
            yield change
        finally:
            if memory is not None:
                _learn(memory, change)


def _learn(memory: Memory, change: Change) -> None:
    """Remember what is there now; what nobody can tell is read the next time."""
    memory.forget()
    with contextlib.suppress(OSError):
        if change.is_whole:
            memory.learn(change.datapath, change.known)
