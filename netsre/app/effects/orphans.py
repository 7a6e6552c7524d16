"""Ending the effects of agents that are gone, without an agent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters import processes
from netsre.app.effects.host import put_back
from netsre.app.effects.ledger import KEPT, Entry, Ledger, State, lives
from netsre.gameday.ownership import Owner
from netsre.model.effects import Block, Flush, Limit

_PATIENCE: Final = 1.0
"""Seconds to wait for a ledger that a process may hold that hangs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One effect that nobody kept any more."""

    kind: str
    """`limit` or `block`."""
    name: str
    detail: str


def end_orphans(directory: Path, boottime: int, doomed: frozenset[Owner] = frozenset()) -> tuple[Ended, ...]:
    """End what agents left that are gone, and return what was in force; `boottime` is CLOCK_BOOTTIME in ns.

    What is ended stays on file for an hour, so that an agent started meanwhile knows that it was done. Agents
    that are `doomed` count as gone: who ends theirs before it kills them leaves no moment in which another
    agent would take it over, to go on with it. As one that hangs may hold the ledger, that is not waited for
    any longer than a second. Raises `EnvironmentUnfit` when a limit cannot be put back, `TimeoutError`, and
    other `OSError` when the ledger cannot be used.
    """
    if not directory.is_dir():
        return ()
    ledger = Ledger(directory, processes.this_process())
    found = []
    with ledger.locked(_PATIENCE if doomed else None):
        for entry in ledger.entries():
            if entry.owner not in doomed and lives(entry.owner):
                continue
            if entry.over is not None:
                if boottime - entry.over > KEPT:
                    ledger.remove(entry)
            elif (ended := _end(ledger, entry, boottime)) is not None:
                found.append(ended)
    return tuple(found)


def _end(ledger: Ledger, entry: Entry, boottime: int) -> Ended | None:
    """End one effect; None when there was nothing of it to end."""
    begun = entry.state is State.BEGUN
    match entry.effect:
        case Flush():
            # An interrupted flush changed nothing that lasts; an agent looks at what it left to do.
            return None
        case Block(netns, interface, source, _):
            result = "unblocked"
            ended = Ended("block", source, f"ended with its agent, on {interface} in {netns}; by {entry.key}")
        case Limit(before, after, _) as limit:
            result = put_back(limit)
            detail = f"put back from {after}" if result == "put_back" else f"not {after} any more, left alone"
            ended = Ended("limit", f"nf_conntrack_max={before}", f"{detail}; set by {entry.key}")
    if begun and result != "put_back":
        # Nobody had an answer yet, and there is nothing left of it: it never was.
        ledger.remove(entry)
        return None
    ledger.write(entry.ended("swept", {"result": result}, boottime))
    return ended
