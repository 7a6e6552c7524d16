"""Names of endpoints that a node remembers no more: found again, or nothing that rests on them is changed."""

import contextlib
from dataclasses import replace

from netsre.adapters.bpf.policy import Datapath
from netsre.app.policing import interfaces, modes, orders
from netsre.app.policing.recipes import Recipes
from netsre.app.policing.state import State
from netsre.clock import boottime
from netsre.datapath.policy import found_again, reading
from netsre.datapath.policy.modes import Mode
from netsre.datapath.policy.sync import Held
from netsre.errors import BadInput, NetsreError
from netsre.model.policies.values import Endpoint


def found(state: State, held: Held, recipes: Recipes, datapath: Datapath) -> State:
    """Return the state with names that it lacks, as far as the kernel and texts of revisions have them.

    Raises `OSError`.
    """
    state = replace(state, orders=orders.with_names(state.orders, orders.holding(datapath, boottime())))
    if not found_again.nameless(state.numbers, held):
        return state
    listed = {one.number: _listed(recipes, one.number) for one in held.slots if one.is_whole}
    return replace(state, numbers=found_again.with_names(state.numbers, held, listed, interfaces.known_as))


def _listed(recipes: Recipes, number: int) -> tuple[Endpoint, ...]:
    """Return the endpoints of a revision; none where its text is lost, too."""
    with contextlib.suppress(NetsreError):
        if (recipe := recipes.read(number)) is not None:
            return reading.of_endpoints().read(recipe.endpoints)
    return ()


def refuse(state: State, held: Held, datapath: Datapath) -> None:
    """Raise `BadInput` where an endpoint without a name has a mode or an order: a change would forget it."""
    now = boottime()
    strict = {one.endpoint for one in orders.holding(datapath, now)} | {
        number
        for number, one in modes.read(datapath).endpoints.items()
        if {one.now(now), one.lasting} != {Mode.INHERIT}
    }
    if lost := sorted(strict & found_again.nameless(state.numbers, held)):
        names = ", ".join(map(orders.nameless, lost))
        raise BadInput(
            f"nobody remembers whose the modes and the orders to deny of {names} are, and this would forget "
            f"them; take them back first, with --endpoint '{orders.nameless(lost[0])}' and so on: netsre "
            "policy mode inherit, netsre policy deny ADDRESS --remove"
        )
