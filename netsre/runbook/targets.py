"""The target of a runbook: `network/{node}` with the labels of the alert filled in, in one pass."""

import re
from typing import Final

from netsre.model.samples import Labels

_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def problem(template: str) -> str | None:
    """Return what is wrong with a target, or None."""
    if not template.strip():
        return "is empty; write what two runs must never share, such as network/{node}"
    rest = _PLACE.sub("", template)
    if "{" in rest or "}" in rest:
        return f"{template!r} has a bracket that names no label; write {{node}}"
    return None


def places(template: str) -> tuple[str, ...]:
    """Return the labels that a target is filled with, in order."""
    return tuple(_PLACE.findall(template))


def fits(template: str, target: str) -> bool:
    """Tell whether a target could be that of some alert."""
    literal = map(re.escape, _PLACE.split(template)[::2])
    return re.fullmatch("[^\n]+".join(literal), target) is not None


def resolve(template: str, labels: Labels) -> str | None:
    """Return the target for an alert; None when the alert lacks a label that the target needs.

    A value that looks like a place (`{node}`) stays as it is: values are never read as templates.
    """
    values = dict(labels)
    if any(not values.get(name) for name in places(template)):
        return None
    return _PLACE.sub(lambda match: values[match[1]], template)
