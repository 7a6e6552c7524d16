"""The codes of findings in files of services; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

ADDRESS: Final = "BAL001"
TAKEN: Final = "BAL002"
PORT: Final = "BAL003"
WEIGHT: Final = "BAL004"
FAMILY: Final = "BAL005"
NAME: Final = "BAL006"
TOO_MANY: Final = "BAL007"

CODES: Final = MappingProxyType(
    {
        ADDRESS: "Not an address of one host.",
        TAKEN: "A name, or an address with its port, that another service has; or a backend written twice.",
        PORT: "Not a port of a service or of a backend.",
        WEIGHT: "Not a weight.",
        FAMILY: "A backend of a family of addresses that its service has no address of.",
        NAME: "Not a name of a service.",
        TOO_MANY: "More backends than can be balanced evenly.",
    }
)
"""Every code, with what it says; stable, never reused."""
