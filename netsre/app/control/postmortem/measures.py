"""How long each part of an incident took, and what is missing where that is not known."""

from collections.abc import Mapping
from typing import Final

from netsre.app.control.incidents.view import seconds
from netsre.app.control.postmortem.shapes import Measure
from netsre.clock import Timestamp

_PARTS: Final = (
    # name, title, from, to, definition, and why it may not be known
    ("detect", "Time to detect", "began", "detected", "from the begin of the trouble to the first alert",
     "nothing on record says when the trouble began"),
    ("page", "Time to page", "detected", "paged", "from the first alert to an Alertmanager that took it",
     "no Alertmanager took an alert of it"),
    ("mitigate", "Time to mitigate", "detected", "first_effect",
     "from the first alert to the first change that automation made", "automation changed nothing"),
    ("verify", "Time to verify", "detected", "verified",
     "from the first alert to the proof of a run that it helped", "no run proved that it helped"),
    ("close", "Time to close", "detected", "closed",
     "from the first alert to the end of the last alert and run", "it is still open"),
)  # fmt: skip


def measures(moments: Mapping[str, Timestamp | None]) -> list[Measure]:
    """Return the length of each part; `moments` are those of the incident, and `began`."""
    return [
        _measure(name, title, moments.get(start), moments.get(end), (definition, why))
        for name, title, start, end, definition, why in _PARTS
    ]


def _measure(
    name: str, title: str, start: Timestamp | None, end: Timestamp | None, words: tuple[str, str]
) -> Measure:
    definition, why = words
    reason = None
    if start is None and name != "detect":
        reason = "there is no alert on record"
    elif start is None or end is None:
        reason = why
    known = None if start is None or end is None else seconds(end - start)
    return Measure(name=name, title=title, definition=definition, seconds=known, reason=reason)
