"""`alertmanager.silence`: alerts that only repeat what is being dealt with are kept back for a while.

Never a page, never the alert that the run stands on, never one of the service level that judges the run:
whoever is called must still be told whether it helped.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.alerting import describe
from netsre.model import values
from netsre.model.deeds import Deed, Silence
from netsre.model.documents import Document
from netsre.model.samples import labels
from netsre.runbook import codes
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import ActionRefused, NothingToDo, Subject, Views
from netsre.runbook.actions.labels import bound

LONGEST: Final = 4 * clock.HOUR
MOST_MATCHERS: Final = 10
LONGEST_TEXT: Final = 300
KINDS: Final = ("alertname", "service", "slo")
"""Labels that say what an alert is about: one of them must be named."""
NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_BURNS: Final = frozenset({describe.ALERT_NAME, describe.ABSENT})
"""Alerts that a service level has."""


@dataclass(frozen=True, slots=True)
class SilenceAlerts:
    """The action."""

    name: str = "alertmanager.silence"
    tells: bool = True
    """It changes no node: a run may go on without it."""

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `matchers`, `ttl` and `comment`."""
        matchers, ttl = _matchers(parameters), sources.ttl(parameters, LONGEST)
        comment = parameters.text("comment", required=False)
        if comment is not None and len(comment) > LONGEST_TEXT:
            parameters.wrong("comment", codes.PARAMETER, f"is longer than {LONGEST_TEXT} characters")
        if matchers is None or ttl is None:
            return None
        return {"matchers": matchers, "ttl": ttl, "comment": comment or "silenced by a runbook"}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Deed:
        """Return the silence.

        Raises `NothingToDo` with `no_label`, `no_matchers`, `own_alert` or `proof_alert`: no mitigation is
        given up because the noise around it may not be kept down.
        """
        del views
        try:
            wanted, ttl = bound(parameters["matchers"], subject), parameters["ttl"]
        except ActionRefused as refusal:
            raise NothingToDo(refusal.reason, str(refusal)) from refusal
        if not isinstance(wanted, Mapping) or not isinstance(ttl, int) or not all(wanted.values()):
            raise NothingToDo(
                "no_matchers", "a matcher has no value, and nothing is never read as everything"
            )
        pairs = {name: str(value) for name, value in wanted.items()}
        silence = Silence(labels(pairs), ttl, str(parameters["comment"]))
        if silence.matches(subject.alert.labels):
            raise NothingToDo("own_alert", "it would silence the alert that this run is for")
        if subject.proof is not None and _may_be_of(pairs, subject):
            message = f"it could silence alerts of {subject.proof.name}, which says whether this run helped"
            raise NothingToDo("proof_alert", message)
        return silence


def _matchers(parameters: values.Mapping) -> dict[str, str] | None:
    part = parameters.mapping("matchers")
    if part is None:
        return None
    before, pairs = len(part.findings), part.pairs()
    for name, value in pairs.items():
        if NAME.fullmatch(name) is None:
            part.wrong(name, codes.PARAMETER, "is no name of a label")
        if not value.strip() or len(value) > LONGEST_TEXT or not value.isprintable():
            part.wrong(name, codes.PARAMETER, f"is no value of a label; write 1 to {LONGEST_TEXT} characters")
    if not set(KINDS) & set(pairs):
        message = f"would silence whatever else there is; name one of {', '.join(KINDS)}"
        parameters.wrong("matchers", codes.WIDE, message)
    if len(pairs) > MOST_MATCHERS:
        parameters.wrong("matchers", codes.PARAMETER, f"are more than {MOST_MATCHERS}")
    if pairs.get("severity") == "page":
        part.wrong("severity", codes.NEVER_PAGES, "is that of pages; nobody but people silences those")
    if describe.is_call(pairs):
        part.wrong("alertname", codes.NEVER_PAGES, "calls people about automation; that is never silenced")
    return pairs if len(part.findings) == before else None


def _may_be_of(pairs: Mapping[str, str], subject: Subject) -> bool:
    """Tell whether nothing keeps these matchers from alerts of the service level that judges the run."""
    proof = subject.proof
    if proof is None:
        return False
    known = {"slo": {proof.name}, "service": {proof.service}, "alertname": _BURNS}
    return all(value in known.get(name, {value}) for name, value in pairs.items())
