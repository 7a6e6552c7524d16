"""What a revision is made of, and the same as JSON can carry it."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from netsre.datapath.balance.drains import Drain
from netsre.model.balance.values import Backend, Service
from netsre.model.levels import Origin
from netsre.model.policies.values import Protocol


class Wanted(NamedTuple):
    """What a revision is made of."""

    services: tuple[Service, ...] = ()
    """As their files have them."""
    drains: frozenset[Drain] = frozenset()
    """By hand."""
    passing: frozenset[Drain] = frozenset()
    """By hand too, until the end of the revision."""
    until_ns: int = 0
    """That end, on CLOCK_BOOTTIME; of no meaning where nothing is passing."""

    @property
    def every(self) -> frozenset[Drain]:
        """Return all that is drained by hand."""
        return self.drains | self.passing

    @property
    def lasting(self) -> "Wanted":
        """Return what is in force from the end on."""
        return Wanted(self.services, self.drains)


def document(wanted: Wanted) -> dict[str, Any]:
    """Return it as JSON can carry it."""
    return {
        "services": [_service(one) for one in wanted.services],
        "drained": sorted(wanted.drains),
        "passing": sorted(wanted.passing),
        "untilNs": wanted.until_ns,
    }


def wanted(found: Mapping[str, Any]) -> Wanted:
    """Return the same again; raises what reading a document of other types ends in."""
    return Wanted(
        tuple(_service_of(one) for one in found["services"]),
        _drains(found["drained"]),
        _drains(found["passing"]),
        int(found["untilNs"]),
    )


def _drains(found: Iterable[Any]) -> frozenset[Drain]:
    return frozenset(
        Drain(str(service), int(port), str(protocol), str(backend))
        for service, port, protocol, backend in found
    )


def _service(one: Service) -> dict[str, Any]:
    return {
        "name": one.name,
        "namespace": one.namespace,
        "addresses": [str(address) for address in one.addresses],
        "port": one.port,
        "protocol": one.protocol.value,
        "backends": [[str(each.address), each.port, each.weight, each.draining] for each in one.backends],
        "origin": [one.origin.file, one.origin.line],
    }


def _service_of(one: Mapping[str, Any]) -> Service:
    file, line = one["origin"]
    return Service(
        str(one["name"]),
        str(one["namespace"]),
        tuple(ip_address(address) for address in one["addresses"]),
        int(one["port"]),
        Protocol(one["protocol"]),
        tuple(
            Backend(ip_address(address), int(port), int(weight), bool(draining))
            for address, port, weight, draining in one["backends"]
        ),
        Origin(str(file), int(line)),
    )
