"""`conntrack.flush`: the entries of one source leave the connection table.

A block alone frees nothing for minutes: entries that nobody uses any more still wait for their timeout.
"""

from dataclasses import dataclass

from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import Effect
from netsre.model.effects import Flush as FlushEffect
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import Subject, Views


@dataclass(frozen=True, slots=True)
class Flush:
    """The action."""

    name: str = "conntrack.flush"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `source`."""
        source = sources.read(parameters)
        return None if source is None else {"source": source}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the deletion; refuses `no_source` and `no_netns`."""
        del views
        return FlushEffect(sources.netns(subject), sources.source(parameters))
