"""Putting a change into force: compiled, remembered, written beside what decides, switched to in one step."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netsre.adapters.bpf.policy import Datapath
from netsre.app.policing import interfaces, lost, node, programs
from netsre.app.policing.changing import Change, Wish
from netsre.app.policing.memory import Known
from netsre.app.policing.recipes import Recipe
from netsre.app.policing.state import Made, Place, State
from netsre.clock import SystemClock
from netsre.datapath.policy import compiler, sync
from netsre.datapath.policy.compiler import Compiled, Stage
from netsre.datapath.policy.compiles import ERROR, LOAD, OK, SYNC, TOTAL
from netsre.datapath.policy.modes import Mode
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.sync import Operation, Plan, Put, Remove
from netsre.errors import EnvironmentUnfit
from netsre.model.policies.values import Direction, Kind


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a change."""

    datapath: Datapath
    plan: Plan
    lasting: Compiled | None
    """None where it was not compiled anew; so it is with what is on trial."""
    tried: Compiled | None
    made: Mapping[int, Made]
    """Of what was compiled, by the number of a revision."""
    numbers: Numbers
    """Of all that was compiled."""
    written: int = 0
    """Entries of maps."""
    removed: int = 0
    unremembered: str | None = None
    """Why it is not remembered when this came into force, and how long it took; None where it is."""

    @property
    def number(self) -> int:
        """Return that of the revision that lasts."""
        return self.plan.after.slots[self.plan.after.lasting].number

    @property
    def trial(self) -> int | None:
        """Return that of the revision on trial."""
        one = self.plan.after.slots[self.plan.after.in_force]
        return one.number if one.until_ns else None


def put(change: Change, wish: Wish, said: Callable[[str], None]) -> Done:
    """Put a wish into force; until the one step that does, what was in force decides.

    Raises `SpecErrors` for what cannot be read and `EnvironmentUnfit` for what the kernel does not take.
    """
    try:
        return _put(change, wish, said)
    except Exception:
        # Whatever it was, it is told by whoever asked: here it is counted only.
        _count_failure(change, time.monotonic() - change.began)
        raise


def _count_failure(change: Change, seconds: float) -> None:
    """Remember a change that did not come into force; the reason is told by whoever asked for it."""
    place = change.places.place
    with contextlib.suppress(OSError, EnvironmentUnfit):
        state = place.read().timed({TOTAL: seconds}, ERROR)
        place.write(state)
        change.known = dataclasses.replace(change.known, state=state)


def _put(change: Change, wish: Wish, said: Callable[[str], None]) -> Done:
    if change.datapath is not None:
        with node.kernel("what is there of endpoints cannot be read"):
            lost.refuse(change.state, change.held, change.datapath)
    lasting, trial, numbers = _compiled(change, wish)
    plan = sync.plan(
        change.held,
        lasting.encoded if lasting else None,
        trial=sync.Trial(trial.encoded, wish.until_ns) if trial else None,
    )
    if (told := trial or lasting) is not None:
        said(f"{len(told.policies)} policies are compiled for {len(told.endpoints)} endpoints")
    took = _stages(lasting, trial)
    began = time.monotonic()
    datapath, runs = _programs(change)
    took[LOAD] = time.monotonic() - began
    # First names and texts: what the kernel has must be explained, whatever becomes of us.
    place, done = change.places.place, Done(datapath, plan, lasting, trial, {}, numbers)
    state = dataclasses.replace(change.state, programs=runs, numbers=numbers)
    change.is_whole = False
    place.write(state)
    _remember(change, wish, done)
    began = time.monotonic()
    written, removed = _carry_out(datapath, plan.operations, said)
    took |= {SYNC: time.monotonic() - began, TOTAL: time.monotonic() - change.began}
    made = _made(wish, done, took)
    there = {one.number for one in change.held.slots if one.is_whole}
    stays = {one.number for one in plan.after.slots if one.is_whole}
    both = {**made, **{number: one for number, one in state.made.items() if number in there}}
    known = {number: one for number, one in both.items() if number in stays}
    change.known = Known(dataclasses.replace(state, made=known).timed(took, OK), plan.after, numbers)
    forgotten = _note(place, change.state)
    change.is_whole = forgotten is None
    change.recipes.keep(stays)
    return dataclasses.replace(done, made=made, written=written, removed=removed, unremembered=forgotten)


