"""Who does what a run decides upon: the node its effects, others what is not done on a node."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from netsre.app.control.calling import Caller, Nobody
from netsre.app.control.silencing import Silencer
from netsre.clock import SystemClock
from netsre.model.deeds import Call, Deed, Silence
from netsre.model.documents import Document
from netsre.model.effects import Standing
from netsre.runbook.actions.contract import Node, NodeUnreachable


@dataclass(frozen=True, slots=True)
class Outside:
    """Everybody but the node; asked only as long as this controller leads."""

    silences: Silencer
    calls: Caller
    leads: Callable[[], bool] = lambda: True

    def check(self) -> None:
        """Raise `NodeUnreachable` where another controller may lead: it is the one that asks."""
        if not self.leads():
            raise NodeUnreachable("this controller does not lead; nothing was asked")


NOTHING: Final = Outside(Silencer((), SystemClock()), Caller(Nobody()))
"""Nobody is there but the node."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Node and others; each method may raise `NodeUnreachable` or `NodeRefused`."""

    node: Node
    outside: Outside

    def apply(self, key: str, deed: Deed) -> Document:
        """Do something once per key; return figures for the journal."""
        match deed:
            case Silence():
                self.outside.check()
                return self.outside.silences.apply(key, deed)
            case Call():
                self.outside.check()
                return self.outside.calls.apply(key, deed)
            case _:
                return self.node.apply(key, deed)

    def look(self, key: str, deed: Deed) -> Standing:
        """Return what became of what a key was for."""
        match deed:
            case Silence():
                return self.outside.silences.look(key)
            case Call():
                return self.outside.calls.look(key, deed)
            case _:
                return self.node.look(key, deed)

    def undo(self, key: str, deed: Deed) -> Document:
        """Take it back; what is absent or over is none to take back, and no error."""
        match deed:
            case Silence():
                self.outside.check()
                return self.outside.silences.undo(key)
            case Call():
                self.outside.check()
                return self.outside.calls.undo(key, deed)
            case _:
                return self.node.undo(key, deed)
