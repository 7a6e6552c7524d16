"""The services of a Cilium rule: `toPorts` and `icmps`."""

from types import MappingProxyType
from typing import Final

from netsre.model import literals, values
from netsre.model.policies import codes, parts
from netsre.model.policies.values import LAST_ICMP_TYPE, LAST_PORT, WITH_PORTS, Ports, Protocol

_ANY: Final = "ANY"
_LAYER_7: Final = ("rules", "terminatingTLS", "originatingTLS", "serverNames", "listener")
_FAMILIES: Final = MappingProxyType({"IPv4": Protocol.ICMP, "IPv6": Protocol.ICMPV6})
_TYPES: Final = MappingProxyType(
    {
        Protocol.ICMP: {
            "EchoReply": 0,
            "DestinationUnreachable": 3,
            "Redirect": 5,
            "Echo": 8,
            "EchoRequest": 8,
            "RouterAdvertisement": 9,
            "RouterSelection": 10,
            "TimeExceeded": 11,
            "ParameterProblem": 12,
            "Timestamp": 13,
            "TimestampReply": 14,
        },
        Protocol.ICMPV6: {
            "DestinationUnreachable": 1,
            "PacketTooBig": 2,
            "TimeExceeded": 3,
            "ParameterProblem": 4,
            "EchoRequest": 128,
            "EchoReply": 129,
            "MulticastListenerQuery": 130,
            "MulticastListenerReport": 131,
            "MulticastListenerDone": 132,
            "RouterSolicitation": 133,
            "RouterAdvertisement": 134,
            "NeighborSolicitation": 135,
            "NeighborAdvertisement": 136,
            "RedirectMessage": 137,
        },
    }
)
"""Types of ICMP by their names; every other by its number."""


def read(part: values.Mapping, *, deny: bool) -> tuple[tuple[Ports, ...] | None, bool]:
    """Return the services of a rule (None: any), and whether it says anything about services."""
    to_ports = part.sequence("toPorts", required=False)
    icmps = part.sequence("icmps", required=False)
    by_port = to_ports is not None and bool(to_ports.nodes)
    by_type = icmps is not None and bool(icmps.nodes)
    if by_port and by_type:
        part.wrong("icmps", codes.PORT, "stands beside toPorts; write two rules")
    found: list[Ports] = []
    anything = False
    for one in to_ports.mappings() if to_ports is not None else ():
        wanted = _port_rule(one, deny=deny)
        anything |= wanted is None
        found += wanted or ()
    for one in icmps.mappings() if icmps is not None else ():
        fields = one.sequence("fields")
        one.end()
        types = [_icmp(entry) for entry in (fields.mappings() if fields is not None else ())]
        found += [found_type for found_type in types if found_type is not None]
    written = by_port or by_type
    return (tuple(found) if written and not anything else None), written


def _port_rule(part: values.Mapping, *, deny: bool) -> tuple[Ports, ...] | None:
    listed = part.sequence("ports")
    if not deny:
        for key in _LAYER_7:
            parts.refuse(part, [key], f"is about layer 7{_of_rules(part, key)}, which is not enforced")
    part.end()
    if listed is not None and not listed.nodes:
        part.wrong("ports", codes.PORT, "is empty and matches nothing; leave toPorts out for every port")
    found = [_ports(one) for one in (listed.mappings() if listed is not None else ())]
    if any(ports is None for ports in found):
        return None
    return tuple(one for ports in found if ports is not None for one in ports)


def _of_rules(part: values.Mapping, key: str) -> str:
    """Return which protocols of layer 7 a rule names, for the message."""
    rules = part.value(key, required=False) if key == "rules" else None
    return f" ({', '.join(rules.keys())})" if isinstance(rules, values.Mapping) and rules.keys() else ""


def _ports(part: values.Mapping) -> tuple[Ports, ...] | None:
    """Return a port in every protocol that is meant; None for whatever there is."""
    word = part.scalar("protocol", required=False)
    accepted = (*WITH_PORTS, _ANY)
    if word is not None and word.value.upper() in {"ICMP", "ICMPV6"}:
        word.wrong(codes.UNSUPPORTED, f"{literals.shown(word.value)} has no ports; write a rule with icmps")
        protocol = None
    else:
        protocol = word.choice(*accepted) if word is not None else _ANY
    scalar = part.scalar("port")
    name = scalar.value.lower() if scalar is not None else ""
    if scalar is None or parts.PORT_NAME.fullmatch(name):
        parts.end_port(part, None)
        part.end()
        return tuple(Ports(one, name=name) for one in _protocols(protocol))
    first = scalar.read(lambda text: parts.number(text, least=0), codes.PORT)
    last = parts.end_port(part, first or None) if first is not None else None
    part.skip("endPort")
    part.end()
    if first == 0:
        # As upstream, 0 is every port.
        return None if protocol == _ANY else tuple(Ports(one, 0, LAST_PORT) for one in _protocols(protocol))
    return tuple(Ports(one, first or 0, last or first or 0) for one in _protocols(protocol))


def _protocols(word: str | None) -> tuple[Protocol, ...]:
    return WITH_PORTS if word == _ANY else (Protocol(word),) if word is not None else ()


def _icmp(part: values.Mapping) -> Ports | None:
    family = part.choice("family", *_FAMILIES, required=False) or "IPv4"
    protocol = _FAMILIES[family]
    scalar = part.scalar("type")
    part.end()
    kind = scalar.read(lambda text: _type(text, protocol), codes.ICMP) if scalar is not None else None
    return Ports(protocol, kind, kind) if kind is not None else None


def _type(text: str, protocol: Protocol) -> int:
    names = _TYPES[protocol]
    if text in names:
        return names[text]
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= LAST_ICMP_TYPE:
        return int(text)
    hint = literals.guess(text, names) or f"; write a number from 0 to {LAST_ICMP_TYPE}"
    raise ValueError(f"{literals.shown(text)} is no type of {protocol}{hint}")
