"""How numbers, lengths of time and names are written in files and on the command line.

Each reader returns an exact value or raises `ValueError` with what is wrong and what to write instead.
"""

import difflib
import ipaddress
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from netsre import clock

NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_UNITS: Final = (clock.DAY, clock.HOUR, clock.MINUTE, clock.SECOND, 1)
_LONGEST_DURATION: Final = 36_500 * clock.DAY
SIZE: Final = re.compile(r"([0-9]{1,15})([KMG])?", re.ASCII)
NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
ALERT_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}", re.ASCII)
_SHOWN: Final = 60
"""Longest part of a wrong value that a message repeats."""


def parse_exact(text: str) -> Fraction:
    """Read a decimal number exactly; anything else, also `1e3`, `.5` and `99,9`, raises `ValueError`."""
    if NUMBER.fullmatch(text):
        return Fraction(text)
    if NUMBER.fullmatch(text.replace(",", ".", 1)):
        message = f"{shown(text)} is not a decimal number; write {text.replace(',', '.', 1)}"
    elif NUMBER.fullmatch(text.removesuffix("%").strip()):
        number = text.removesuffix("%").strip()
        message = f"{shown(text)} is not a decimal number; write {number} without a sign"
    else:
        message = f"{shown(text)} is not a decimal number; write digits such as 99.9"
    raise ValueError(message)


def parse_percent(text: str) -> Fraction:
    """Read `2%` as 1/50; a number without its sign raises `ValueError`."""
    number = text.removesuffix("%")
    if number == text or not NUMBER.fullmatch(number):
        raise ValueError(f"{shown(text)} is not a percentage; write a number and its sign, such as 2%")
    return Fraction(number) / 100


def parse_duration(text: str) -> int:
    """Read `5m`, `1h30m`, `30d` or `250ms` as milliseconds; zero and negative lengths raise `ValueError`."""
    if text.startswith("-"):
        raise ValueError(f"{shown(text)} is negative; write a length of time such as 5m")
    parts = DURATION.fullmatch(text)
    if text.isascii() and text.isdigit():
        raise ValueError(f"{shown(text)} has no unit; write {text}s, {text}m, {text}h or {text}d")
    if not text or parts is None or len(text) > _SHOWN:
        raise ValueError(f"{shown(text)} is not a length of time; write one such as 250ms, 5m, 1h30m or 30d")
    length = sum(int(count or 0) * unit for count, unit in zip(parts.groups(), _UNITS, strict=True))
    if not 0 < length <= _LONGEST_DURATION:
        raise ValueError(f"{shown(text)} is outside 1ms to 36500d; write a length of time such as 5m")
    return length


def parse_size(text: str) -> int:
    """Read `64M`, `1G` or `65536` as bytes (K, M and G are powers of 1024); raises `ValueError`."""
    parts = SIZE.fullmatch(text)
    if parts is None:
        raise ValueError(f"{shown(text)} is not a size; write one such as 64M or 1G")
    return int(parts[1]) << {None: 0, "K": 10, "M": 20, "G": 30}[parts[2]]


def parse_name(text: str) -> str:
    """Return the text when it is a name: lower-case letters, digits and inner dashes, at most 63."""
    if not NAME.fullmatch(text):
        raise ValueError(
            f"{shown(text)} is not a name; use at most 63 lower-case letters, digits and inner dashes"
        )
    return text


def parse_alert_name(text: str) -> str:
    """Return the text when it names an alert: a capital letter, then letters and digits, at most 63."""
    if not ALERT_NAME.fullmatch(text):
        raise ValueError(
            f"{shown(text)} is not the name of an alert; "
            "begin with a capital letter and use at most 63 letters and digits"
        )
    return text


def is_address(text: str) -> bool:
    """Tell whether a text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def shown(text: str) -> str:
    """Return a value as messages repeat it: quoted, on one line, and not longer than a line bears."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def printable(text: str) -> str:
    """Return a text on one line, with everything escaped that a terminal would obey or hide."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known word most like this one, else the words that are known."""
    words = sorted(map(str, known))
    folded = {candidate.casefold(): candidate for candidate in words}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    return f"; known: {', '.join(words)}" if words else ""


def guess(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` when one known word is close to this one, else nothing."""
    hint = nearest(word, known)
    return hint if hint.startswith("; did") else ""
