"""`conntrack.tune`: the connection tables may hold more entries for a while, as far as memory allows."""

import re
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.model import literals, values
from netsre.model.documents import Document
from netsre.model.effects import Effect, Limit
from netsre.runbook import codes
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import NothingToDo, Subject, Views

LONGEST: Final = clock.DAY
TIMES: Final = re.compile(r"x([2-8])")
NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Tune:
    """The action."""

    name: str = "conntrack.tune"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `limit` (`x2`, or a number of entries), `max` and `ttl`."""
        limit, most = _limit(parameters), parameters.integer("max")
        ttl = sources.ttl(parameters, LONGEST)
        if most == 0:
            parameters.wrong("max", codes.PARAMETER, "0 would allow no entry; write a number of entries")
            return None
        if limit is None or most is None or ttl is None:
            return None
        if isinstance(limit, int) and limit > most:
            parameters.wrong("limit", codes.PARAMETER, f"{limit} is above max, which is {most}")
            return None
        return {"limit": limit, "max": most, "ttl": ttl}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the new limit: never above `max`, nor above what the node's memory bears.

        Raises `NothingToDo` with `at_bound` when that is not more than there is.
        """
        del subject
        facts = views.node.limit()
        wanted, most, ttl = (parameters[key] for key in ("limit", "max", "ttl"))
        match = TIMES.fullmatch(wanted) if isinstance(wanted, str) else None
        asked = facts.limit * int(match[1]) if match else wanted
        bounds = [bound for bound in (asked, most, facts.most) if isinstance(bound, int)]
        after = min(bounds)
        if after <= facts.limit:
            message = f"the limit is {facts.limit} and may be {after}: there is nothing left to raise"
            raise NothingToDo("at_bound", message)
        return Limit(facts.limit, after, ttl if isinstance(ttl, int) else 0)


def _limit(parameters: values.Mapping) -> str | int | None:
    text = parameters.text("limit")
    if text is None or TIMES.fullmatch(text):
        return text
    if NUMBER.fullmatch(text):
        return int(text)
    message = f"{literals.shown(text)} is no limit; write x2 to x8, or a number of entries"
    parameters.wrong("limit", codes.PARAMETER, message)
    return None
