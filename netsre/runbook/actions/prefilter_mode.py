"""`prefilter.mode`: no rule at XDP drops anything for a while, all only count."""

from dataclasses import dataclass
from typing import Final

from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import LONGEST_LOOSENED, Effect, PrefilterMode
from netsre.runbook.actions import policy_mode, sources
from netsre.runbook.actions.contract import Subject, Views

MODES: Final = ("monitor",)
"""Where rules are to count nothing either, people say so."""


@dataclass(frozen=True, slots=True)
class SetPrefilterMode:
    """The action."""

    name: str = "prefilter.mode"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `mode` and `ttl`."""
        mode, ttl = parameters.choice("mode", *MODES), sources.ttl(parameters, LONGEST_LOOSENED)
        return None if mode is None or ttl is None else {"mode": mode, "ttl": ttl}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the mode; refuses `mode_ends`, and what the node refuses.

        Raises `NothingToDo` (`not_enforced`) where nothing is dropped as it is.
        """
        del subject
        facts = views.node.prefilter()
        policy_mode.refuse_needless(facts)
        mode, ttl = parameters["mode"], parameters["ttl"]
        return PrefilterMode(facts.lasting, str(mode), ttl if isinstance(ttl, int) else 0)
