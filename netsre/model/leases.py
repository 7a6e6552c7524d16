"""Who leads: the lease that one controller at a time has, and the epoch that tells its term from every other.

The clock of the database decides when a lease is over. Its holder stops to act earlier, by a clock that
nobody sets; and whatever it writes or commands later all the same is refused by its epoch.
"""

from dataclasses import dataclass, replace
from typing import Final

from netsre import clock
from netsre.clock import Timestamp

LASTS: Final = 15 * clock.SECOND
"""By the database's clock, from each renewal on."""
ACTS_FOR: Final = 10 * clock.SECOND
"""From the request for a renewal on, its holder acts no longer than this, by its own clock."""
RENEWED_EVERY: Final = 2 * clock.SECOND


@dataclass(frozen=True, slots=True)
class Lease:
    """What the database knows of it."""

    node: str
    """What all controllers of this database are about: what one began on it, another one goes on with."""
    holder: str
    """The controller that has it, or had it last."""
    epoch: int
    """Greater with each term, whoever has it."""
    expires_at: Timestamp


def free(found: Lease, now: Timestamp) -> bool:
    """Tell whether nobody has the lease, by the database's clock."""
    # An end further off than a lease lasts was written before that clock was set back: it says nothing.
    return not 0 < found.expires_at - now <= LASTS


def claimed(found: Lease | None, node: str, holder: str, now: Timestamp) -> Lease | None:
    """Return the lease of a new term; None while another one has it, and always for another node.

    Who has it may have it anew: of one name there is one process, so that its last one is gone.
    """
    if found is not None and found.holder != holder and not free(found, now):
        return None
    if found is not None and found.node != node:
        return None
    # Seconds, so that a database that was restored or made anew has no epoch a second time.
    epoch = max(now // clock.SECOND, 0 if found is None else found.epoch + 1)
    return Lease(node, holder, epoch, Timestamp(now + LASTS))


def renewed(found: Lease | None, epoch: int, now: Timestamp) -> Lease | None:
    """Return the lease of a term that goes on, late or not; None when another one has begun."""
    if found is None or found.epoch != epoch:
        return None
    return replace(found, expires_at=Timestamp(now + LASTS))


def released(found: Lease | None, epoch: int) -> Lease | None:
    """Return the lease as it is left to whoever asks next; None when that term is over already."""
    if found is None or found.epoch != epoch:
        return None
    return replace(found, expires_at=Timestamp(0))
