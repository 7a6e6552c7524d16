"""What is muted now: announced deploys, kept until nobody asks for them any more, and known noisy clients."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.alerting import mutes
from netsre.alerting.mutes import Announced
from netsre.alerting.routing import ClientMute
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import canonical
from netsre.store.database import Transaction

_PREFIX: Final = "announced_deploy/"
_KEPT: Final = 1 * clock.DAY
"""How long one is kept behind its end: for alerts that ended while it lasted."""


def announce(
    transaction: Transaction, name: str, services: Iterable[str], begin: Timestamp, until: Timestamp
) -> None:
    """Keep that the tickets of services are muted for a while; forget what is long over."""
    over = [key for key, one in _read(transaction).items() if one.until < begin - _KEPT]
    transaction.meta.drop(over)
    kept = canonical({"services": sorted(services), "begin": begin, "until": until})
    transaction.meta.put(_PREFIX + name, kept)


@dataclass(frozen=True, slots=True)
class Mutes:
    """What is muted, as it is on record at one moment."""

    deploys: Sequence[Announced]
    noisy: Sequence[ClientMute]

    def cover(self, alerts: Sequence[Alert], total: int, now: Timestamp) -> bool:
        """Tell whether people need not hear of some alerts; never of more than were read, or of none."""
        if not alerts or total > len(alerts):
            return False
        return mutes.all_muted(alerts, self.deploys, self.noisy, now)


def read(transaction: Transaction, noisy: Sequence[ClientMute]) -> Mutes:
    """Return what is muted, with known noisy clients."""
    return Mutes(tuple(_read(transaction).values()), noisy)


def _read(transaction: Transaction) -> dict[str, Announced]:
    found = {}
    for key, text in transaction.meta.named(_PREFIX).items():
        one = json.loads(text)
        found[key] = Announced(frozenset(one["services"]), Timestamp(one["begin"]), Timestamp(one["until"]))
    return found
