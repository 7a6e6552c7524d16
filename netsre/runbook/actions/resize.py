"""`policy.connections`: netsre's own policy datapath knows more connections for a while.

The table is exchanged while packets pass, and no connection is forgotten. In the end it is the former one if
all that is known by then fits.
"""

from dataclasses import dataclass

from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import Effect
from netsre.model.effects import Resize as ResizeEffect
from netsre.runbook.actions import sizes
from netsre.runbook.actions.contract import Subject, Views


@dataclass(frozen=True, slots=True)
class Resize:
    """The action."""

    name: str = "policy.connections"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `max` (`x2`, or a number of connections), `most` and `ttl`."""
        return sizes.read(parameters, "max", "most")

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the new size: never above `most`, nor above what the node's memory bears.

        Raises `NothingToDo` with `at_bound` when that is not more than there is.
        """
        del subject
        facts, ttl = views.node.datapath(), parameters["ttl"]
        wish, most = parameters["max"], parameters["most"]
        after = sizes.chosen(facts.capacity, wish, most, facts.most, "the size of the table")
        return ResizeEffect(facts.capacity, after, ttl if isinstance(ttl, int) else 0)
