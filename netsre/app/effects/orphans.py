"""Ending the effects of agents that are gone, without an agent."""

from dataclasses import dataclass
from pathlib import Path

from netsre.adapters import processes
from netsre.adapters.control import ControlRefused
from netsre.app.effects.host import Host
from netsre.app.effects.ledger import KEPT, Entry, Ledger, State, lives
from netsre.app.inventory.client import Inventory
from netsre.app.policing.node import Places
from netsre.errors import EnvironmentUnfit
from netsre.model.effects import Block, Flush, Limit, Resize, Stagger, Timeout


@dataclass(frozen=True, slots=True)
class Ended:
    """One effect that nobody kept any more."""

    kind: str
    """`limit`, `block`, `timeout`, `resize` or `stagger`."""
    name: str
    detail: str


def end_orphans(directory: Path, boottime: int, policies: Places) -> tuple[Ended, ...]:
    """End what agents left that are gone, and return what was in force; `boottime` is CLOCK_BOOTTIME in ns.

    `policies` is where the policy datapath is. What is ended stays on file for an hour, so that an agent
    started meanwhile knows that it was done. Raises `EnvironmentUnfit` when something cannot be put back.
    """
    if not directory.is_dir():
        return ()
    ledger = Ledger(directory, processes.this_process())
    found = []
    with ledger.locked():
        orphaned = [entry for entry in ledger.entries() if not lives(entry.owner)]
        # Only a timeout is put back in another network namespace.
        needs_way_in = any(entry.over is None and isinstance(entry.effect, Timeout) for entry in orphaned)
        inventory = Inventory.start() if needs_way_in else Inventory(None)
        try:
            host = Host(None, "", inventory, policies)
            for entry in orphaned:
                if entry.over is not None:
                    if boottime - entry.over > KEPT:
                        ledger.remove(entry)
                elif (ended := _end(ledger, host, entry, boottime)) is not None:
                    found.append(ended)
        finally:
            inventory.close()
    return tuple(found)


def _end(ledger: Ledger, host: Host, entry: Entry, boottime: int) -> Ended | None:
    """End one effect; None when there was nothing of it to end."""
    begun = entry.state is State.BEGUN
    if isinstance(entry.effect, Flush):
        # An interrupted flush changed nothing that lasts; an agent looks at what it left to do.
        return None
    try:
        result = str(host.end(entry.effect)["result"])
    except ControlRefused as refusal:
        if refusal.reason == "not_ours":
            # The netsre that made this namespace lives: its next agent goes on.
            return None
        raise EnvironmentUnfit(f"{entry.key} cannot be put back: {refusal}") from refusal
    if begun and result not in {"put_back", "still_in_use"}:
        # Nobody had an answer yet, and there is nothing left of it: it never was.
        ledger.remove(entry)
        return None
    ledger.write(entry.ended("swept", {"result": result}, boottime))
    return _told(entry, entry.effect, result)


def _told(entry: Entry, effect: Block | Limit | Timeout | Resize | Stagger, result: str) -> Ended:
    match effect:
        case Block(netns, interface, source, _):
            return Ended("block", source, f"ended with its agent, on {interface} in {netns}; by {entry.key}")
        case Limit(before, after, _):
            kind, name = "limit", f"nf_conntrack_max={before}"
        case Timeout(netns, state, before, after, _):
            kind, name = "timeout", f"{state}={before}s in {netns}"
        case Resize(before, after, _):
            kind, name = "resize", f"policy connections={before}"
        case Stagger():
            was = "taken away" if result == "put_back" else "over already"
            return Ended("stagger", "changes of policies", f"{was}; by {entry.key}")
    found = {"put_back": f"put back from {after}", "still_in_use": f"{after} stays, it is in use"}
    detail = found.get(result, f"not {after} any more, left alone")
    return Ended(kind, name, f"{detail}; set by {entry.key}")
