"""How a step is gone about, as a document; what is usual is left out, so that older texts keep their hash."""

from collections.abc import Mapping
from typing import Final

from netsre.model.documents import Document, Json
from netsre.model.runbooks import Manner, OnFailure, Retry, Round
from netsre.runbook import conditions

_WAYS: Final[Mapping[str, OnFailure]] = {"stop": "stop", "undo": "undo", "continue": "continue"}


def write(manner: Manner) -> Document:
    """Return what is unusual about a step, by the keys of a plan."""
    found: dict[str, Json] = {}
    if manner.timeout is not None:
        found["timeout"] = manner.timeout
    if manner.retry is not None:
        found["retry"] = {"times": manner.retry.times, "wait": manner.retry.wait}
    if manner.on_failure is not None:
        found["onFailure"] = manner.on_failure
    if manner.round is not None:
        found["round"] = _round(manner.round)
    if manner.sees:
        found["sees"] = dict(manner.sees)
    return found


def read(document: Mapping[str, Json]) -> Manner:
    """Return the manner of a step of a plan; raises `ValueError` for what is none."""
    timeout, retry, on_failure, loop = (
        document.get(key) for key in ("timeout", "retry", "onFailure", "round")
    )
    return Manner(
        None if timeout is None else _whole(document, "timeout"),
        None if retry is None else Retry(_whole(retry, "times"), _whole(retry, "wait")),
        None if on_failure is None else _way(on_failure),
        None if loop is None else _read_round(loop),
        _sees(document),
    )


def _way(value: Json) -> OnFailure:
    way = _WAYS.get(str(value))
    if way is None:
        message = f"{value!r} is nothing that may follow a failure"
        raise ValueError(message)
    return way


def _round(place: Round) -> Document:
    return {
        "loop": place.loop,
        "number": place.number,
        "times": place.times,
        "until": conditions.text(place.until),
        "wait": place.wait,
        "first": place.first,
        **({"sees": dict(place.sees)} if place.sees else {}),
    }


def _read_round(value: Json) -> Round:
    loop, number, times, wait = (_whole(value, key) for key in ("loop", "number", "times", "wait"))
    until, first = (value.get(key) for key in ("until", "first")) if isinstance(value, Mapping) else ("", "")
    return Round(loop, number, times, conditions.parse(str(until)), wait, first is True, _sees(value))


def _sees(value: Json) -> tuple[tuple[str, int], ...]:
    sees = value.get("sees") if isinstance(value, Mapping) else None
    return tuple((name, _whole(sees, name)) for name in sees) if isinstance(sees, Mapping) else ()


def _whole(value: Json, key: str) -> int:
    number = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(number, int) or isinstance(number, bool):
        message = f"{key} is {number!r}; a whole number belongs there"
        raise ValueError(message)
    return number
