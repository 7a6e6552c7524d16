"""`${labels.node}`: values that a label of the alert gives, where an action takes such."""

from netsre.model.documents import Json
from netsre.runbook import references
from netsre.runbook.actions.contract import ActionRefused, Subject


def bound(value: Json, subject: Subject) -> Json:
    """Return a value with every reference to a label replaced; raises `ActionRefused` (`no_label`).

    What a label says is never read as a reference again.
    """
    labels = dict(subject.alert.labels)

    def fill(text: str) -> Json:
        match = references.LABEL.fullmatch(text)
        if match is None:
            return text
        if not labels.get(match[1]):
            raise ActionRefused("no_label", f"the alert has no label {match[1]}")
        return labels[match[1]]

    return references.filled(value, fill)
