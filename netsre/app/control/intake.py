"""What Alertmanager sends us is on disk before it is answered: one thread commits all that waits, at once.

A commit costs a wait for the disk. Whoever waits shares it, so that many small requests cost as few waits as
one large one. What does not fit any more is refused before it is looked at, and Alertmanager sends it again.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from netsre import conventions
from netsre.alerting import relay
from netsre.alerting.webhook import MOST_ALERTS, Notice
from netsre.app.control import incidents, messages
from netsre.app.logs import pairs
from netsre.clock import Clock, Timestamp
from netsre.errors import EnvironmentUnfit, StoreUnusable
from netsre.metrics.readings import Readings
from netsre.model.incidents import Disposition
from netsre.model.runbooks import Trigger
from netsre.store.database import Store, Transaction

if TYPE_CHECKING:
    from netsre.model.documents import Document

_log: Final = logging.getLogger("netsre.intake")

ACTOR: Final = "alertmanager"
MOST_WAITING: Final = 2 * MOST_ALERTS
"""Alerts that may wait for the disk."""
_TOGETHER: Final = 1_000
"""Alerts in one transaction, unless one request alone has more: other writers want their turn."""
_AUDITED: Final = 100
"""Alerts that one row of the audit names; all of them are among those received."""


class Refusal(StrEnum):
    """Why a request was not looked at; beside the dispositions in the metric."""

    UNAUTHENTICATED = "unauthenticated"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    UNUSABLE = "store_unusable"


class Busy(EnvironmentUnfit):
    """More waits for the disk than may; nothing was kept."""


Kept = Counter[Disposition]
"""How many alerts of a request were what."""


@dataclass(slots=True)
class _Waiting:
    notices: Sequence[Notice]
    answer: "Future[Kept]" = field(default_factory=Future)


class Intake:
    """Keeps notices; its thread is the only one that does."""

    def __init__(
        self, store: Store, clock: Clock, triggers: Collection[Trigger], wake: Callable[[], None]
    ) -> None:
        """Keep in a store; `wake` is called when there is something new, for runbooks with these triggers."""
        self._store = store
        self._triggers = triggers
        self._clock = clock
        self._wake = wake
        self._waiting: deque[_Waiting] = deque()
        self._alerts = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._refused: Counter[Refusal] = Counter()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to keep."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Keep what waits, take no more, and end; wait for that so long."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds)

    def offer(self, notices: Sequence[Notice]) -> "Future[Kept]":
        """Have notices kept; the answer comes when they are on disk, as `StoreUnusable` when they are not.

        Raises `Busy` when too many wait already: then nothing of these is kept.
        """
        waiting = _Waiting(notices)
        with self._changed:
            if self._stopping or (self._waiting and self._alerts + len(notices) > MOST_WAITING):
                raise Busy(f"{self._alerts} alerts wait for the disk; send them again")
            self._waiting.append(waiting)
            self._alerts += len(notices)
            self._changed.notify()
        return waiting.answer

    def refused(self, why: Refusal) -> None:
        """Count a request of which nothing was kept."""
        with self._changed:
            self._refused[why] += 1

    def readings(self, into: Readings) -> None:
        """Add how many requests were refused, by reason; they are counted since the start."""
        with self._changed:
            refused = dict(self._refused)
        for why in Refusal:
            into.put(conventions.ALERTS_RECEIVED, (why.value,), float(refused.get(why, 0)))

    def _run(self) -> None:
        while taken := self._take():
            self._commit(taken)

    def _take(self) -> list[_Waiting]:
        """Return what is to be kept together; nothing once there is no more to come."""
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            taken: list[_Waiting] = []
            count = 0
            while self._waiting and (not taken or count + len(self._waiting[0].notices) <= _TOGETHER):
                waiting = self._waiting.popleft()
                count += len(waiting.notices)
                taken.append(waiting)
            self._alerts -= count
            return taken

    def _commit(self, taken: Sequence[_Waiting]) -> None:
        # Whoever went away meanwhile hears nothing; what they brought is kept all the same.
        listening = [waiting for waiting in taken if waiting.answer.set_running_or_notify_cancel()]
        try:
            kept, announced = self._keep(taken)
        except StoreUnusable as error:
            _log.warning("alerts from Alertmanager were not kept %s", pairs(requests=len(taken), error=error))
            for waiting in listening:
                waiting.answer.set_exception(error)
        except Exception as error:  # noqa: BLE001
            # A mistake of ours: Alertmanager sends them again, and the next ones may fare better.
            _log.exception("alerts from Alertmanager were not kept %s", pairs(requests=len(taken)))
            for waiting in listening:
                waiting.answer.set_exception(error)
        else:
            answers = dict(zip(map(id, taken), kept, strict=True))
            for waiting in listening:
                waiting.answer.set_result(answers[id(waiting)])
            if announced:
                self._wake()

    def _keep(self, taken: Sequence[_Waiting]) -> tuple[list[Kept], bool]:
        """Keep all in one transaction; return what it was to us by request, and whether there is work."""
        notices = [notice for waiting in taken for notice in waiting.notices]
        with self._store.write() as transaction:
            now = self._clock.now()
            found = transaction.received.keep(notices, now)
            news = [n for n, what in zip(notices, found, strict=True) if what is Disposition.NEW]
            announced = act_on(transaction, news, self._triggers, now)
        rest = iter(found)
        return [Counter(next(rest) for _ in waiting.notices) for waiting in taken], announced


def act_on(
    transaction: Transaction, news: Sequence[Notice], triggers: Collection[Trigger], now: Timestamp
) -> bool:
    """Have somebody else's alerts fire and end here; tell whether one of them is announced to the runbooks.

    That are those which are the trigger of one: a storm of others must not stand in the way.
    """
    if not news:
        return False
    firing = transaction.alerts.told({notice.fingerprint for notice in news})
    transitions = relay.changes(news, firing, now)
    alerts = {(t.alert.fingerprint, t.alert.fired_at): t.alert for t in transitions}
    transaction.alerts.save_all(list(alerts.values()), firing.values())
    incidents.note(transaction, alerts.values(), now)
    told = [
        (t.key, messages.announcement(t))
        for t in transitions
        if any(each.starts(t.alert) for each in triggers)
    ]
    transaction.outbox.add_all(messages.RUNBOOK, told, now)
    first = [f"{notice.fingerprint}/{notice.starts_at}/{notice.status}" for notice in news[:_AUDITED]]
    details: Document = {"count": len(news), "first": first}
    transaction.audit.append(now, ACTOR, "alerts.received", conventions.OTHER, details)
    return bool(told)
