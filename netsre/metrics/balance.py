"""The balancer of a node as readings."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final

from netsre import conventions as c
from netsre.datapath.balance.contents import Member
from netsre.datapath.balance.totals import BalanceTotals
from netsre.datapath.services import MOST_NAMES
from netsre.metrics.readings import Readings

_SERVING: Final = "serving"
_DRAINING: Final = "draining"
_WITHOUT: Final = "without_backend"


def put_given(readings: Readings, totals: BalanceTotals) -> None:
    """Add who was given to whom, and who to nobody."""
    refused = Counter[str]()
    for (service, backend), connections in sorted(totals.connections.items()):
        datagrams = totals.datagrams[service, backend]
        if backend:
            readings.put(c.BALANCE_CONNECTIONS, (service, backend), connections)
            readings.put(c.BALANCE_DATAGRAMS, (service, backend), datagrams)
        else:
            refused[service] += connections + datagrams
    for service, count in refused.items():
        readings.put(c.BALANCE_REFUSED, (service,), count)


def put_members(readings: Readings, members: Iterable[Member], services: Collection[str]) -> None:
    """Add what is in force; `services` has the name of each address of a service."""
    # Also of those that have no backend at all: that is what somebody wants to know.
    states = {name: Counter[str]() for name in islice(sorted({*services}), MOST_NAMES)}
    serving = set()
    for member in members:
        known = member.service in states or len(states) < MOST_NAMES
        name = member.service if known else c.OTHER
        states.setdefault(name, Counter())[_SERVING if member.is_serving else _DRAINING] += 1
        if member.is_serving:
            serving.add((member.service, member.place))
    for service, counts in states.items():
        for state in (_SERVING, _DRAINING):
            readings.put(c.BALANCE_BACKENDS, (service, state), counts[state])
    readings.put(c.BALANCE_SERVICES, (_SERVING,), len(serving))
    readings.put(c.BALANCE_SERVICES, (_WITHOUT,), len(services) - len(serving))


def put_events(readings: Readings, events: Mapping[str, int]) -> None:
    """Add what happened beside that."""
    for event, count in events.items():
        readings.put(c.BALANCE_EVENTS, (event,), count)
