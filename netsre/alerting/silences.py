"""Silences in the form of Alertmanager's API v2."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netsre import clock, conventions
from netsre.alerting import describe
from netsre.clock import Timestamp
from netsre.model.documents import Document


@dataclass(frozen=True, slots=True)
class Matcher:
    """What an alert must have, or must not have, to be silenced."""

    name: str
    value: str
    equal: bool = True
    regex: bool = False


NO_PAGE = Matcher("severity", conventions.SEVERITY_PAGE, equal=False)
"""Of every silence that automation makes."""
NO_CALL = Matcher("alertname", "|".join(sorted(describe.CALLS)), equal=False, regex=True)
"""Of the same: a question to people may be a ticket, and must come all the same."""
TICKETS = Matcher("severity", conventions.SEVERITY_TICKET)


def document(
    matchers: Iterable[Matcher], by: str, comment: str, begin: Timestamp, end: Timestamp
) -> Document:
    """Return a silence."""
    return {
        "matchers": [
            {"name": one.name, "value": one.value, "isRegex": one.regex, "isEqual": one.equal}
            for one in matchers
        ],
        "startsAt": clock.rfc3339(begin),
        "endsAt": clock.rfc3339(end),
        "createdBy": by,
        "comment": comment,
    }


@dataclass(frozen=True, slots=True)
class Found:
    """A silence that an Alertmanager has."""

    id: str
    lasts: bool
    """Whether it is not over."""


def found(listed: Iterable[object], by: str) -> list[Found]:
    """Return those of a list of silences that one has made; what is none is none of theirs."""
    return [
        Found(str(one.get("id", "")), _state(one) != "expired")
        for one in listed
        if isinstance(one, Mapping) and one.get("createdBy") == by
    ]


def _state(one: Mapping[object, object]) -> object:
    status = one.get("status")
    return status.get("state") if isinstance(status, Mapping) else None
