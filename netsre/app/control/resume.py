"""What a controller goes on from: the history that its database holds of what its SLOs measure now."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsre.app.control import ACTOR
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.model.levels import SLO
from netsre.slo import definition
from netsre.slo.buckets import Bucket
from netsre.slo.increments import Cursor
from netsre.store.database import Store, Transaction

if TYPE_CHECKING:
    from netsre.model.documents import Document

_log: Final = logging.getLogger("netsre.controller")


@dataclass(frozen=True, slots=True)
class Resumed:
    """What was kept and still means the same."""

    buckets: Iterator[Bucket]
    """From the database, as they are asked for: a month of many SLOs is never in memory at once."""
    cursors: tuple[Cursor, ...]


@contextlib.contextmanager
def resumed(store: Store, slos: Sequence[SLO], node: str, runbooks: int, now: Timestamp) -> Iterator[Resumed]:
    """Put the start on record, and open what to go on from.

    An SLO that measures something else than before begins anew: its old minutes stay on disk, for as long as
    a window would need them, and come back with the old definition. The log and the audit say so, once.
    """
    with store.write() as transaction:
        _tell_redefined(transaction, slos, now)
        started: Document = {"node": node, "slos": len(slos), "runbooks": runbooks}
        transaction.audit.append(now, ACTOR, "controller.started", node, started)
    with store.read() as transaction:
        # All of it, whatever the clock says now: it may be set yet.
        buckets = definition.current(slos, transaction.history.buckets())
        yield Resumed(buckets, tuple(transaction.history.cursors()))


def _tell_redefined(transaction: Transaction, slos: Iterable[SLO], now: Timestamp) -> None:
    kept: dict[str, set[str]] = {}
    for name, what in transaction.history.definitions():
        kept.setdefault(name, set()).add(what)
    for slo in slos:
        before, new = kept.get(slo.name, set()), definition.of(slo)
        if not before or new in before:
            continue
        told: Document = {"definition": new, "before": sorted(before)}
        transaction.audit.append(now, ACTOR, "slo.redefined", slo.name, told)
        note = "measures something else than before, so its history begins anew"
        _log.warning("slo %s", pairs(slo=slo.name, note=note, file=slo.origin.file))
