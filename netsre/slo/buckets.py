"""What of a history is kept: slots with all they hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Labels

Slot = tuple[str, Labels, int, Timestamp]
"""What a bucket is of: name of the SLO, group, length and begin. Of two buckets of one the later is right."""


class Bucket(NamedTuple):
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
