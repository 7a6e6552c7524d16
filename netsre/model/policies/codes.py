"""The codes of findings in policies and endpoints; explained for people in `docs/codes.md`."""

from types import MappingProxyType
from typing import Final

NETWORK: Final = "POL001"
PORT: Final = "POL002"
SELECTOR: Final = "POL003"
PEER: Final = "POL004"
UNSUPPORTED: Final = "POL005"
EXCEPTION: Final = "POL006"
DUPLICATE: Final = "POL007"
NO_RULES: Final = "POL008"
ICMP: Final = "POL009"
NAME: Final = "POL010"

NO_ENDPOINT: Final = "POL101"
TOO_BROAD: Final = "POL102"
SHADOWED: Final = "POL103"
CONTRADICTED: Final = "POL104"
REPEATED: Final = "POL105"
NO_EFFECT: Final = "POL106"
NO_PEER: Final = "POL107"
UNUSED: Final = "POL108"

ADDRESS: Final = "END001"
TAKEN: Final = "END002"
NAMED_PORT: Final = "END003"
RESERVED: Final = "END004"
NAMESPACE_LABELS: Final = "END005"
ENDPOINT_NAME: Final = "END006"
INTERFACE: Final = "END007"

CODES: Final = MappingProxyType(
    {
        NETWORK: "Not a network.",
        PORT: "Not a port, or not a range of ports.",
        SELECTOR: "A requirement of a selector that cannot be asked.",
        PEER: "A peer that is none, or kinds of peers that cannot be in one rule.",
        UNSUPPORTED: "A part of the upstream format that netsre does not enforce.",
        EXCEPTION: "An exception that is not inside of its network.",
        DUPLICATE: "Two policies of one kind have one name.",
        NO_RULES: "A policy without a rule to read.",
        ICMP: "Not a type of ICMP.",
        NAME: "Not a name of a Kubernetes object.",
        NO_ENDPOINT: "A policy that selects no endpoint.",
        TOO_BROAD: "A rule that allows everybody everything.",
        SHADOWED: "A rule that another one makes superfluous.",
        CONTRADICTED: "A rule that allows what is always denied.",
        REPEATED: "The same rule twice.",
        NO_EFFECT: "A rule that nothing can match.",
        NO_PEER: "A peer that no endpoint is.",
        UNUSED: "A rule that explains no observed flow.",
        ADDRESS: "Not an address.",
        TAKEN: "A name or an address that another endpoint has.",
        NAMED_PORT: "Not a named port.",
        RESERVED: "Not a reserved name.",
        NAMESPACE_LABELS: "One namespace with different labels.",
        ENDPOINT_NAME: "Not a name of an endpoint.",
        INTERFACE: "Not a name of an interface.",
    }
)
"""Every code, with what it says; stable, never reused. `netsre policy lint` alone finds POL101 and up."""
