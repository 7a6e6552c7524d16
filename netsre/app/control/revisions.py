"""Changes of policies, as readings show them: another revision in force on a node is an event of it.

What a node had last is kept beside its events, so that each change is told once: also one that came about
while no controller looked, and whichever of several looks. A node whose datapath cannot be read says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock, conventions
from netsre.app.control import ACTOR
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.events import Event
from netsre.model.samples import Scrape
from netsre.store.database import Transaction

KIND: Final = "policy"
"""Of the events."""
APART: Final = clock.MINUTE
"""Changes so soon after the one before are told as one: what changes all the time must fill no database."""
KEPT: Final = 90 * clock.DAY
"""How long an event of a change is kept."""
_PREFIX: Final = "policy_revision:"
_NONE: Final = ""
_LONG_AGO: Final = Timestamp(0)


@dataclass(frozen=True, slots=True)
class _Seen:
    node: str
    at: Timestamp
    revision: str
    """Digits; empty where there is none."""


@dataclass(frozen=True, slots=True)
class _Last:
    """What was told of a node last, and when that began."""

    revision: str
    at: Timestamp

    @classmethod
    def of(cls, text: str) -> "_Last | None":
        """Read what is kept; None for what another hand wrote."""
        revision, _, at = text.partition("@")
        digits = at.isascii() and at.isdigit() and (revision + at).isdigit()
        return cls(revision, Timestamp(int(at))) if digits else None

    def __str__(self) -> str:
        """Write it."""
        return f"{self.revision}@{self.at}"


class Revisions:
    """What readings showed since the last time that it was kept."""

    def __init__(self) -> None:
        """Begin without having seen anything."""
        self._shown: dict[str, str] = {}
        self._waiting: Sequence[_Seen] = ()
        self._left: Sequence[_Seen] = ()

    def see(self, scrape: Scrape) -> None:
        """Take a reading; those of one node come in order."""
        seen = _Seen(scrape.node, scrape.at, _revision(scrape))
        if self._shown.get(seen.node) != seen.revision:
            self._shown[seen.node] = seen.revision
            self._waiting = (*self._waiting, seen)

    def keep(self, transaction: Transaction, now: Timestamp) -> None:
        """Have changes kept with a transaction; call `kept` when it is on disk."""
        self._left = ()
        if not self._waiting:
            return
        found = transaction.meta.find({_PREFIX + seen.node for seen in self._waiting})
        known = {name.removeprefix(_PREFIX): _Last.of(text) for name, text in found.items()}
        left: dict[str, _Seen] = {}
        for seen in self._waiting:
            last = known.get(seen.node)
            left.pop(seen.node, None)
            if last is None:
                known[seen.node] = _Last(seen.revision, _LONG_AGO)
            elif seen.revision in (last.revision, _NONE):
                continue
            elif _close(last.at, seen.at) and _close(last.at, now):
                left[seen.node] = seen
                continue
            else:
                _tell(transaction, seen, last.revision, now)
                known[seen.node] = _Last(seen.revision, seen.at)
            transaction.meta.put(_PREFIX + seen.node, str(known[seen.node]))
        self._left = tuple(left.values())

    def kept(self) -> None:
        """Forget what is on disk now."""
        self._waiting = self._left


def prune(transaction: Transaction, now: Timestamp) -> None:
    """Forget changes of long ago, and what nodes had that nobody reads any more."""
    transaction.events.prune(KIND, ACTOR, Timestamp(now - KEPT))
    read = transaction.history.nodes()
    gone = [key for key in transaction.meta.named(_PREFIX) if key.removeprefix(_PREFIX) not in read]
    transaction.meta.drop(gone)


def _revision(scrape: Scrape) -> str:
    found = [value for series, value in scrape.values.items() if series.name == conventions.POLICY_REVISION]
    whole = len(found) == 1 and found[0].is_finite() and found[0] == found[0].to_integral_value()
    return f"{found[0]:.0f}" if whole else _NONE


def _close(one: Timestamp, other: Timestamp) -> bool:
    return abs(other - one) < APART


def _tell(transaction: Transaction, seen: _Seen, before: str, now: Timestamp) -> None:
    what = f"{before} -> {seen.revision}" if before else f"{seen.revision}, the first that was seen"
    text = f"policies: revision {what}"
    event = Event(f"policy/{seen.node}/{seen.at}", KIND, seen.node, text, seen.at, now, ACTOR)
    if transaction.events.add(event):
        details: Document = {"node": seen.node, "before": before, "revision": seen.revision, "at": seen.at}
        transaction.audit.append(now, ACTOR, "policy.changed", seen.node, details)
