"""`policy.program_rollback`: the programs run that policed a node before another version brought its own."""

from dataclasses import dataclass

from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import EVERYBODY, Effect, PolicyPrograms
from netsre.runbook.actions.contract import ActionRefused, Subject, Views


@dataclass(frozen=True, slots=True)
class RollBackPrograms:
    """The action."""

    name: str = "policy.program_rollback"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take nothing."""
        del parameters
        return {}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return from which programs to which; refuses `no_earlier`, never to go to what was left already."""
        del subject, parameters
        facts = views.node.enforcement(EVERYBODY)
        if not facts.programs or not facts.kept_programs:
            raise ActionRefused(
                "no_earlier", "no policy programs from before are kept that nobody went back from"
            )
        return PolicyPrograms(facts.programs, facts.kept_programs)
