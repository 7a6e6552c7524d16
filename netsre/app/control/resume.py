"""What a controller goes on from: the history that its database holds of what its SLOs measure now."""

import logging
from collections.abc import Iterable, Sequence
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

    buckets: tuple[Bucket, ...]
    cursors: tuple[Cursor, ...]


def resume(store: Store, slos: Sequence[SLO], node: str, runbooks: int, now: Timestamp) -> Resumed:
    """Return what to go on from, and put the start on record.

    An SLO that measures something else than before begins anew: its old minutes stay on disk, for as long as
    a window would need them, and come back with the old definition. The log and the audit say so, once.
    """
    with store.write() as transaction:
        # All of it, whatever the clock says now: it may be set yet.
        buckets = transaction.history.buckets(Timestamp(0))
        _tell_redefined(transaction, slos, buckets, now)
        started: Document = {"node": node, "slos": len(slos), "runbooks": runbooks}
        transaction.audit.append(now, ACTOR, "controller.started", node, started)
        cursors = transaction.history.cursors()
    return Resumed(definition.current(slos, buckets), tuple(cursors))


def _tell_redefined(
    transaction: Transaction, slos: Iterable[SLO], buckets: Iterable[Bucket], now: Timestamp
) -> None:
    kept: dict[str, set[str]] = {}
    for bucket in buckets:
        kept.setdefault(bucket.slo, set()).add(bucket.definition)
    for slo in slos:
        before, new = kept.get(slo.name, set()), definition.of(slo)
        if not before or new in before:
            continue
        what: Document = {"definition": new, "before": sorted(before)}
        transaction.audit.append(now, ACTOR, "slo.redefined", slo.name, what)
        note = "measures something else than before, so its history begins anew"
        _log.warning("slo %s", pairs(slo=slo.name, note=note, file=slo.origin.file))
