"""Readings on the wire: Prometheus text, OpenMetrics or protobuf, whichever the client asks for."""

from typing import Final

from prometheus_client.exposition import choose_encoder

from netsre.adapters.exposition import protobuf
from netsre.adapters.exposition.text import text
from netsre.metrics.readings import Readings

_PROTOBUF, *_WORDS = protobuf.CONTENT_TYPE.split("; ")
_DELIMITED: Final = dict(word.split("=") for word in _WORDS)
_OPENMETRICS: Final = "application/openmetrics-text"
_TEXTS: Final = ("text/plain", _OPENMETRICS)
_ESCAPES: Final = ("escaping=dots", "escaping=values")
"""Ways to write names for those who cannot read all of them. Ours can be read by everybody, as they are."""


def render(readings: Readings, accept: str, *, may_be_protobuf: bool = False) -> tuple[bytes, str]:
    """Return (body, content type) for a client that sent this `Accept` header.

    Protobuf is for native histograms, and is there where they are. Raises `KeyError` for a metric that is not
    in the registry.
    """
    if may_be_protobuf and _prefers_protobuf(accept):
        return protobuf.render(readings), protobuf.CONTENT_TYPE
    try:
        _, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the library's, about a version that is no number
        _, content_type = choose_encoder("")
    if content_type.endswith(_ESCAPES):
        _, content_type = choose_encoder("")
    return text(readings, openmetrics=content_type.startswith(_OPENMETRICS)), content_type


def _prefers_protobuf(accept: str) -> bool:
    """Tell whether no text is asked for more urgently; what is not understood is not asked for."""
    asked = {"protobuf": 0.0, "text": 0.0}
    for part in accept.split(","):
        media, *rest = (word.strip() for word in part.split(";"))
        options = {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in rest)}
        try:
            quality = float(options.pop("q", "1"))
        except ValueError:
            continue
        if media == _PROTOBUF and options == _DELIMITED:
            asked["protobuf"] = max(asked["protobuf"], quality)
        elif media in _TEXTS:
            asked["text"] = max(asked["text"], quality)
    return asked["protobuf"] > 0 and asked["protobuf"] >= asked["text"]
