"""The schema of the list of services that netsre balances."""

from typing import Final

from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema
from netsre.model.balance.values import MOST_WEIGHT
from netsre.model.policies import parts as policy_parts
from netsre.model.policies.values import LAST_PORT, WITH_PORTS

_DRAFT: Final = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def listed() -> Schema:
    """Return the schema of the list."""
    backend = parts.mapping(
        "Who answers for the service.",
        {"address": parts.text("Its address, IPv4 or IPv6."), "port": _port("Its own port.")},
        {
            "weight": parts.whole(
                "Its share of new connections is its weight by the sum of all; 1, where there is none.",
                minimum=1,
                maximum=MOST_WEIGHT,
            ),
            "draining": parts.choice(
                "Nobody new is sent to it; who has it keeps it.", [True, False, "true", "false"]
            ),
        },
    )
    service = parts.mapping(
        "One port of a service.",
        {
            "name": _name("Unique in its namespace, with port and protocol."),
            "addresses": parts.sequence(
                "Its own addresses, IPv4 and IPv6.", parts.text("An address."), least=1
            ),
            "port": _port("Where it is asked."),
            "backends": parts.sequence("Who answers; a service with none is refused.", backend),
        },
        {
            "namespace": _name("default, where there is none."),
            "protocol": parts.choice("TCP, where there is none.", WITH_PORTS),
        },
    )
    return {**_DRAFT, "title": "Services", **parts.sequence("The services that are balanced.", service)}


def _name(about: str) -> Schema:
    instead = "Lower-case letters, digits, inner dashes and dots."
    return parts.pattern(about, policy_parts.OBJECT_NAME.pattern, instead) | {"type": list(parts.SCALARS)}


def _port(about: str) -> Schema:
    return parts.whole(about, minimum=1, maximum=LAST_PORT)
