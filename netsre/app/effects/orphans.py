"""Ending the effects of agents that are gone, without an agent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters import processes
from netsre.adapters.control import ControlRefused
from netsre.app.effects.host import Host
from netsre.app.effects.ledger import USUAL, Entry, Ledger, State, Where, kept_for, lives
from netsre.app.inventory.client import Inventory
from netsre.clock import duration_text
from netsre.errors import EnvironmentUnfit, NetsreError
from netsre.gameday.ownership import Owner
from netsre.model import effects as model
from netsre.model.effects import (
    Block,
    DoneAtOnce,
    Effect,
    Limit,
    PolicyMode,
    PrefilterMode,
    Resize,
    SourceLimit,
    Stagger,
    Timeout,
)

_FOUND: Final = frozenset({"put_back", "removed", "still_in_use"})
"""Words for what was there."""
_END_BY_THEMSELVES: Final = (PolicyMode, PrefilterMode, SourceLimit, Stagger)

_PATIENCE: Final = 1.0
"""Seconds to wait for a ledger that a process may hold that hangs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One effect that nobody kept any more."""

    kind: str
    """That of the effect, such as `limit` or `block`."""
    name: str
    detail: str


def places(directory: Path) -> frozenset[Where]:
    """Return where agents of this host change what is named by files: the usual places, and all on file."""
    if not directory.is_dir():
        return frozenset({USUAL})
    ledger = Ledger(directory, processes.this_process())
    with ledger.locked():
        return frozenset({USUAL, *(entry.where for entry in ledger.entries())})


def end_orphans(
    directory: Path,
    boottime: int,
    *,
    doomed: frozenset[Owner] = frozenset(),
) -> tuple[Ended, ...]:
    """End what agents left that are gone, and return what was in force; `boottime` is CLOCK_BOOTTIME in ns.

    What is ended stays on file for an hour, so that an agent started meanwhile knows that it was done. Agents
    that are `doomed` count as gone: who ends theirs before it kills them leaves no moment in which another
    agent would take it over, to go on with it. As one that hangs may hold the ledger, that is not waited for
    any longer than a second. Raises `EnvironmentUnfit` when something cannot be put back that does not end by
    itself, `TimeoutError`, and other `OSError` when the ledger cannot be used.
    """
    if not directory.is_dir():
        return ()
    ledger = Ledger(directory, processes.this_process())
    found = []
    with ledger.locked(_PATIENCE if doomed else None):
        orphaned = [one for one in ledger.entries() if one.owner in doomed or not lives(one.owner)]
        # Only a timeout is put back in another network namespace.
        needs_way_in = any(entry.over is None and isinstance(entry.effect, Timeout) for entry in orphaned)
        inventory = Inventory.start() if needs_way_in else Inventory(None)
        try:
            host = Host(None, "", inventory)
            for entry in orphaned:
                if entry.over is not None:
                    if boottime - entry.over > kept_for(entry.effect):
                        ledger.remove(entry)
                elif (ended := _end(ledger, host.at(entry.where), entry, boottime)) is not None:
                    found.append(ended)
        finally:
            inventory.close()
    return tuple(found)


def _end(ledger: Ledger, host: Host, entry: Entry, boottime: int) -> Ended | None:
    """End one effect; None when there was nothing of it to end."""
    if isinstance(entry.effect, DoneAtOnce):
        # An interrupted one left nothing that has an end; an agent looks at what became of it.
        return None
    try:
        result = str(host.end(entry.effect, entry.deadline)["result"])
    except (OSError, NetsreError) as error:
        refusal = error if isinstance(error, ControlRefused) else None
        if isinstance(entry.effect, _END_BY_THEMSELVES) or (refusal and refusal.reason == "not_ours"):
            # It ends at its time, and others are ended now; or another netsre goes on with it.
            return None
        if refusal is None:
            raise
        raise EnvironmentUnfit(f"{entry.key} cannot be put back: {refusal}") from refusal
    if entry.state is State.BEGUN and result not in _FOUND:
        # Nobody had an answer yet, and there is nothing left of it: it never was.
        ledger.remove(entry)
        return None
    ledger.write(entry.ended("swept", {"result": result}, boottime))
    name, detail = _told(entry.effect, result)
    return Ended(str(model.write(entry.effect)["kind"]), name, f"{detail}; set by {entry.key}")


def _told(effect: Effect, result: str) -> tuple[str, str]:
    """Return what is put back, and what became of that."""
    match effect:
        case Block(netns, interface, source, _):
            return source, f"ended with its agent, on {interface} in {netns}"
        case Limit(before, after, _):
            return f"nf_conntrack_max={before}", _put_back(after, result)
        case Timeout(netns, state, before, after, _):
            return f"{state}={before}s in {netns}", _put_back(after, result)
        case Resize(before, after, _):
            return f"policy connections={before}", _put_back(after, result)
        case _:
            return _name(effect), result


def _put_back(after: int, result: str) -> str:
    found = {"put_back": f"put back from {after}", "still_in_use": f"{after} stays, because it is in use"}
    return found.get(result, f"not {after} any more, left alone")


def _name(effect: Effect) -> str:
    match effect:
        case PolicyMode(endpoint, _, mode, _):
            return f"{mode} for {endpoint}"
        case PrefilterMode(_, mode, _):
            return mode
        case SourceLimit(_, source, rate, _):
            return f"{source} to {rate}/s"
        case Stagger(every):
            return f"one change every {duration_text(every)}"
        case _:
            return ""
