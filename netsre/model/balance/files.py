"""The file of services becomes `Service`s: a YAML list, everything or, with every finding, nothing."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from netsre.model import linting, literals, specs, values
from netsre.model.balance import codes
from netsre.model.balance.values import MOST_BACKENDS, MOST_WEIGHT, Address, Backend, Service
from netsre.model.policies import parts
from netsre.model.policies.values import WITH_PORTS, Protocol

_Taken = dict[object, Service]


def parse(texts: Mapping[str, str]) -> tuple[Service, ...]:
    """Read files (name to text) strictly, in their order; raises `SpecErrors` with all findings."""
    findings = linting.Findings()
    found: list[Service] = []
    taken: _Taken = {}
    for file, text in texts.items():
        for root in specs.roots(text, file, "write a list of services, or []", findings):
            if not isinstance(root, values.Sequence):
                message = "the document is no list; write one of entries such as - {name: web, …}"
                findings.add(root.origin, linting.SHAPE, message)
                continue
            for part in root.mappings():
                service = _service(part)
                _refuse_taken(part, service, taken)
                found.append(service)
    findings.raise_if_any()
    return tuple(found)


def _service(part: values.Mapping) -> Service:
    name = _read(part, "name", parts.object_name, codes.NAME)
    namespace = _read(part, "namespace", parts.object_name, codes.NAME, required=False)
    addresses = _addresses(part)
    port = _read(part, "port", parts.number, codes.PORT)
    protocol = part.choice("protocol", *WITH_PORTS, required=False)
    backends = _backends(part)
    _refuse_families(part, addresses, backends)
    part.end()
    return Service(
        name or "",
        namespace or "default",
        tuple(addresses),
        port or 0,
        Protocol(protocol or Protocol.TCP),
        tuple(backends),
        part.origin,
    )


def _addresses(part: values.Mapping) -> list[Address]:
    listed = part.sequence("addresses")
    scalars = listed.scalars() if listed is not None else ()
    if listed is not None and not listed.nodes:
        part.wrong("addresses", codes.ADDRESS, "are none; write at least one such as 10.96.0.10")
    read = [scalar.read(_host, codes.ADDRESS) for scalar in scalars]
    found = [address for address in read if address is not None]
    for twice in sorted(str(address) for address, times in Counter(found).items() if times > 1):
        part.wrong("addresses", codes.TAKEN, f"have {twice} twice; write it once")
    return found


def _backends(part: values.Mapping) -> list[Backend]:
    listed = part.sequence("backends")
    found: list[Backend] = []
    names = set[str]()
    for one in listed.mappings() if listed is not None else ():
        address = _read(one, "address", _host, codes.ADDRESS)
        port = _read(one, "port", parts.number, codes.PORT)
        weight = _read(one, "weight", _weight, codes.WEIGHT, required=False)
        draining = one.choice("draining", "true", "false", required=False)
        one.end()
        if address is None or port is None:
            continue
        backend = Backend(address, port, weight or 1, draining == "true")
        if backend.name in names:
            one.wrong("address", codes.TAKEN, f"{backend.name} is written twice; give it one weight instead")
        names.add(backend.name)
        found.append(backend)
    return found


def _refuse_families(part: values.Mapping, addresses: Sequence[Address], backends: Sequence[Backend]) -> None:
    """Report backends that no address leads to, and more of one family than a table has room for."""
    for version in (4, 6):
        ours = [backend for backend in backends if backend.address.version == version]
        if ours and addresses and version not in {address.version for address in addresses}:
            message = f"have {ours[0].name}, and no address is IPv{version}; write one, or leave it out"
            part.wrong("backends", codes.FAMILY, message)
        if len(ours) > MOST_BACKENDS:
            message = f"are {len(ours)} of IPv{version}; write at most {MOST_BACKENDS} in one service"
            part.wrong("backends", codes.TOO_MANY, message)


def _refuse_taken(part: values.Mapping, service: Service, taken: _Taken) -> None:
    """Report a name or an address that an earlier service has: nobody could say whose a connection is."""
    places = [(address, service.port, service.protocol) for address in service.addresses if service.port]
    named = [("name", (service.full_name, service.port, service.protocol), service.full_name)]
    located = [("addresses", place, f"{place[0]} port {place[1]}/{place[2]}") for place in places]
    for key, thing, shown in (*named, *located):
        earlier = taken.setdefault(thing, service)
        if earlier is not service and service.name:
            where = f"{earlier.origin.file}:{earlier.origin.line}"
            part.wrong(key, codes.TAKEN, f"{shown} is that of {earlier.full_name} in {where}; write it once")


def _read(
    part: values.Mapping,
    key: str,
    parse_text: Callable[[str], values.Parsed],
    code: str,
    *,
    required: bool = True,
) -> values.Parsed | None:
    scalar = part.scalar(key, required=required)
    return scalar.read(parse_text, code) if scalar is not None else None


def _host(text: str) -> Address:
    address = parts.address(text)
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{literals.shown(text)} is no address of one host; write one such as 10.96.0.10")
    return address


def _weight(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MOST_WEIGHT:
        return int(text)
    raise ValueError(f"{literals.shown(text)} is no weight; write a number from 1 to {MOST_WEIGHT}")
