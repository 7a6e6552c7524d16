"""The data directory of a controller that has read a fleet for all of a window: every slot that it keeps."""

import os
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Final

from bench.flow_fleet import Fleet
from netsre import clock
from netsre.app import privileges, resources
from netsre.clock import Timestamp
from netsre.model.levels import SLO
from netsre.slo import definition, tiers
from netsre.slo.buckets import Bucket
from netsre.store.database import Store
from netsre.store.migrations import Migrations

_BATCH: Final = 50_000
"""Buckets of one transaction."""


def keep(home: Path, fleet: Fleet, slos: Sequence[SLO]) -> None:
    """Make a data directory in which each SLO, in the order of the services, has a whole window behind it."""
    home.mkdir()
    now = Timestamp(int(time.time()) * clock.SECOND)
    store = Store.at(home, Migrations.load(str(resources.directory("migrations"))))
    try:
        store.upgrade()
        buckets = _buckets(fleet, slos, now)
        while batch := list(islice(buckets, _BATCH)):
            with store.write() as transaction:
                transaction.history.save(batch, ())
    finally:
        store.close()
    if os.geteuid() == 0:
        user = privileges.service_user(None)
        for path in (home, *home.iterdir()):
            os.chown(path, user.uid, user.gid)


def _buckets(fleet: Fleet, slos: Sequence[SLO], now: Timestamp) -> Iterator[Bucket]:
    """Yield every slot that was over by now: of all SLOs one after the other, as turns keep them."""
    named = [(number, slo.name, definition.of(slo)) for number, slo in enumerate(slos)]
    for tier, span in _kept(max(slo.window for slo in slos)):
        for slot in range(tier.slot(now - span), tier.slot(now)):
            begin, end = (tier.start(bound) // clock.SECOND for bound in (slot, slot + 1))
            for number, name, what in named:
                failed = fleet.failed(number, end) - fleet.failed(number, begin)
                delivered = fleet.delivered(number, end) - fleet.delivered(number, begin)
                amounts = Decimal(failed), Decimal(failed + delivered), tier.step // clock.MINUTE
                yield Bucket(name, (), tier.start(slot), *amounts, what, tier.step)


def _kept(window: int) -> tuple[tuple[tiers.Tier, int], ...]:
    """Return the tiers of a history, each with the milliseconds for which its slots are kept."""
    minutes, fives, hours, _ = tiers.ladder(window)
    return (minutes, tiers.KEPT_MINUTES), (fives, fives.span), (hours, hours.span)
