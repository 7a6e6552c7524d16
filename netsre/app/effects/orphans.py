"""Ending the effects of agents that are gone, without an agent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters import processes
from netsre.adapters.control import ControlRefused
from netsre.app import prefiltering
from netsre.app.effects.enforcing import Enforcing
from netsre.app.effects.filtering import Prefiltering
from netsre.app.effects.host import put_back
from netsre.app.effects.ledger import Entry, Ledger, State, kept_for, lives
from netsre.app.policing.node import Places
from netsre.model import effects as model
from netsre.model.effects import Block, Flush, Limit, PolicyMode, PolicyRevision, PrefilterMode, SourceLimit

_POLICIES: Final = Places()
_PREFILTER: Final = prefiltering.Places()
_TAKEN_BACK: Final = frozenset({"put_back", "removed"})


@dataclass(frozen=True, slots=True)
class Ended:
    """One effect that nobody kept any more."""

    kind: str
    """`limit`, `block`, `policy_mode`, `prefilter_mode` or `source_limit`."""
    name: str
    detail: str


def end_orphans(
    directory: Path,
    boottime: int,
    policies: Places = _POLICIES,
    prefilter: prefiltering.Places = _PREFILTER,
) -> tuple[Ended, ...]:
    """End what agents left that are gone, and return what was in force; `boottime` is CLOCK_BOOTTIME in ns.

    What is ended stays on file for an hour, so that an agent started meanwhile knows that it was done. Raises
    `EnvironmentUnfit` when a limit cannot be put back.
    """
    parts = Enforcing(policies), Prefiltering(prefilter)
    if not directory.is_dir():
        return ()
    ledger = Ledger(directory, processes.this_process())
    found = []
    with ledger.locked():
        for entry in ledger.entries():
            if lives(entry.owner):
                continue
            if entry.over is not None:
                if boottime - entry.over > kept_for(entry.effect):
                    ledger.remove(entry)
            elif (ended := _end(ledger, entry, boottime, *parts)) is not None:
                found.append(ended)
    return tuple(found)


def _end(
    ledger: Ledger, entry: Entry, boottime: int, policies: Enforcing, prefilter: Prefiltering
) -> Ended | None:
    """End one effect; None when there was nothing of it to end."""
    begun = entry.state is State.BEGUN
    match entry.effect:
        case Flush() | PolicyRevision():
            # An interrupted one left nothing that has an end; an agent looks at what became of it.
            return None
        case PolicyMode() | PrefilterMode() | SourceLimit() as effect:
            try:
                found = (
                    policies.end(effect, entry.deadline)
                    if isinstance(effect, PolicyMode)
                    else prefilter.end(effect, entry.deadline)
                )
            except ControlRefused:
                return None  # somebody is changing something there: the kernel ends it at its time
            result = str(found["result"])
            ended = Ended(str(model.write(effect)["kind"]), _name(effect), f"{result}; set by {entry.key}")
        case Block(netns, interface, source, _):
            result = "unblocked"
            ended = Ended("block", source, f"ended with its agent, on {interface} in {netns}; by {entry.key}")
        case Limit(before, after, _) as limit:
            result = put_back(limit)
            detail = f"put back from {after}" if result == "put_back" else f"not {after} any more, left alone"
            ended = Ended("limit", f"nf_conntrack_max={before}", f"{detail}; set by {entry.key}")
    if begun and result not in _TAKEN_BACK:
        # Nobody had an answer yet, and there is nothing left of it: it never was.
        ledger.remove(entry)
        return None
    ledger.write(entry.ended("swept", {"result": result}, boottime))
    return ended


def _name(effect: PolicyMode | PrefilterMode | SourceLimit) -> str:
    match effect:
        case PolicyMode(endpoint, _, mode, _):
            return f"{mode} for {endpoint}"
        case PrefilterMode(_, mode, _):
            return mode
        case SourceLimit(_, source, rate, _):
            return f"{source} to {rate}/s"
