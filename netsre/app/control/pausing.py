"""What people ask automation to leave alone, and set free again; every word of theirs is in the audit."""

import logging
from dataclasses import dataclass
from typing import Final

from netsre import conventions
from netsre.app.control import holding
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.errors import BadInput, StoreUnusable
from netsre.metrics.readings import Readings
from netsre.model import literals
from netsre.model.documents import Document
from netsre.model.holds import Pause, Quarantined, Released, Scope
from netsre.model.maintenance import Maintenance
from netsre.model.runbooks import Runbook
from netsre.runbook import decide
from netsre.runbook.decide import Answer, Holds
from netsre.runbook.gates import breaker
from netsre.store.database import Transaction

_log: Final = logging.getLogger("netsre.runbook")


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit that is open."""

    runbook: str
    failures: int
    last_at: Timestamp
    retry_at: Timestamp | None
    """When one run may try again; None where only a person can close it."""


@dataclass(frozen=True, slots=True)
class Held:
    """All that automation is kept from."""

    stops: tuple[Answer, ...]
    """What nobody asked for by name and stops every change: the kill switch, a storm, the limits of all."""
    pauses: tuple[Pause, ...]
    circuits: tuple[Circuit, ...]
    quarantined: tuple[Quarantined, ...]
    maintenance: tuple[tuple[Maintenance, Timestamp], ...]
    """Calendars with an open window, and when it ends."""


def held(world: World) -> Held:
    """Return what automation is kept from now."""
    now = world.clock.now()
    with world.store.read() as transaction:
        known = holding.holds(transaction, world.runbooks, world.bounds, now, None)
        quarantined = transaction.holds.quarantined(now)
    return Held(
        stops=tuple(decide.stops(world.kill_switch(), known, now)),
        pauses=known.pauses,
        circuits=tuple(found for book in world.runbooks.values() if (found := _circuit(book, known))),
        quarantined=tuple(quarantined),
        maintenance=tuple((one, end) for one in world.calendars if (end := one.until(now)) is not None),
    )


def readings(world: World, into: Readings) -> None:
    """Add pauses and circuits; without a database they are not known, and absent."""
    try:
        found = held(world)
    except StoreUnusable:
        return
    for scope in Scope:
        count = sum(one.scope is scope for one in found.pauses)
        into.put(conventions.AUTOMATION_PAUSES, (scope.value,), float(count))
    opened = {one.runbook for one in found.circuits}
    for book in world.runbooks.values():
        if book.changes:
            into.put(conventions.CIRCUIT_OPEN, (book.name,), float(book.name in opened))


def pause(world: World, asked: Pause) -> Pause:
    """Keep a pause; return the one that has its id already, where there is one."""
    with world.store.write() as transaction:
        return pause_within(transaction, world, asked)


def pause_within(transaction: Transaction, world: World, asked: Pause) -> Pause:
    """Keep a pause in the same way, in a transaction of the caller."""
    kept = transaction.holds.pause(asked)
    if kept == asked:
        _record(transaction, world, asked.owner, "automation.paused", asked)
    return kept


def resume(world: World, scope: Scope, name: str, by: str) -> list[Pause]:
    """End the pauses of one thing that stand, and return them."""
    with world.store.write() as transaction:
        now = world.clock.now()
        ended = [one for one in transaction.holds.pauses(now) if (one.scope, one.name) == (scope, name)]
        for one in ended:
            transaction.holds.resume(one.id, now, by)
            _record(transaction, world, by, "automation.resumed", one)
    return ended


def release(world: World, kind: Released, key: str, by: str, reason: str) -> None:
    """Set something free; raises `BadInput` where nothing holds it."""
    with world.store.write() as transaction:
        now = world.clock.now()
        if not _is_held(transaction, world, kind, key, now):
            what = "the circuit of" if kind is Released.BREAKER else "the value"
            raise BadInput(f"{what} {literals.shown(key)} is not held; see netsre runbook pauses")
        transaction.holds.release(kind, key, now, by, reason)
        transaction.audit.append(now, by, f"{kind.value}.released", key, {"reason": reason})
    _log.warning("released %s", pairs(kind=kind, key=key, by=by, reason=reason))


def _is_held(transaction: Transaction, world: World, kind: Released, key: str, now: Timestamp) -> bool:
    if kind is Released.QUARANTINE:
        return any(one.key == key for one in transaction.holds.quarantined(now))
    known = holding.holds(transaction, world.runbooks, world.bounds, now, None)
    return bool(breaker.failures(key, known))


def _circuit(book: Runbook, known: Holds) -> Circuit | None:
    failed, limits = breaker.failures(book.name, known), book.limits
    if len(failed) < limits.breaker_failures:
        return None
    last = failed[-1].ended_at or failed[-1].started_at
    retry = None if limits.breaker_retry is None else Timestamp(last + limits.breaker_retry)
    return Circuit(book.name, len(failed), last, retry)


def _record(transaction: Transaction, world: World, by: str, verb: str, about: Pause) -> None:
    details: Document = {
        "scope": about.scope.value,
        "name": about.name,
        "reason": about.reason,
        "owner": about.owner,
        "until": about.until,
    }
    transaction.audit.append(world.clock.now(), by, verb, about.id, details)
    _log.warning("%s %s", verb.replace(".", " "), pairs(by=by, **details))
