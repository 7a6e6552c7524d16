"""Files that name the ends of connections become `Workload`s: everything or, with every finding, nothing."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from netsre.datapath import codes
from netsre.datapath.flows import DESTINATIONS
from netsre.datapath.workloads import HOST, MOST_RULES, Workload, rules
from netsre.model import linting, literals, specs, values

KIND: Final = "Workloads"
RESERVED: Final = frozenset({HOST, *DESTINATIONS})
"""Names of ends that no file names."""
_LAST_PORT: Final = 65_535

Network = IPv4Network | IPv6Network


def parse(texts: Mapping[str, str]) -> tuple[Workload, ...]:
    """Read files (name to text) strictly, in their order; raises `SpecErrors` with all findings."""
    findings = linting.Findings()
    documents = [
        document for file, text in texts.items() for document in specs.documents(text, file, {KIND}, findings)
    ]
    specs.refuse_duplicates(documents, codes.DUPLICATE, "file of workloads", findings)
    found: dict[str, Workload] = {}
    for document in documents:
        document.metadata.end()
        listed = document.spec.sequence("workloads")
        document.spec.end()
        for part in listed.mappings() if listed is not None else ():
            workload = _workload(part)
            if workload.name and workload.name in found:
                part.wrong("name", codes.DUPLICATE, f"{workload.name} is written before; write it once")
            found.setdefault(workload.name, workload)
        many = len(rules(found.values()))
        if many > MOST_RULES:
            message = f"comes to {many} pairs of a network and a port; write at most {MOST_RULES}"
            document.spec.wrong("workloads", codes.TOO_MANY, message)
    findings.raise_if_any()
    return tuple(found.values())


def _workload(part: values.Mapping) -> Workload:
    name = part.name("name")
    if name in RESERVED:
        part.wrong("name", codes.RESERVED, f"{name} is a name that netsre gives by itself; choose another")
    networks = part.sequence("cidrs", required=False)
    ports = part.sequence("ports", required=False)
    patterns = {key: _texts(part, key) for key in ("cgroups", "namespaces")}
    service = part.choice("service", "true", "false", required=False) == "true"
    part.end()
    anywhere = networks is not None and networks.nodes
    if not anywhere and not any(patterns.values()):
        known = "cidrs, cgroups or namespaces"
        part.wrong("name", codes.NOTHING, f"is of no end of a connection; write {known}")
    if ports is not None and not anywhere:
        part.wrong("ports", codes.NOTHING, "are of destinations; write cidrs, such as ['0.0.0.0/0']")
    found = [_network(one) for one in (networks.scalars() if networks is not None else ())]
    wanted = [_port(one) for one in (ports.scalars() if ports is not None else ())]
    if service and not (_is_one_address(found) and len(wanted) == 1):
        part.wrong(
            "service",
            codes.SERVICE,
            "is of one address and one port; write cidrs: [ADDRESS/32], ports: [PORT]",
        )
    return Workload(
        name or "",
        tuple(network for network in found if network is not None),
        tuple(port for port in wanted if port is not None),
        service=service,
        cgroups=patterns["cgroups"],
        namespaces=patterns["namespaces"],
    )


def _is_one_address(networks: Sequence[Network | None]) -> bool:
    """Tell whether there is one network, and one address in it; what was found wrong already is let pass."""
    return len(networks) == 1 and (networks[0] is None or networks[0].num_addresses == 1)


def _texts(part: values.Mapping, key: str) -> tuple[str, ...]:
    sequence = part.sequence(key, required=False)
    return sequence.texts() if sequence is not None else ()


def _network(scalar: values.Scalar) -> Network | None:
    try:
        return ip_network(scalar.value)
    except ValueError:
        pass
    try:
        meant = f"; write {ip_network(scalar.value, strict=False)}"
    except ValueError:
        meant = "; write one such as 10.1.0.0/16"
    scalar.wrong(codes.NETWORK, f"{literals.shown(scalar.value)} is no network{meant}")
    return None


def _port(scalar: values.Scalar) -> int | None:
    digits = scalar.value.isascii() and scalar.value.isdigit() and len(scalar.value) <= len(str(_LAST_PORT))
    number = int(scalar.value) if digits else 0
    if 1 <= number <= _LAST_PORT:
        return number
    scalar.wrong(codes.PORT, f"{literals.shown(scalar.value)} is no port; write one from 1 to {_LAST_PORT}")
    return None
