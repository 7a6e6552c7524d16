"""The schema of the list of endpoints; policies have those of their own projects."""

from typing import Final

from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema
from netsre.model.policies import parts as policy_parts
from netsre.model.policies.values import LAST_PORT, RESERVED, WITH_PORTS

_DRAFT: Final = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def listed() -> Schema:
    """Return the schema of the list."""
    labels = _labels("Of the endpoint; one that begins with reserved: says what it is instead.")
    reserved = "|".join(sorted(RESERVED))
    labels["propertyNames"] = {"pattern": f"^(?:reserved:(?:{reserved})|{policy_parts.LABEL_KEY.pattern})$"}
    endpoint = parts.mapping(
        "One end of connections that is known by name.",
        {"name": _name("Unique in its namespace.")},
        {
            "namespace": _name("default, where there is none."),
            "labels": labels,
            "namespaceLabels": _labels("Of its namespace; once for each is enough."),
            "ips": parts.sequence("Its addresses, IPv4 and IPv6.", parts.text("An address.")),
            "interface": parts.text(
                "The network interface on its node; from there, only addresses listed for it are believed."
            ),
            "namedPorts": _named_ports(),
        },
    )
    return {
        **_DRAFT,
        "title": "Endpoints",
        **parts.sequence("The endpoints that policies are about.", endpoint),
    }


def _name(about: str) -> Schema:
    instead = "Lower-case letters, digits, inner dashes and dots."
    return parts.pattern(about, policy_parts.OBJECT_NAME.pattern, instead) | {"type": list(parts.SCALARS)}


def _labels(about: str) -> Schema:
    value = parts.pattern(
        "A value.", policy_parts.LABEL_VALUE.pattern, "At most 63 letters, digits, - _ and ."
    )
    return {
        "description": about,
        "type": "object",
        "propertyNames": {"pattern": f"^{policy_parts.LABEL_KEY.pattern}$"},
        "additionalProperties": value | {"type": list(parts.SCALARS)},
    }


def _named_ports() -> Schema:
    about = (
        "Its ports by name: a mapping such as {http: 8080, dns: 53/UDP}, or a list as that of a container."
    )
    number = parts.whole("A port.", minimum=1, maximum=LAST_PORT)
    port = {
        "description": "A port, with its protocol where that is not TCP.",
        "type": ["integer", "string"],
        "pattern": f"^[0-9]{{1,5}}(?:/(?:{'|'.join(WITH_PORTS)}))?$",
        "minimum": 1,
        "maximum": LAST_PORT,
    }
    name = {"pattern": f"^{policy_parts.PORT_NAME.pattern}$"}
    listed = parts.mapping(
        "One port.",
        {"name": {**parts.text("Its name."), **name}, "port": number},
        {"protocol": parts.choice("TCP, where there is none.", WITH_PORTS)},
    )
    return {
        "description": about,
        "type": ["object", "array"],
        "propertyNames": name,
        "additionalProperties": port,
        "items": listed,
    }
