"""How strictly single policies are treated: compiled into a revision, which a time makes one on trial."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from netsre.app.policing.changing import Change, Wish, changing, until, with_modes
from netsre.app.policing.node import Places
from netsre.app.policing.putting import put
from netsre.app.policing.recipes import Recipes
from netsre.clock import boottime
from netsre.datapath.policy import reading
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.policy.sync import Held
from netsre.errors import BadInput
from netsre.model import literals


def change(
    places: Places, mode: Mode, names: Sequence[str], seconds: float | None, said: Callable[[str], None]
) -> Mapping[str, Setting]:
    """Set the mode of policies, for ever or for a time that the kernel ends; return those of all policies.

    Raises `BadInput` for a policy that is not in force, and while something else is on trial.
    """
    if mode is Mode.INHERIT:
        raise BadInput("inherit is for one endpoint; of a policy write off, monitor or enforce")
    with changing(places) as asked:
        asked.refuse_canary()
        lasting = asked.lasting()
        _check(names, {policy.document for policy in reading.of_policies().read(lasting.policies)})
        wanted = dict.fromkeys(names, mode)
        done = put(asked, _wish(asked, wanted, seconds), said)
        return told(done.plan.after, asked.recipes, boottime())


def _wish(asked: Change, wanted: Mapping[str, Mode], seconds: float | None) -> Wish:
    lasting = asked.lasting()
    if seconds is not None:
        asked.refuse_temporary(wanted.keys())
        return until(lasting, wanted, boottime() + int(seconds * 1e9), anew=False)
    others = {name: one for name, one in asked.temporary().items() if name not in wanted}
    return until(with_modes(lasting, wanted), others, asked.until_ns)


def told(held: Held, recipes: Recipes, now_ns: int) -> Mapping[str, Setting]:
    """Return the modes of policies that are not enforced, now or later, by name."""
    lasting = recipes.read(held.slots[held.lasting].number)
    stays = lasting.modes if lasting is not None else {}
    one = held.trial(now_ns)
    now = recipes.read(one.number) if one is not None else None
    modes = now.modes if now is not None else stays
    until_ns = one.until_ns if one is not None else 0
    found = {}
    for name in sorted({*modes, *stays}):
        mode, later = modes.get(name, Mode.ENFORCE), stays.get(name, Mode.ENFORCE)
        found[name] = Setting(mode) if mode is later else Setting(mode, until_ns, later)
    return found


def _check(names: Sequence[str], known: AbstractSet[str]) -> None:
    for name in names:
        if name not in known:
            hint = literals.nearest(name, known)
            raise BadInput(f"policy {literals.shown(name)} is not among those in force{hint}")
