"""A canary: some endpoints have new policies for a time that the kernel itself ends; all others the old ones.

What judges it needs nothing but this: whoever dies in between leaves it to its end.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from netsre.adapters.bpf import policy_maps
from netsre.adapters.bpf.policy_pins import Pins
from netsre.app import policies, resources
from netsre.app.policing import interfaces, node
from netsre.app.policing.applying import Applied, go_to, put_for_all
from netsre.app.policing.changing import Change, Wish, changing
from netsre.app.policing.node import Places
from netsre.app.policing.putting import put
from netsre.app.policing.recipes import Recipe, Recipes
from netsre.clock import boottime
from netsre.datapath.policy import ends, reading, reference, sync
from netsre.datapath.policy.sync import Held
from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model import literals
from netsre.model.policies.values import Direction, Endpoint, Kind, Policy


@dataclass(frozen=True, slots=True)
class Trial:
    """A revision that ends by itself."""

    number: int
    before: int
    """The revision that comes again when it ends."""
    until_ns: int
    """By CLOCK_BOOTTIME."""
    endpoints: tuple[str, ...]
    """`namespace/name` of those that have the new policies."""
    rules: tuple[str, ...]
    """Names of the rules of the new policies that are about these endpoints, in order."""
    missing: tuple[str, ...] = ()
    """Of one that begins: interfaces of endpoints that are not there, and so not policed."""
    unlisted: tuple[str, ...] = ()
    """Of one that begins: addresses that the list of before has at an interface, and the new one not."""


def begin(
    places: Places,
    paths: Sequence[Path],
    endpoints: Path,
    canary: Sequence[str],
    seconds: float,
    said: Callable[[str], None],
) -> Trial:
    """Put policies into force for some endpoints, for a time. Modes of policies go on.

    Raises `SpecErrors` for what cannot be read, `BadInput` where nothing is in force yet, something is on
    trial already, or an endpoint is not there, and `EnvironmentUnfit` for what the kernel does not take:
    nothing is on trial then.
    """
    texts = policies.texts(paths, endpoints), resources.texts([endpoints], *policies.SUFFIXES)
    with changing(places) as change:
        change.refuse_canary()
        change.refuse_temporary()
        before = change.lasting()
        known = reading.of_endpoints().read(texts[1])
        _check(canary, known)
        wanted = Recipe(*texts, before.modes, tuple(sorted({*canary})))
        until_ns = boottime() + int(seconds * 1e9)
        older = reading.of_endpoints().read(before.endpoints)
        with _or_not_at_all(change, until_ns):
            done = put(change, Wish(None, wanted, until_ns), said)
            # Those of before stay: they come again.
            both = [*known, *older]
            _, missing = interfaces.police(Pins(places.pins), done.datapath, both, done.numbers)
        unlisted = tuple(_unlisted(older, known))
        return replace(_trial(done.plan.after, wanted), missing=missing, unlisted=unlisted)


@contextlib.contextmanager
def _or_not_at_all(change: Change, until_ns: int) -> Iterator[None]:
    """End the trial of this end where something fails after it began; raises what failed."""
    try:
        yield
    except EnvironmentUnfit as error:
        datapath = change.opened()
        with node.kernel(f"{error}; and the canary cannot be withdrawn, which ends by itself"):
            held = policy_maps.revisions(datapath)
            if held.slots[held.in_force].until_ns != until_ns:
                raise
            number = held.slots[held.lasting].number
            node.carry_out(datapath, sync.rollback(held, number).operations, lambda _: None)
        raise EnvironmentUnfit(f"{error}; the canary is withdrawn") from error


def promote(places: Places, said: Callable[[str], None], number: int | None = None) -> Applied:
    """Put the policies of the canary into force for all; raises `BadInput` without a canary.

    With the number of a revision only if it is that one: another canary may have begun meanwhile.
    """
    with changing(places) as change:
        found = change.trial()
        if (
            found is None
            or not found.canary
            or number not in {None, change.held.decides(change.now_ns).number}
        ):
            raise _none()
        return put_for_all(change, Wish(Recipe(found.policies, found.endpoints, found.modes)), said)


def withdraw(places: Places, number: int | None = None) -> tuple[int, int]:
    """End the canary now; return its number and that in force then. Raises `BadInput` as `promote`."""

    def chosen(held: Held, now_ns: int) -> int:
        found = of(held, Recipes(places.state), now_ns)
        if found is None or number not in {None, found.number}:
            raise _none()
        return held.slots[held.lasting].number

    before, now = go_to(places, chosen)
    return before.number, now


def current(places: Places) -> Trial | None:
    """Return the canary that is on trial now; raises `BadInput` where no policies are in force at all."""
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("the policy datapath cannot be read"):
        held = policy_maps.revisions(datapath)
    return of(held, Recipes(places.state), boottime())


def of(held: Held, recipes: Recipes, now_ns: int) -> Trial | None:
    """Return the canary that is on trial at a time, by CLOCK_BOOTTIME."""
    one = held.trial(now_ns)
    found = recipes.read(one.number) if one is not None else None
    return _trial(held, found) if found is not None and found.canary else None


def _trial(held: Held, recipe: Recipe) -> Trial:
    one = held.slots[held.in_force]
    known = reading.of_policies().read(recipe.policies)
    chosen = [
        each for each in reading.of_endpoints().read(recipe.endpoints) if each.full_name in recipe.canary
    ]
    rules = tuple(_rules(known, chosen))
    return Trial(one.number, held.slots[held.lasting].number, one.until_ns, recipe.canary, rules)


def _rules(known: Iterable[Policy], endpoints: Sequence[Endpoint]) -> Iterable[str]:
    subjects = [ends.of_endpoint(each, None) for each in endpoints]
    for policy in sorted(known, key=lambda each: each.order):
        if any(reference.selects(policy, subject) for subject in subjects):
            yield from (rule.name for way in Direction for rule in policy.rules[way])


def _unlisted(before: Iterable[Endpoint], now: Iterable[Endpoint]) -> Iterable[str]:
    """Yield addresses that are believed no more where they were, though somebody is there."""
    older, newer = _at_interfaces(before), _at_interfaces(now)
    for interface in sorted(older.keys() & newer.keys()):
        yield from sorted(older[interface] - newer[interface])


def _at_interfaces(endpoints: Iterable[Endpoint]) -> Mapping[str, AbstractSet[str]]:
    found: dict[str, set[str]] = {}
    for each in endpoints:
        if each.interface and each.kind is Kind.ENDPOINT:
            found.setdefault(each.interface, set()).update(map(str, each.ips))
    return found


def _check(canary: Sequence[str], known: Iterable[Endpoint]) -> None:
    names = {each.full_name for each in known if each.kind is Kind.ENDPOINT}
    for name in canary:
        if name not in names:
            hint = literals.nearest(name, names)
            raise BadInput(f"endpoint {literals.shown(name)} is not in the file of endpoints{hint}")
    if not canary:
        raise BadInput("a canary has at least one endpoint; write namespace/name")


def _none() -> BadInput:
    return BadInput("no canary is on trial; netsre policy status shows what is in force")
