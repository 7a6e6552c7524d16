"""`prefilter.limit_source`: one source may send so many packets a second for a while, the rest is dropped."""

from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.datapath.prefilter import MOST_RATE
from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import Effect, SourceLimit
from netsre.runbook import codes
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import ActionRefused, Subject, Views

LONGEST: Final = clock.HOUR
"""Nobody is cut short for longer without a person."""


@dataclass(frozen=True, slots=True)
class LimitSource:
    """The action."""

    name: str = "prefilter.limit_source"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `source`, `rate` (packets a second) and `ttl`."""
        source, ttl = sources.read(parameters), sources.ttl(parameters, LONGEST)
        rate = parameters.integer("rate")
        if rate is not None and not 1 <= rate <= MOST_RATE:
            message = f"{rate} packets a second is no rate; write 1 to {MOST_RATE}"
            parameters.wrong("rate", codes.PARAMETER, message)
            return None
        if source is None or rate is None or ttl is None:
            return None
        return {"source": source, "rate": rate, "ttl": ttl}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the limit; refuses `no_source`, `no_netns`, `source_protected`, and what the node refuses.

        Refuses `not_enforced` where the rules of the prefilter drop nothing: a limit would limit nobody.
        """
        source, netns = sources.source(parameters), sources.netns(subject)
        if not (facts := views.node.prefilter()).enforced:
            raise ActionRefused("not_enforced", f"no rule drops anything: all are on {facts.now}")
        if reason := views.node.route(netns, source).protected:
            message = f"{source} must not be limited in {netns}: {reason}"
            raise ActionRefused("source_protected", message)
        rate, ttl = (value if isinstance(value, int) else 0 for value in map(parameters.get, ("rate", "ttl")))
        return SourceLimit(netns, source, rate, ttl)
