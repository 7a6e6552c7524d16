"""`${evidence.top_source}`: a parameter that an earlier observation gives; a whole value, filled in once.

`${labels.node}` is a label of the alert, in the same way; where an action takes it, the action fills it in.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from netsre.model.documents import Document, Json
from netsre.runbook import handles

REFERENCE: Final = re.compile(r"\$\{evidence\.([a-z][a-z0-9_]*)\}")
LABEL: Final = re.compile(r"\$\{labels\.([A-Za-z_][A-Za-z0-9_]*)\}")


def is_reference(text: str) -> bool:
    """Tell whether a text is a reference, all of it."""
    return REFERENCE.fullmatch(text) is not None


def named(parameters: Document) -> tuple[tuple[str, str], ...]:
    """Return what the parameters of a step refer to: pairs of parameter and name of the evidence."""
    return tuple(
        (key, match[1])
        for key, value in parameters.items()
        for text in handles.texts(value)
        if (match := REFERENCE.fullmatch(text))
    )


def broken(parameters: Document) -> tuple[str, ...]:
    """Return the parameters that have the beginning of a reference, and are none as a whole."""
    found = (
        key
        for key, value in parameters.items()
        for text in handles.texts(value)
        if "${" in text and not is_reference(text) and LABEL.fullmatch(text) is None
    )
    return tuple(dict.fromkeys(found))


def resolved(parameters: Document, evidence: Mapping[str, Json]) -> Document:
    """Return parameters with every reference replaced; evidence that does not have it gives the empty text.

    What evidence says is never read as a reference again, nor as the handle of a secret.
    """

    def fill(text: str) -> Json:
        match = REFERENCE.fullmatch(text)
        return text if match is None else handles.plain(evidence.get(match[1], ""))

    return {key: filled(value, fill) for key, value in parameters.items()}


def filled(value: Json, fill: Callable[[str], Json]) -> Json:
    """Return a value with each of its texts replaced; keys stay as they are."""
    match value:
        case str():
            return fill(value)
        case Mapping():
            return {key: filled(part, fill) for key, part in value.items()}
        case Sequence():
            return tuple(filled(part, fill) for part in value)
        case _:
            return value
