"""What of a history is kept: slots with all they hold, and how those of a disk are taken over."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Labels
from netsre.slo.tiers import Tier
from netsre.slo.track import NOTHING, Sums

Slot = tuple[str, Labels, int, Timestamp]
"""What a bucket is of: name of the SLO, group, length and begin. Of two buckets of one the later is right."""

Held = dict[int, Sums]
"""By the number of a slot, or the begin of a minute."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One slot of one SLO and group, with all it holds."""

    slo: str
    group: Labels
    begin: Timestamp
    bad: Decimal
    total: Decimal
    measured: int
    """Minutes with at least one reading; none where events of a gap were spread."""
    definition: str
    """What was measured under the name of the SLO (`definition.of`)."""
    step: int = clock.MINUTE
    """Length of the slot in milliseconds."""


def by_slot(buckets: Iterable[Bucket]) -> dict[Slot, Bucket]:
    """Return buckets by what they are of, of each the last."""
    return {(bucket.slo, bucket.group, bucket.step, bucket.begin): bucket for bucket in buckets}


@dataclass(frozen=True, slots=True)
class Key:
    """What a row is about."""

    slo: str
    definition: str
    group: Labels


def sorted_out(
    buckets: Iterable[Bucket],
) -> tuple[dict[Key, Held], dict[int, dict[Key, Held]], Timestamp | None]:
    """Return minutes by key and begin, coarser slots by step, key and number, and the newest begin of all."""
    minutes: dict[Key, Held] = {}
    coarse: dict[int, dict[Key, Held]] = {}
    newest: Timestamp | None = None
    for bucket in buckets:
        key = Key(bucket.slo, bucket.definition, bucket.group)
        held = Sums(bucket.bad, bucket.total, bucket.measured)
        if bucket.step == clock.MINUTE:
            minutes.setdefault(key, {})[bucket.begin] = held
        else:
            slots = coarse.setdefault(bucket.step, {}).setdefault(key, {})
            slots[bucket.begin // bucket.step] = held
        newest = bucket.begin if newest is None else max(newest, bucket.begin)
    return minutes, coarse, newest


def coarser(minutes: Mapping[Key, Held], tier: Tier) -> dict[Key, Held]:
    """Return the slots of a tier that are made of minutes."""
    made: dict[Key, Held] = {}
    for key, held in minutes.items():
        slots = made.setdefault(key, {})
        for minute, sums in held.items():
            if not tier.holds(Timestamp(minute)):
                continue
            slot, minute_sums = tier.slot(minute), Sums(sums.bad, sums.total, int(sums.measured > 0))
            slots[slot] = slots.get(slot, NOTHING) + minute_sums
    return made
