"""The file of endpoints becomes `Endpoint`s: a YAML list, everything or, with every finding, nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from netsre.model import linting, literals, specs, values
from netsre.model.policies import codes, parts
from netsre.model.policies.values import (
    RESERVED,
    WITH_PORTS,
    Address,
    Endpoint,
    Kind,
    NamedPort,
    Protocol,
    Scope,
)

_SOURCE: Final = "reserved:"
_NAME_BYTES: Final = 15
_LABELS: Final = parts.plain_key(Scope.LABEL)


def parse(texts: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Read files (name to text) strictly, in their order; raises `SpecErrors` with all findings."""
    findings = linting.Findings()
    found: list[Endpoint] = []
    taken: dict[str | Address, Endpoint] = {}
    instead = "write a list of endpoints, or []"
    for file, text in texts.items():
        for root in specs.roots(text, file, instead, findings):
            if not isinstance(root, values.Sequence):
                message = (
                    "the document is no list; write one of entries such as - {name: web, ips: [10.1.0.7]}"
                )
                findings.add(root.origin, linting.SHAPE, message)
                continue
            for part in root.mappings():
                endpoint = _endpoint(part)
                _refuse_taken(part, endpoint, taken)
                found.append(endpoint)
    shared = _namespace_labels(found, findings)
    findings.raise_if_any()
    return tuple(
        replace(one, namespace_labels=one.namespace_labels or shared.get(one.namespace, {})) for one in found
    )


def _endpoint(part: values.Mapping) -> Endpoint:
    name = part.scalar("name")
    named = name.read(parts.object_name, codes.ENDPOINT_NAME) if name is not None else None
    namespace = part.scalar("namespace", required=False)
    placed = namespace.read(parts.object_name, codes.ENDPOINT_NAME) if namespace is not None else "default"
    labels, kind = _kind(part, _labels(part, "labels"))
    listed = part.sequence("ips", required=False)
    ips = [one.read(parts.address, codes.ADDRESS) for one in (listed.scalars() if listed is not None else ())]
    endpoint = Endpoint(
        named or "",
        placed or "",
        labels,
        _labels(part, "namespaceLabels"),
        tuple(ip for ip in ips if ip is not None),
        _interface(part),
        tuple(_named_ports(part)),
        part.origin,
        kind,
    )
    part.end()
    return endpoint


def _interface(part: values.Mapping) -> str | None:
    scalar = part.scalar("interface", required=False)
    return scalar.read(_interface_name, codes.INTERFACE) if scalar is not None else None


def _interface_name(text: str) -> str:
    """Return what the kernel takes as a name (`dev_valid_name`), if it can also be shown."""
    plain = text.isprintable() and not {*text} & {"/", ":", " "} and text not in {"", ".", ".."}
    if not plain or len(text.encode()) > _NAME_BYTES:
        raise ValueError(
            f"{literals.shown(text)} is no interface; write its name as ip link shows it, at most 15 bytes"
        )
    return text


def _labels(part: values.Mapping, key: str) -> dict[str, str]:
    labels = part.mapping(key, required=False)
    if labels is None:
        return {}
    found = labels.pairs()
    for name, value in found.items():
        if not name.startswith(_SOURCE):
            _LABELS(labels, name)
        if not parts.LABEL_VALUE.fullmatch(value):
            message = (
                f"{literals.shown(value)} is no value of a label; use at most 63 letters, digits, - _ and ."
            )
            labels.wrong(name, codes.SELECTOR, message)
    return found


def _kind(part: values.Mapping, labels: dict[str, str]) -> tuple[dict[str, str], Kind]:
    """Return the labels without the reserved one, and what that one says the entry is."""
    names = [key.removeprefix(_SOURCE) for key in labels if key.startswith(_SOURCE)]
    wrong = [name for name in names if name not in RESERVED]
    for name in wrong:
        hint = literals.nearest(name, RESERVED)
        part.wrong("labels", codes.RESERVED, f"{_SOURCE}{name} is no reserved name of an entry{hint}")
    if len(names) > 1:
        part.wrong("labels", codes.RESERVED, f"have {len(names)} reserved names; write one")
    kind = Kind(names[0]) if names and not wrong else Kind.ENDPOINT
    return {key: value for key, value in labels.items() if not key.startswith(_SOURCE)}, kind


def _named_ports(part: values.Mapping) -> Iterable[NamedPort]:
    """Yield the named ports: `{http: 8080, dns: 53/UDP}`, or a list as that of a container."""
    value = part.value("namedPorts", required=False)
    if isinstance(value, values.Mapping):
        names = value.keys()
        for name in names:
            scalar = value.scalar(name)
            read = scalar.read(_port, codes.NAMED_PORT) if scalar is not None else None
            _refuse_name(value, name)
            if read is not None:
                yield NamedPort(name, read[1], read[0])
    elif isinstance(value, values.Sequence):
        for one in value.mappings():
            text = one.text("name") or ""
            scalar = one.scalar("port")
            word = one.choice("protocol", *WITH_PORTS, required=False)
            one.end()
            _refuse_name(one, text)
            port = scalar.read(parts.number, codes.NAMED_PORT) if scalar is not None else None
            if port is not None:
                yield NamedPort(text, Protocol(word or Protocol.TCP), port)
    elif value is not None:
        value.wrong(linting.SHAPE, "is a single value; write a mapping such as {http: 8080, dns: 53/UDP}")


def _refuse_name(part: values.Mapping, name: str) -> None:
    if not parts.PORT_NAME.fullmatch(name):
        message = (
            f"{literals.shown(name)} is no name of a port; use at most 15 lower-case letters, digits and -"
        )
        part.findings.add(part.origin, codes.NAMED_PORT, f"{part.path} {message}")


def _port(text: str) -> tuple[int, Protocol]:
    number, _, word = text.partition("/")
    if word and word not in WITH_PORTS:
        raise ValueError(f"{literals.shown(text)} is no port of TCP, UDP or SCTP; write one such as 53/UDP")
    return parts.number(number), Protocol(word or Protocol.TCP)


def _refuse_taken(part: values.Mapping, endpoint: Endpoint, taken: dict[str | Address, Endpoint]) -> None:
    """Report a name or an address that an earlier entry has: nobody could say whose a packet is."""
    for key, thing in (("name", endpoint.full_name), *(("ips", ip) for ip in endpoint.ips)):
        earlier = taken.setdefault(thing, endpoint)
        if earlier is not endpoint and endpoint.name:
            place = f"{earlier.origin.file}:{earlier.origin.line}"
            part.wrong(key, codes.TAKEN, f"{thing} is that of {earlier.full_name} in {place}; write it once")


def _namespace_labels(
    endpoints: Iterable[Endpoint], findings: linting.Findings
) -> dict[str, Mapping[str, str]]:
    """Return the labels of each namespace; entries may leave them out, and must not disagree."""
    found: dict[str, Mapping[str, str]] = {}
    for one in endpoints:
        if not one.namespace_labels:
            continue
        known = found.setdefault(one.namespace, one.namespace_labels)
        if known != one.namespace_labels:
            message = f"namespaceLabels of {one.namespace} are others in an earlier entry; write the same"
            findings.add(one.origin, codes.NAMESPACE_LABELS, message)
    return found
