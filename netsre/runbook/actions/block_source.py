"""`datapath.block_source`: packets of one source are dropped where they come in, for a while."""

from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import Block, Effect
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import ActionRefused, Subject, Views

LONGEST: Final = clock.HOUR
"""Nobody is cut off for longer without a person."""


@dataclass(frozen=True, slots=True)
class BlockSource:
    """The action."""

    name: str = "datapath.block_source"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `source` and `ttl`."""
        source, ttl = sources.read(parameters), sources.ttl(parameters, LONGEST)
        return None if source is None or ttl is None else {"source": source, "ttl": ttl}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the block; refuses `no_source`, `no_netns` and `source_protected`."""
        source, netns = sources.source(parameters), sources.netns(subject)
        route = views.node.route(netns, source)
        if route.protected:
            message = f"{source} must not be blocked in {netns}: {route.protected}"
            raise ActionRefused("source_protected", message)
        ttl = parameters["ttl"]
        return Block(netns, route.interface, source, ttl if isinstance(ttl, int) else 0)
