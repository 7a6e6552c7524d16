"""`${evidence.top_source}`: a parameter that an earlier observation gives; a whole value, filled in once."""

import re
from collections.abc import Mapping
from typing import Final

from netsre.model.documents import Document, Json
from netsre.runbook import handles

REFERENCE: Final = re.compile(r"\$\{evidence\.([a-z][a-z0-9_]*)\}")


def is_reference(text: str) -> bool:
    """Tell whether a text is a reference, all of it."""
    return REFERENCE.fullmatch(text) is not None


def named(parameters: Document) -> tuple[tuple[str, str], ...]:
    """Return what the parameters of a step refer to: pairs of parameter and name of the evidence."""
    return tuple(
        (key, match[1])
        for key, value in parameters.items()
        if isinstance(value, str) and (match := REFERENCE.fullmatch(value))
    )


def broken(parameters: Document) -> tuple[str, ...]:
    """Return the parameters that have the beginning of a reference, and are none as a whole."""
    return tuple(
        key
        for key, value in parameters.items()
        if isinstance(value, str) and "${" in value and not is_reference(value)
    )


def resolved(parameters: Document, evidence: Mapping[str, Json]) -> Document:
    """Return parameters with every reference replaced; evidence that does not have it gives the empty text.

    What evidence says is never read as a reference again, nor as the handle of a secret.
    """
    names = dict(named(parameters))
    return {
        key: handles.plain(evidence.get(names[key], "")) if key in names else value
        for key, value in parameters.items()
    }
