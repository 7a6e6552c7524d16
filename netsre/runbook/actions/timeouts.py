"""`conntrack.timeouts`: entries in one state end sooner for a while, where the alert says.

What nobody uses any more leaves the table sooner; what lives does not, because no timeout is shorter than
what a connection of that state needs (`netsre.datapath.conntrack_timeouts`). An entry that is there already
keeps its time until its next packet.
"""

from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.datapath.conntrack_timeouts import TIMEOUTS
from netsre.model import literals, values
from netsre.model.documents import Document
from netsre.model.effects import Effect, Timeout
from netsre.runbook import codes
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import ActionRefused, NothingToDo, Subject, Views

LONGEST: Final = clock.DAY


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The action."""

    name: str = "conntrack.timeouts"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `state`, `to` (whole seconds, not below the floor of the state) and `ttl`."""
        state, to = parameters.choice("state", *TIMEOUTS), parameters.duration("to")
        ttl = sources.ttl(parameters, LONGEST)
        if state is None or to is None or ttl is None:
            return None
        floor = TIMEOUTS[state].floor * clock.SECOND
        if to < floor or to % clock.SECOND:
            least = clock.duration_text(floor)
            message = (
                f"{clock.duration_text(to)} is no timeout of {state}; write whole seconds, at least {least}"
            )
            parameters.wrong("to", codes.PARAMETER, message)
            return None
        return {"state": state, "to": to, "ttl": ttl}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the shorter timeout; refuses `no_netns`, and `no_such_state` where the kernel has none.

        Raises `NothingToDo` with `at_bound` where it is as short already.
        """
        netns, state = sources.netns(subject), str(parameters["state"])
        to, ttl = parameters["to"], parameters["ttl"]
        before = views.node.timeouts(netns).get(state)
        if before is None:
            message = f"this node's kernel has no timeout for {literals.shown(state)}"
            raise ActionRefused("no_such_state", message)
        after = to // clock.SECOND if isinstance(to, int) else 0
        if after >= before:
            message = f"timeout {state} is {before} s and may be {after} s: there is nothing left to shorten"
            raise NothingToDo("at_bound", message)
        return Timeout(netns, state, before, after, ttl if isinstance(ttl, int) else 0)
