"""Backends that somebody drains by hand, for as long as they are in the file of services."""

import dataclasses
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.balance.values import Backend, Service


class Drain(NamedTuple):
    """A backend of one port of a service takes nobody new."""

    service: str
    """Its namespace and name."""
    port: int
    protocol: str
    backend: str
    """As `ADDRESS:PORT`."""

    @property
    def label(self) -> str:
        """Return the port of the service."""
        return f"{self.service} port {self.port}/{self.protocol}"


def of(service: Service, backend: Backend) -> Drain:
    """Return what it is called that a backend of a service is drained."""
    return Drain(service.full_name, service.port, service.protocol.value, backend.name)


def standing(services: Iterable[Service], drains: AbstractSet[Drain]) -> frozenset[Drain]:
    """Return those whose backends are there still."""
    return frozenset(of(one, backend) for one in services for backend in one.backends) & drains


def by_file(services: Iterable[Service]) -> frozenset[Drain]:
    """Return those that are drained by what their file says."""
    return frozenset(of(one, backend) for one in services for backend in one.backends if backend.draining)


def drained(services: Iterable[Service], drains: AbstractSet[Drain]) -> tuple[Service, ...]:
    """Return the services with these backends drained."""
    named = {drain.service for drain in drains}
    return tuple(_drained(one, drains) if one.full_name in named else one for one in services)


def _drained(service: Service, drains: AbstractSet[Drain]) -> Service:
    backends = (
        dataclasses.replace(one, draining=True) if of(service, one) in drains else one
        for one in service.backends
    )
    return dataclasses.replace(service, backends=tuple(backends))


def chosen(services: Sequence[Service], backend: str, service: str | None) -> frozenset[Drain]:
    """Return every place of a backend, by `ADDRESS:PORT` or `ADDRESS`, of one service or of all.

    Raises `BadInput` where there is none.
    """
    if service is not None and service not in (known := {one.full_name for one in services}):
        hint = literals.nearest(service, known)
        raise BadInput(f"no service {literals.shown(service)} is balanced{hint}")
    among = [one for one in services if service in {None, one.full_name}]
    found = [
        of(one, each) for one in among for each in one.backends if backend in {each.name, str(each.address)}
    ]
    if not found:
        hint = literals.nearest(backend, {each.name for one in among for each in one.backends})
        whose = f"of {service}" if service is not None else "of any service"
        raise BadInput(f"{literals.shown(backend)} is no backend {whose}{hint}")
    return frozenset(found)


def without(services: Iterable[Service]) -> tuple[str, ...]:
    """Return the services that nobody takes new connections of, at one of their addresses."""
    return tuple(
        f"{one.full_name} port {one.port}/{one.protocol} (IPv{version})"
        for one in services
        for version in sorted({address.version for address in one.addresses})
        if not _takes(one, version)
    )


def left_without(services: Sequence[Service], drains: AbstractSet[Drain]) -> tuple[str, ...]:
    """Return those that somebody does now, and then nobody."""
    already = {*without(services)}
    return tuple(one for one in without(drained(services, drains)) if one not in already)


def _takes(service: Service, version: int) -> bool:
    return any(one.address.version == version and not one.draining for one in service.backends)
