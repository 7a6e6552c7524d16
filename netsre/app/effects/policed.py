"""What effects do to the policy datapath of this node, and to who follows its files."""

from typing import Final

from netsre.adapters import conntrack
from netsre.adapters.bpf import pinned, policy_reading
from netsre.adapters.control import ControlRefused
from netsre.app.effects import programmed
from netsre.app.effects.refusals import BUSY, refusing
from netsre.app.policing import connections, followed, staggering
from netsre.app.policing.connections import ENTRY_BYTES, DoesNotFit
from netsre.app.policing.node import NoDatapath, Places
from netsre.clock import boottime, duration_text
from netsre.datapath.policy.programs import CONNECTIONS
from netsre.model.documents import Document
from netsre.model.effects import DatapathFacts, PolicyPrograms, Resize, Stagger
from netsre.runbook.actions.stagger import LONGEST_PACE, SHORTEST_PACE

_COUNT_SECONDS: Final = 2.0


def facts(where: Places) -> DatapathFacts:
    """Return what is there now; refuses by `no_policies`."""
    try:
        # Without the lock: a change that takes long is when this is asked.
        with policy_reading.opened(where.pins, CONNECTIONS) as table:
            capacity, known = table.capacity, pinned.count(table, _COUNT_SECONDS)
    except FileNotFoundError:
        message = f"no policies are in force: there is no datapath in {where.pins}"
        raise ControlRefused("no_policies", message) from None
    return DatapathFacts(capacity, known, conntrack.most_entries(ENTRY_BYTES), _is_followed(where))


def check(effect: Resize | Stagger | PolicyPrograms, where: Places) -> None:
    """Refuse what must not, or cannot, be done now."""
    match effect:
        case Resize():
            _check_size(effect, facts(where))
        case PolicyPrograms():
            programmed.check(effect, where)
        case Stagger(every):
            if not SHORTEST_PACE <= every <= LONGEST_PACE:
                bounds = f"{duration_text(SHORTEST_PACE)} to {duration_text(LONGEST_PACE)}"
                message = f"one change every {duration_text(every)} is outside {bounds}"
                raise ControlRefused("bad_pace", message)
            if not _is_followed(where):
                message = f"nobody follows files of policies for {where.state}: netsre policy apply --follow"
                raise ControlRefused("not_followed", message)


def begin(effect: Resize | Stagger | PolicyPrograms, deadline: int, where: Places) -> Document:
    """Make the change and return figures; refuses by `changed`. `deadline` is of CLOCK_BOOTTIME, in ns."""
    match effect:
        case Resize(before, after):
            with refusing(BUSY):
                is_made = connections.resize(where, before, after)
            if not is_made:
                raise ControlRefused("changed", f"not {before} connections fit any more: look again")
            return {"before": before, "after": after}
        case PolicyPrograms():
            return programmed.begin(effect, where)
        case Stagger(every):
            staggering.begin(where.state, every, deadline)
            return {"every": every}


def holds(effect: Resize | Stagger | PolicyPrograms, deadline: int, where: Places) -> bool:
    """Say whether it is as the effect makes it that has this deadline."""
    match effect:
        case Resize(_, after):
            try:
                with refusing(BUSY):
                    return connections.size(where) == after
            except NoDatapath:
                return False
        case PolicyPrograms():
            return programmed.holds(effect, where)
        case Stagger(every):
            found = staggering.read(where.state, boottime())
            return found is not None and (found.every, found.deadline) == (every, deadline)


def end(effect: Resize | Stagger | PolicyPrograms, deadline: int, where: Places) -> str:
    """Take back what is still ours; return a word for what was found.

    `still_in_use` says that the table keeps its size, because all that is known would not fit any more.
    """
    match effect:
        case Resize(before, after):
            try:
                with refusing(BUSY):
                    return "put_back" if connections.resize(where, after, before) else "changed_by_other"
            except NoDatapath:
                return "gone"
            except DoesNotFit:
                return "still_in_use"
        case PolicyPrograms():
            return programmed.end(effect, where)
        case Stagger(every):
            # Also where its time is over: nothing is left lying about.
            found = staggering.on_file(where.state)
            if found is None or (found.every, found.deadline) != (every, deadline):
                return "changed_by_other"
            staggering.end(where.state)
            return "put_back"


def _check_size(effect: Resize, now: DatapathFacts) -> None:
    if now.capacity != effect.before:
        raise ControlRefused("changed", f"{now.capacity} connections fit, not {effect.before}: look again")
    if effect.after <= effect.before:
        raise ControlRefused("not_higher", f"{effect.after} is not more than {effect.before}")
    if effect.after > now.most:
        message = f"{effect.after} connections are more than this node's memory allows: {now.most}"
        raise ControlRefused("beyond_memory", message)


def _is_followed(where: Places) -> bool:
    found = followed.read(where.state)
    return found is not None and found[1]
