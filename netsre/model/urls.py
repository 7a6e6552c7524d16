"""Addresses that may be called, in one strict form: what lies below one is told by its text alone."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

_HOST: Final = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_ORIGIN: Final = rf"https?://(?:{_HOST}|\[[0-9a-f:]+\])(?::[1-9][0-9]{{0,4}})?"
_PARTS: Final = re.compile(rf"https?://(?:{_HOST}|\[([0-9a-f:]+)\])(?::([0-9]+))?", re.ASCII)
"""Address in brackets, and port."""
_PATH: Final = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*"
URL: Final = re.compile(rf"{_ORIGIN}{_PATH}(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?", re.ASCII)
PREFIX: Final = re.compile(rf"{_ORIGIN}{_PATH}", re.ASCII)
LONGEST: Final = 1_000
_LAST_PORT: Final = 65_535


def problem(text: str, form: re.Pattern[str] = URL) -> str | None:
    """Return what is wrong with an address, or None."""
    if form.fullmatch(text) is None or len(text) > LONGEST or not _exists(text):
        return (
            "is no plain address; write one such as https://tools.example/drain, with a host in small letters"
        )
    # What follows a semicolon belongs to a segment for some servers, which leave it out and then go up.
    if {".", ".."} & {segment.partition(";")[0] for segment in text.partition("?")[0].split("/")}:
        return "has a path that leads elsewhere; write it without dots alone"
    return None


def allowed(url: str, prefixes: Iterable[str]) -> bool:
    """Tell whether an address is one of some prefixes, or lies below one: `/a` has `/a/b`, and not `/ab`."""
    if problem(url) is not None:
        return False
    return any(
        url == prefix or url.startswith((f"{prefix.rstrip('/')}/", f"{prefix}?")) for prefix in prefixes
    )


def _exists(text: str) -> bool:
    """Tell whether there can be such an address in brackets, and such a port."""
    six, port = found.groups() if (found := _PARTS.match(text)) else (None, None)
    try:
        _ = None if six is None else ipaddress.IPv6Address(six)
    except ValueError:
        return False
    return port is None or int(port) <= _LAST_PORT
