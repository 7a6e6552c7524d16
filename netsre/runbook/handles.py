"""`${secret.NAME}`: the handle of a secret; what is planned, journalled or shown has the handle alone.

What it stands for is filled in by whoever does what an action planned, at the last moment, into what goes
out. Only what stands in a runbook's file is a handle: what evidence, a label or a person says never is.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from netsre.model.documents import Document, Json
from netsre.runbook.actions.contract import Action, TakesSecrets

NAME: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
HANDLE: Final = re.compile(rf"\$\{{secret\.({NAME})\}}")


def named(value: Json) -> frozenset[str]:
    """Return the names of the secrets that a value has handles of."""
    return frozenset(match[1] for text in texts(value) for match in HANDLE.finditer(text))


def taken_by(action: Action) -> frozenset[str]:
    """Return the parameters of an action in which a handle may stand."""
    return action.secrets if isinstance(action, TakesSecrets) else frozenset()


def without(document: Document) -> Document:
    """Return a document with every handle left out, to be looked through for other references."""
    return {key: _without(value) for key, value in document.items()}


def filled(text: str, secret: Callable[[str], str]) -> str:
    """Return a text with every handle replaced, in one pass: what a secret says is no handle."""
    return HANDLE.sub(lambda match: secret(match[1]), text)


def plain(value: Json) -> Json:
    """Return what was seen, or nothing where it could be read as a reference: that is a refusal later."""
    return "" if any("${" in text for text in texts(value)) else value


def _without(value: Json) -> Json:
    match value:
        case str():
            return HANDLE.sub("", value)
        case Mapping():
            return without(value)
        case Sequence():
            return tuple(map(_without, value))
        case _:
            return value


def texts(value: Json) -> Iterator[str]:
    """Yield every text of a value; its keys are none."""
    match value:
        case str():
            yield value
        case Mapping():
            for part in value.values():
                yield from texts(part)
        case Sequence():
            for part in value:
                yield from texts(part)
        case _:
            return
