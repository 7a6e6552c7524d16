"""`policy.rollback`: the revision of policies before the one in force decides again."""

from dataclasses import dataclass

from netsre.model import values
from netsre.model.documents import Document
from netsre.model.effects import EVERYBODY, Effect, PolicyRevision
from netsre.runbook.actions.contract import ActionRefused, Subject, Views


@dataclass(frozen=True, slots=True)
class RollBack:
    """The action."""

    name: str = "policy.rollback"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take nothing."""
        del parameters
        return {}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return from which revision to which.

        Refuses `on_trial`, `no_earlier`, `unknown_revision` and `stricter`.
        """
        del subject, parameters
        facts = views.node.enforcement(EVERYBODY)
        revision, earlier = facts.revision, facts.earlier
        if facts.on_trial:
            raise ActionRefused("on_trial", f"revision {revision.number} is on trial, and ends by itself")
        if earlier is None:
            raise ActionRefused("no_earlier", f"no revision before {revision.number} is kept")
        for one in (revision, earlier):
            if not one.digest:
                message = f"nobody remembers what revision {one.number} was made of"
                raise ActionRefused("unknown_revision", message)
        if facts.stricter:
            message = (
                f"people loosened policy {facts.stricter}, which revision {earlier.number} did not have yet"
            )
            raise ActionRefused("stricter", message)
        return PolicyRevision(revision.number, revision.digest, earlier.number, earlier.digest)
