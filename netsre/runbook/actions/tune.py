"""`conntrack.tune`: the connection tables may hold more entries for a while, as far as memory allows."""

from dataclasses import dataclass

from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import Effect, Limit
from netsre.runbook.actions import sizes
from netsre.runbook.actions.contract import Subject, Views


@dataclass(frozen=True, slots=True)
class Tune:
    """The action."""

    name: str = "conntrack.tune"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `limit` (`x2`, or a number of entries), `max` and `ttl`."""
        return sizes.read(parameters, "limit", "max")

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the new limit: never above `max`, nor above what the node's memory bears.

        Raises `NothingToDo` with `at_bound` when that is not more than there is.
        """
        del subject
        facts, ttl = views.node.limit(), parameters["ttl"]
        after = sizes.chosen(facts.limit, parameters["limit"], parameters["max"], facts.most, "the limit")
        return Limit(facts.limit, after, ttl if isinstance(ttl, int) else 0)
