"""What every answer of the controller tells browsers, once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SAFE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }
)
"""For answers that are no page: nothing in them runs, is framed, is kept, or tells others of us."""
