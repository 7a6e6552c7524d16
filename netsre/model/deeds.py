"""What a change does: an effect on the node, or something that others do for us, such as a silence.

Each is exact, has a key (`<run>/<step>`) and its own end, as effects have (`model.effects`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from netsre.model import effects
from netsre.model.documents import Document, Json
from netsre.model.effects import Effect, Flush, Setting
from netsre.model.samples import Labels, labels


@dataclass(frozen=True, slots=True)
class Silence:
    """Notifications of collateral alerts are kept back at every Alertmanager, and never those of a page."""

    matchers: Labels
    """Labels that an alert must have, each with exactly this value."""
    ttl: int
    """Milliseconds."""
    comment: str

    def matches(self, of_alert: Labels) -> bool:
        """Tell whether an alert has these labels, whatever its severity is."""
        return set(self.matchers) <= set(of_alert)


Outside = Silence
"""What is done by others than the node."""
Deed = Effect | Outside


def setting(deed: Deed) -> Setting | None:
    """Return which field of the node a deed sets; None for one that sets none."""
    return None if isinstance(deed, Outside) else effects.setting(deed)


def reversible(deed: Deed) -> bool:
    """Tell whether it can be taken back: what is deleted stays deleted."""
    return not isinstance(deed, Flush)


def write(deed: Deed) -> Document:
    """Return a deed as a document with its `kind`."""
    match deed:
        case Silence(matchers, ttl, comment):
            return {"kind": "silence", "matchers": dict(matchers), "ttl": ttl, "comment": comment}
        case _:
            return effects.write(deed)


def read(document: Document) -> Deed:
    """Return the deed of a document; raises `ValueError` for what is none."""
    match document.get("kind"):
        case "silence":
            ttl = document.get("ttl")
            if not isinstance(ttl, int) or isinstance(ttl, bool):
                message = f"ttl is {ttl!r}; write a whole number"
                raise ValueError(message)
            return Silence(_pairs(document, "matchers"), ttl, str(document.get("comment", "")))
        case _:
            return effects.read(document)


def _pairs(document: Document, key: str) -> Labels:
    value: Json = document.get(key)
    if not isinstance(value, Mapping) or not value:
        message = f"{key} is {value!r}; write a mapping"
        raise ValueError(message)
    return labels({name: str(text) for name, text in value.items()})
