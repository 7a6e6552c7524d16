"""What a change does: an effect on the node, or something that others do for us, such as a silence.

Each is exact, has a key (`<run>/<step>`) and its own end, as effects have (`model.effects`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netsre.model import effects
from netsre.model.documents import Document, Json
from netsre.model.effects import DoneAtOnce, Effect, Flush, Setting
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


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    method: str
    url: str
    headers: Labels = ()
    body: str = ""
    """JSON as it is sent; empty: none."""
    expect: tuple[int, ...] = ()
    """Statuses that mean success; empty: any from 200 to 299."""


@dataclass(frozen=True, slots=True)
class Call:
    """A server that somebody else runs is asked to do something, once."""

    request: Request
    timeout: int
    """Milliseconds."""
    look: Request | None = None
    """Asks what became of it: success when it was done, 410 when it is over by now, 404 when it never was."""
    undo: Request | None = None
    """Takes it back."""


Outside = Silence | Call
"""What is done by others than the node."""
Deed = Effect | Outside


def setting(deed: Deed) -> Setting | None:
    """Return which field of the node a deed sets; None for one that sets none."""
    return None if isinstance(deed, Outside) else effects.setting(deed)


def reversible(deed: Deed) -> bool:
    """Tell whether it can be taken back: what is deleted stays deleted."""
    return deed.undo is not None if isinstance(deed, Call) else not isinstance(deed, Flush)


def lasting(deed: Deed) -> int | None:
    """Return after how many milliseconds it ends by itself; None for what is done at once, or has no end."""
    return None if isinstance(deed, DoneAtOnce | Call) else deed.ttl


def observable(deed: Deed) -> bool:
    """Tell whether anybody can be asked what became of it."""
    return not isinstance(deed, Call) or deed.look is not None


def write(deed: Deed) -> Document:
    """Return a deed as a document with its `kind`."""
    match deed:
        case Silence(matchers, ttl, comment):
            return {"kind": "silence", "matchers": dict(matchers), "ttl": ttl, "comment": comment}
        case Call(request, timeout, look, undo):
            asked = {"request": request, "look": look, "undo": undo}
            parts: Document = {key: None if one is None else _written(one) for key, one in asked.items()}
            return {"kind": "http_call", "timeout": timeout, **parts}
        case _:
            return effects.write(deed)


def known(document: Json) -> Deed | None:
    """Return the deed of a document on record; None for what is none, is of another version, or by hand."""
    try:
        return read(document) if isinstance(document, Mapping) else None
    except ValueError:
        return None


def read(document: Document) -> Deed:
    """Return the deed of a document; raises `ValueError` for what is none."""
    match document.get("kind"):
        case "silence":
            matchers, ttl = _pairs(document, "matchers"), _whole(document, "ttl")
            if not matchers:
                raise ValueError("the silence is of everything")
            return Silence(matchers, ttl, str(document.get("comment", "")))
        case "http_call":
            request, look, undo = (_request(document.get(key)) for key in ("request", "look", "undo"))
            if request is None:
                raise ValueError("the call has no request")
            return Call(request, _whole(document, "timeout"), look, undo)
        case _:
            return effects.read(document)


def _written(request: Request) -> Document:
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": request.body,
        "expect": request.expect,
    }


def _request(value: Json) -> Request | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        message = f"{value!r} is no request"
        raise ValueError(message)
    expect = value.get("expect")
    statuses = expect if isinstance(expect, Sequence) else ()
    return Request(
        str(value.get("method", "")),
        str(value.get("url", "")),
        _pairs(value, "headers"),
        str(value.get("body", "")),
        tuple(status for status in statuses if isinstance(status, int)),
    )


def _pairs(document: Document, key: str) -> Labels:
    value: Json = document.get(key)
    if not isinstance(value, Mapping):
        message = f"{key} is {value!r}; write a mapping"
        raise ValueError(message)
    return labels({name: str(text) for name, text in value.items()})


def _whole(document: Document, key: str) -> int:
    value: Json = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        message = f"{key} is {value!r}; write a whole number above 0"
        raise ValueError(message)
    return value
