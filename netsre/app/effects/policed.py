"""What effects do to the policy datapath of this node, and to who follows its files."""

from pathlib import Path
from typing import Final, NoReturn

from netsre.adapters import conntrack
from netsre.adapters.bpf import pinned, policy_reading
from netsre.adapters.control import ControlRefused
from netsre.app.policing import connections, followed, staggering
from netsre.app.policing.connections import ENTRY_BYTES, DoesNotFit
from netsre.app.policing.node import NoDatapath, Places
from netsre.app.policing.places import PINS, STATE
from netsre.clock import boottime, duration_text
from netsre.datapath.policy.programs import CONNECTIONS
from netsre.model.documents import Document
from netsre.model.effects import PolicyFacts, Resize, Stagger
from netsre.runbook.actions.stagger import LONGEST_PACE, SHORTEST_PACE

_COUNT_SECONDS: Final = 2.0


def places(pins: Path = PINS, state: Path = STATE) -> Places:
    """Return where the datapath is, for who must not wait long for its lock: it refuses by `busy`."""
    return Places(pins, state, tells=_busy)


def _busy(line: str) -> NoReturn:
    raise ControlRefused("busy", f"the policy datapath is being changed: {line}")


def facts(where: Places) -> PolicyFacts:
    """Return what is there now; refuses by `no_policies`."""
    try:
        # Without the lock: a change that takes long is when this is asked.
        with policy_reading.opened(where.pins, CONNECTIONS) as table:
            capacity, known = table.capacity, pinned.count(table, _COUNT_SECONDS)
    except FileNotFoundError:
        message = f"no policies are in force: there is no datapath in {where.pins}"
        raise ControlRefused("no_policies", message) from None
    return PolicyFacts(capacity, known, conntrack.most_entries(ENTRY_BYTES), _is_followed(where))


def check(effect: Resize | Stagger, where: Places) -> None:
    """Refuse what must not, or cannot, be done now."""
    match effect:
        case Resize():
            _check_size(effect, facts(where))
        case Stagger(every):
            if not SHORTEST_PACE <= every <= LONGEST_PACE:
                bounds = f"{duration_text(SHORTEST_PACE)} to {duration_text(LONGEST_PACE)}"
                message = f"one change every {duration_text(every)} is outside {bounds}"
                raise ControlRefused("bad_pace", message)
            if not _is_followed(where):
                message = f"nobody follows files of policies for {where.state}: netsre policy apply --follow"
                raise ControlRefused("not_followed", message)


def begin(effect: Resize | Stagger, deadline: int, where: Places) -> Document:
    """Make the change and return figures; refuses by `changed`. `deadline` is of CLOCK_BOOTTIME, in ns."""
    match effect:
        case Resize(before, after):
            if not connections.resize(where, before, after):
                raise ControlRefused("changed", f"not {before} connections fit any more: look again")
            return {"before": before, "after": after}
        case Stagger(every):
            staggering.begin(where.state, every, deadline)
            return {"every": every}


def holds(effect: Resize | Stagger, where: Places) -> bool:
    """Say whether it is as the effect makes it."""
    match effect:
        case Resize(_, after):
            try:
                return connections.size(where) == after
            except NoDatapath:
                return False
        case Stagger(every):
            found = staggering.read(where.state, boottime())
            return found is not None and found.every == every


def end(effect: Resize | Stagger, where: Places) -> str:
    """Take back what is still ours; return a word for what was found.

    `still_in_use` says that the table keeps its size, because all that is known would not fit any more.
    """
    match effect:
        case Resize(before, after):
            try:
                return "put_back" if connections.resize(where, after, before) else "changed_by_other"
            except NoDatapath:
                return "gone"
            except DoesNotFit:
                return "still_in_use"
        case Stagger():
            if not holds(effect, where):
                return "changed_by_other"
            staggering.end(where.state)
            return "put_back"


def _check_size(effect: Resize, now: PolicyFacts) -> None:
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
