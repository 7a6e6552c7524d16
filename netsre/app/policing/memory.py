"""What a process that stays knows of what is in force, so that its next change need not read all of it again.

It makes a change faster and never another one: whatever somebody else did meanwhile is read anew.
"""

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

from netsre.adapters.bpf import policy_maps, policy_reading
from netsre.adapters.bpf.policy import Datapath
from netsre.app.policing import lost
from netsre.app.policing.recipes import Recipes
from netsre.app.policing.state import FILE, Place, State
from netsre.datapath.policy import reading
from netsre.datapath.policy.compiler import Compiler
from netsre.datapath.policy.layouts import Revision
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.programs import ACTIVE
from netsre.datapath.policy.reconcile import reconciled
from netsre.datapath.policy.sync import Held


class Mark(NamedTuple):
    """What is in force is known again by this: nobody changes any of it without changing one of these.

    Whoever writes entries of a revision has written the file of names before, and whoever switches to
    another one has changed what is in force.
    """

    datapath: int
    """The kernel's number of one of its maps; 0 where there is none."""
    slots: tuple[Revision, ...]
    in_force: int
    names: tuple[int, ...]
    """What the file of names is known again by."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered, and what the kernel holds."""

    state: State
    held: Held
    numbers: Numbers
    """To go on with."""


class Memory:
    """Of one process; it is used under the lock of the state."""

    def __init__(self, place: Place) -> None:
        """Begin with nothing."""
        self.compiler = Compiler(time.monotonic)
        self.recipes = Recipes(place.directory)
        self.trial = reading.of_endpoints()
        """Knows the endpoints of the revision on trial; the compiler knows those of the one that lasts."""
        self._place = place
        self._mark: Mark | None = None
        self._known: Known | None = None
        self._reconciled: Known | None = None
        """What was known last."""

    def known(self, datapath: Datapath | None) -> Known:
        """Return what is in force, read anew if it is not what it was; raises as reading does."""
        mark = self.mark(datapath)
        if self._known is None or self._mark != mark:
            state = self._place.read()
            held = Held()
            if datapath is not None:
                held = policy_maps.held(datapath)
                state = lost.found(state, held, self.recipes, datapath)
            self._known = self._reconciled = Known(state, held, reconciled(state.numbers, held))
            self._mark = mark
        return self._known

    def learn(self, datapath: Datapath | None, known: Known) -> None:
        """Know what is there now; its numbers are all that it was made by."""
        mark, held = self.mark(datapath), known.held
        if datapath is not None and (mark.slots, mark.in_force) == (held.slots, held.in_force):
            if known is not self._reconciled:
                known = self._reconciled = replace(known, numbers=reconciled(known.numbers, held))
            self._mark, self._known = mark, known

    def forget(self) -> None:
        """Read all of it again the next time."""
        self._known = None

    def mark(self, datapath: Datapath | None) -> Mark:
        """Return what is in force is known again by; raises `OSError`."""
        names = self._place.stamp(FILE)
        if datapath is None:
            return Mark(0, (), 0, names)
        number = policy_reading.number_of(datapath.maps[ACTIVE])
        return Mark(number, policy_maps.slots(datapath), policy_maps.in_force(datapath), names)
