"""Something that people, or their deploys, say that they did: incidents have it in their order."""

from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.clock import Timestamp

LONGEST_TEXT: Final = 500
PAST: Final = 30 * clock.DAY
AHEAD: Final = 5 * clock.MINUTE
"""How far from now an event may be: whoever says it may have another clock."""
KIND: Final = "^[a-z][a-z0-9-]{0,31}$"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, as somebody said it."""

    id: str
    """Given by whoever says it, so that saying it twice is saying it once."""
    kind: str
    """`deploy`, `config`, or any other word in the form of `KIND`."""
    node: str
    """Which node it is about; empty: all of them."""
    text: str
    at: Timestamp
    said_at: Timestamp
    person: str
