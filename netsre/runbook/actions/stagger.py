"""`policy.stagger`: who follows files of policies puts at most one change into force in a length of time.

What changes meanwhile comes into force together. Orders to deny, modes, and what a person applies wait for
nothing.
"""

from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import Effect
from netsre.model.effects import Stagger as StaggerEffect
from netsre.runbook import codes
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import ActionRefused, Subject, Views

LONGEST: Final = clock.HOUR
SHORTEST_PACE: Final = 1 * clock.SECOND
LONGEST_PACE: Final = 5 * clock.MINUTE


@dataclass(frozen=True, slots=True)
class Stagger:
    """The action."""

    name: str = "policy.stagger"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `every` and `ttl`."""
        every, ttl = parameters.duration("every"), sources.ttl(parameters, LONGEST)
        if every is None or ttl is None:
            return None
        if not SHORTEST_PACE <= every <= LONGEST_PACE or every > ttl:
            bounds = f"{clock.duration_text(SHORTEST_PACE)} to {clock.duration_text(LONGEST_PACE)}"
            parameters.wrong("every", codes.PARAMETER, f"is outside {bounds}, or longer than ttl")
            return None
        return {"every": every, "ttl": ttl}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the pace; refuses `not_followed` where nobody follows files."""
        del subject
        if not views.node.datapath().followed:
            raise ActionRefused("not_followed", "nobody follows files of policies on this node")
        every, ttl = (value if isinstance(value := parameters[key], int) else 0 for key in ("every", "ttl"))
        return StaggerEffect(every, ttl)
