"""The codes of findings in files of workloads; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

NETWORK: Final = "WLD001"
PORT: Final = "WLD002"
NOTHING: Final = "WLD003"
DUPLICATE: Final = "WLD004"
RESERVED: Final = "WLD005"
TOO_MANY: Final = "WLD006"
SERVICE: Final = "WLD007"

CODES: Final = MappingProxyType(
    {
        NETWORK: "Not a network.",
        PORT: "Not a port.",
        NOTHING: "A workload that nothing can be.",
        DUPLICATE: "Two workloads have one name.",
        RESERVED: "The name is one that netsre gives by itself.",
        TOO_MANY: "More networks and ports than the kernel's table holds.",
        SERVICE: "A service that is not one address and one port.",
    }
)
"""Every code, with what it says; stable, never reused."""
