"""`policy.mode`: what no policy allows passes for a while, for one endpoint or all."""

import re
from dataclasses import dataclass
from typing import Final

from netsre.model import literals, values
from netsre.model.documents import Document
from netsre.model.effects import EVERYBODY, LONGEST_LOOSENED, Effect, ModeFacts, PolicyMode
from netsre.runbook import codes, targets
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import ActionRefused, NothingToDo, Subject, Views
from netsre.runbook.references import is_reference

MODES: Final = ("monitor", "off")
"""Never stricter: what people let pass, automation does not drop."""
_LABEL: Final = r"\{[A-Za-z_][A-Za-z0-9_]*\}"
_PART: Final = rf"(?:[^\s/{{}}$]|{_LABEL})+"
ENDPOINT: Final = re.compile(rf"{_PART}/{_PART}|{_LABEL}")
"""`namespace/name`, in which labels of the alert may be filled in, or one label that is all of it."""
_ENDPOINT: Final = "endpoint"
_OF_ALERT: Final = "endpoint_of_alert"
"""How the endpoint is kept that labels of the alert name."""


@dataclass(frozen=True, slots=True)
class SetPolicyMode:
    """The action."""

    name: str = "policy.mode"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `mode`, `endpoint` (a name, a reference, or labels of the alert; all without it) and `ttl`."""
        mode, ttl = parameters.choice("mode", *MODES), sources.ttl(parameters, LONGEST_LOOSENED)
        endpoint = _endpoint(parameters)
        if mode is None or ttl is None or endpoint is None:
            return None
        # What evidence says has braces like any other text: only those of the file name labels.
        of_alert = bool(targets.places(endpoint)) and not is_reference(endpoint)
        return {"mode": mode, _OF_ALERT if of_alert else _ENDPOINT: endpoint, "ttl": ttl}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Effect:
        """Return the mode; refuses `no_endpoint`, `mode_ends`, and what the node refuses.

        Raises `NothingToDo` (`not_enforced`) where nothing is dropped as it is.
        """
        endpoint = _resolved(parameters, subject)
        facts = views.node.enforcement(endpoint).mode
        refuse_needless(facts)
        mode, ttl = parameters["mode"], parameters["ttl"]
        return PolicyMode(endpoint, facts.lasting, str(mode), ttl if isinstance(ttl, int) else 0)


def refuse_needless(facts: ModeFacts) -> None:
    """Raise `ActionRefused` or `NothingToDo` where nothing is to be loosened."""
    if facts.ends:
        raise ActionRefused("mode_ends", f"it is on {facts.now} already, which ends by itself")
    if not facts.enforced:
        raise NothingToDo("not_enforced", f"nothing is dropped there: it is on {facts.now}")


def _endpoint(parameters: values.Mapping) -> str | None:
    endpoint = parameters.text("endpoint", required=False)
    if "endpoint" not in parameters:
        return EVERYBODY
    if endpoint is None or is_reference(endpoint):
        return endpoint
    if ENDPOINT.fullmatch(endpoint) is not None:
        return endpoint
    message = f"{literals.shown(endpoint)} is no endpoint; write namespace/name, or {{label}} of the alert"
    parameters.wrong("endpoint", codes.PARAMETER, message)
    return None


def _resolved(parameters: Document, subject: Subject) -> str:
    """Return whom it is about; nothing is never read as everybody."""
    template = parameters.get(_OF_ALERT)
    if isinstance(template, str):
        found = targets.resolve(template, subject.alert.labels) or ""
        if found == EVERYBODY:
            raise ActionRefused(
                "no_endpoint", f"the alert names {literals.shown(found)}, which is no endpoint"
            )
    else:
        wanted = parameters.get(_ENDPOINT)
        found = wanted if isinstance(wanted, str) else ""
    if not found:
        raise ActionRefused("no_endpoint", "neither evidence nor the alert names an endpoint")
    return found
