"""`notify`: a line for people about what the run does, on the alert log and in the incident.

It is no change: it is on record in the transaction of its outcome, exactly once, and keeps no run waiting.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from netsre.model import literals, values
from netsre.model.documents import Document, Json
from netsre.runbook import codes, references, targets
from netsre.runbook.actions.contract import Subject, Views

LONGEST_TEXT: Final = 500
MOST_VALUES: Final = 10
NOTIFY: Final = "notify"
NOTICE: Final = "notice"
UNKNOWN: Final = "unknown"
KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Notify:
    """The action."""

    name: str = NOTIFY

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `text`, with labels of the alert in brackets, and `values` that are told beside it."""
        text, beside = parameters.text("text"), _values(parameters)
        if text is None or beside is None:
            return None
        problem = targets.problem(text) if text.strip() else "is empty; write what people are to read"
        if problem is not None:
            parameters.wrong("text", codes.BOUND, problem)
        elif not text.isprintable() or len(text) > LONGEST_TEXT:
            message = f"is no line of at most {LONGEST_TEXT} characters"
            parameters.wrong("text", codes.PARAMETER, message)
        else:
            return {"text": text, "values": beside}
        return None

    def provides(self, parameters: Document) -> frozenset[str]:
        """Return nothing: it is told, and no evidence."""
        del parameters
        return frozenset()

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Return the line that people are told; a label that the alert lacks is `unknown`."""
        del views
        template, labels = str(parameters["text"]), dict(subject.alert.labels)
        known = {name: labels.get(name) or UNKNOWN for name in targets.places(template)}
        text = targets.resolve(template, tuple(known.items())) or template
        beside = parameters["values"]
        pairs = beside.items() if isinstance(beside, Mapping) else ()
        found = [f"{key}: {_said(value)}" for key, value in pairs]
        line = f"{text} ({', '.join(found)})" if found else text
        return {NOTICE: literals.printable(line)}


def _values(parameters: values.Mapping) -> dict[str, str] | None:
    part = parameters.mapping("values", required=False)
    if part is None:
        return None if "values" in parameters else {}
    pairs = part.pairs()
    for key, value in pairs.items():
        if KEY.fullmatch(key) is None or not references.is_reference(value):
            part.wrong(key, codes.BOUND, "is no reference such as ${evidence.top_source} under a plain name")
            return None
    if len(pairs) > MOST_VALUES:
        parameters.wrong("values", codes.PARAMETER, f"are more than {MOST_VALUES}")
        return None
    return pairs


def _said(value: Json) -> str:
    return str(value) if isinstance(value, str | int) and value != "" else UNKNOWN