def _note(place: Place, state: State) -> str | None:
    """Write down what is in force already; return why that cannot be done: it undoes nothing."""
    try:
        place.write(state)
    except EnvironmentUnfit as error:
        return str(error)
    return None


def _compiled(change: Change, wish: Wish) -> tuple[Compiled | None, Compiled | None, Numbers]:
    """Return what lasts and what is on trial, as far as each is to be made, and the numbers of both."""
    known, numbers = change.memory.compiler, change.known.numbers
    lasting = trial = None
    if wish.lasting is not None:
        lasting = known.compile(
            *_texts(wish.lasting), numbers, wish.lasting.staged, called=interfaces.known_as
        )
        numbers = lasting.encoded.numbers
    if wish.trial is not None:
        chosen = frozenset(wish.trial.canary)
        before = (wish.lasting or change.lasting()).policies
        canary = compiler.Canary(chosen, before) if chosen else None
        staged = wish.trial.staged
        trial = known.compile(*_texts(wish.trial), numbers, staged, canary, interfaces.known_as)
        numbers = trial.encoded.numbers
    return lasting, trial, numbers


def _texts(recipe: Recipe) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return recipe.policies, recipe.endpoints


def _programs(change: Change) -> tuple[Datapath, str]:
    """Have the programs of this version loaded, and return the digest of those that run."""
    if change.datapath is None:
        node.make(change.places)
        runs = node.digest(change.places.programs)
    else:
        runs, anew = programs.bring(change.places, change.datapath, change.state.programs)
        if anew:
            # What was opened before has the old programs, which no new interface may get.
            change.datapath = None
    return change.opened(), runs


def _remember(change: Change, wish: Wish, done: Done) -> None:
    """Write down what the revisions are made of."""
    for number, recipe, compiled in _parts(wish, done):
        change.recipes.write(number, _without_others(recipe, compiled))


def _without_others(recipe: Recipe, compiled: Compiled) -> Recipe:
    """Return a recipe without the modes of policies that are not in it."""
    names = {policy.document for policy in compiled.policies}
    return dataclasses.replace(
        recipe, modes={name: mode for name, mode in recipe.modes.items() if name in names}
    )


def _carry_out(
    datapath: Datapath, operations: Sequence[Operation], said: Callable[[str], None]
) -> tuple[int, int]:
    """Carry out a plan; return how many entries were written and removed."""
    written = sum(len(one.entries) for one in operations if isinstance(one, Put))
    removed = sum(len(one.keys) for one in operations if isinstance(one, Remove))
    count = 0

    def done(operation: Operation) -> None:
        nonlocal count
        if isinstance(operation, Put):
            count += len(operation.entries)
            said(f"{count} of {written} entries are written")

    node.carry_out(datapath, operations, done)
    return written, removed


def _stages(*compiled: Compiled | None) -> dict[str, float]:
    """Return how long each stage took, of all together."""
    known = [one.seconds for one in compiled if one is not None]
    return {stage.value: sum(each[stage] for each in known) for stage in Stage} if known else {}


def _made(wish: Wish, done: Done, seconds: Mapping[str, float]) -> Mapping[int, Made]:
    """Return how the revisions came to be that were compiled."""
    found = {}
    for number, recipe, compiled in _parts(wish, done):
        rules = sum(len(policy.rules[way]) for policy in compiled.policies for way in Direction)
        policed = sum(one.kind is Kind.ENDPOINT for one in compiled.endpoints)
        modes = [*_without_others(recipe, compiled).modes.values()]
        staged = modes.count(Mode.MONITOR), modes.count(Mode.OFF), len(recipe.canary)
        known = len(compiled.policies), policed, rules
        found[number] = Made(SystemClock().now(), *known, seconds, *staged)
    return found


def _parts(wish: Wish, done: Done) -> Iterator[tuple[int, Recipe, Compiled]]:
    """Yield the number of each revision that was compiled, and what it was made of."""
    for number, recipe, compiled in (
        (done.number, wish.lasting, done.lasting),
        (done.trial, wish.trial, done.tried),
    ):
        if number is not None and recipe is not None and compiled is not None:
            yield number, recipe, compiled
