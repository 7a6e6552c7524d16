"""What actions may know beside the readings: what was done lately, and what the kernel refused to load."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from netsre.clock import Clock, Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.documents import Document
from netsre.model.events import AHEAD
from netsre.runbook.actions.contract import Happened, NodeRefused, NodeUnreachable
from netsre.store.database import Store

MOST_EVENTS: Final = 500


class Agent(Protocol):
    """Who keeps the last words of the verifier."""

    def refused_loads(self) -> Sequence[Document]:
        """Return the programs that the kernel refused last; raises `SourceUnreachable`."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store and the agent of the node have."""

    store: Store
    clock: Clock
    node: str
    agent: Agent

    def happened(self, since: Timestamp) -> Happened:
        """Return what was done from a time on; of runs those that gates did not refuse."""
        until = Timestamp(self.clock.now() + AHEAD)
        with self.store.read() as transaction:
            return Happened(
                tuple(transaction.events.between(since, until, self.node, MOST_EVENTS)),
                tuple(transaction.runs.counted(since)),
            )

    def refused_loads(self) -> Sequence[Document]:
        """Return what the kernel refused to load; raises `NodeUnreachable`."""
        try:
            return self.agent.refused_loads()
        except SourceUnreachable as error:
            raise NodeUnreachable(str(error)) from error


class Nothing:
    """Stands where nothing is kept."""

    def happened(self, since: Timestamp) -> Happened:
        """Return nothing."""
        del since
        return Happened()

    def refused_loads(self) -> NoReturn:
        """Refuse."""
        raise NodeRefused("no_records", "no agent is known that could be asked")
