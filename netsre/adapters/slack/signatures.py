"""Tells what Slack sent from what somebody else did: the signature over time and raw body."""

import re
from typing import Final

from slack_sdk.signature import Clock, SignatureVerifier

_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_HEX: Final = re.compile(r"v0=[0-9a-f]{64}")
_WINDOW: Final = 300
"""Seconds that a request may be old, or ahead."""


def genuine(secret: str, timestamp: str, signature: str, body: bytes, now: int) -> bool:
    """Tell whether Slack sent this, within five minutes of `now` (Unix seconds); never raises.

    The library raises for a time that is no number, a body that is no UTF-8 and a signature that is no ASCII;
    all of these are somebody else's.
    """
    if _WHOLE.fullmatch(timestamp) is None or _HEX.fullmatch(signature) is None:
        return False
    if abs(now - int(timestamp)) > _WINDOW:
        return False
    verifier = SignatureVerifier(secret, _Now(now))
    try:
        return bool(verifier.is_valid(body, timestamp, signature))
    except ValueError:
        return False


class _Now(Clock):
    """The time as the library asks for it."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return float(self._seconds)
