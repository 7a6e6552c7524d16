"""The data directory of a controller that has read a fleet for all of a window: every slot that it keeps."""

import os
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
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

_BATCH: Final = 50
"""SLOs of one transaction."""


def keep(home: Path, fleet: Fleet, slos: Sequence[SLO]) -> None:
    """Make a data directory in which each SLO, in the order of the services, has a whole window behind it."""
    home.mkdir()
    now = Timestamp(int(time.time()) * clock.SECOND)
    store = Store.at(home, Migrations.load(str(resources.directory("migrations"))))
    try:
        store.upgrade()
        for first in range(0, fleet.services, _BATCH):
            numbers = range(first, min(first + _BATCH, fleet.services))
            with store.write() as transaction:
                transaction.history.save(
                    (bucket for number in numbers for bucket in _buckets(fleet, number, slos[number], now)),
                    (),
                )
    finally:
        store.close()
    if os.geteuid() == 0:
        user = privileges.service_user(None)
        for path in (home, *home.iterdir()):
            os.chown(path, user.uid, user.gid)


def _buckets(fleet: Fleet, number: int, slo: SLO, now: Timestamp) -> Iterator[Bucket]:
    """Yield every slot of one SLO that was over by now."""
    what = definition.of(slo)
    for tier, span in _kept(slo):
        first, last = tier.slot(now - span), tier.slot(now)
        bounds = [tier.start(slot) // clock.SECOND for slot in range(first, last + 1)]
        bad = [fleet.failed(number, at) for at in bounds]
        good = [fleet.delivered(number, at) for at in bounds]
        for slot in range(last - first):
            failed, delivered = bad[slot + 1] - bad[slot], good[slot + 1] - good[slot]
            yield Bucket(
                slo.name,
                (),
                tier.start(first + slot),
                Decimal(failed),
                Decimal(failed + delivered),
                tier.step // clock.MINUTE,
                what,
                tier.step,
            )


def _kept(slo: SLO) -> tuple[tuple[tiers.Tier, int], ...]:
    """Return the tiers of a history, each with the milliseconds for which its slots are kept."""
    minutes, fives, hours, _ = tiers.ladder(slo.window)
    return (minutes, tiers.KEPT_MINUTES), (fives, fives.span), (hours, hours.span)
