"""Tells every Alertmanager of our alerts: one thread each, so that one that hangs keeps no other waiting.

A thread reads what fires and what ended lately, posts what its peer has not heard or may forget, and sleeps
until the next is due or somebody wakes it. What a peer took is remembered in memory only: after a start all
of it is told once more, with the same beginnings, which changes nothing there.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from netsre import clock, conventions
from netsre.adapters.alertmanager import Answer, Result
from netsre.alerting import notify, webhook
from netsre.alerting.describe import Links
from netsre.alerting.notify import Firing, Pace, Told
from netsre.app.logs import pairs
from netsre.clock import Clock, Timestamp
from netsre.errors import BadInput, NetsreError
from netsre.metrics.readings import Readings
from netsre.model.alerts import Alert
from netsre.model.documents import Document
from netsre.store.database import Store

_log: Final = logging.getLogger("netsre.pager")

FIRST_PAUSE: Final = 1 * clock.SECOND
LONGEST_PAUSE: Final = 30 * clock.SECOND
PROBE: Final = 30 * clock.SECOND
"""After so long without a word with a peer it is asked whether it is there."""


class Client(Protocol):
    """One Alertmanager."""

    @property
    def name(self) -> str:
        """Return what tells it from the others, for people and metrics."""
        ...

    def post(self, alerts: Sequence[Document]) -> Answer:
        """Tell of alerts."""
        ...

    def alerts(self, receiver: str) -> Answer:
        """Ask for the alerts that fire for a receiver."""
        ...

    def ready(self) -> Answer:
        """Ask whether it is there."""
        ...


@dataclass(frozen=True, slots=True)
class PeerState:
    """How one peer fares."""

    name: str
    up: bool | None = None
    """None before the first answer."""
    reason: str | None = None
    """The line that says why it is down."""
    last_accepted_at: Timestamp | None = None
    """When it took alerts last."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What every peer's thread works with."""

    store: Store
    clock: Clock
    pace: Pace
    links: Links
    receive: Callable[[Sequence[webhook.Notice]], object]
    """Takes alerts that a peer has and did not send us."""
    leads: Callable[[], bool] = lambda: True
    """Whether to tell of alerts: of several controllers one does."""


class Pager:
    """All peers."""

    def __init__(self, clients: Iterable[Client], telling: Telling) -> None:
        """Tell these."""
        self.peers = tuple(Peer(client, telling) for client in clients)

    def start(self) -> None:
        """Begin to tell, with what fires already."""
        for peer in self.peers:
            peer.thread.start()

    def stop(self, seconds: float) -> None:
        """End, and wait for it that long in all: what was not told is told after the next start."""
        for peer in self.peers:
            peer.stop()
        deadline = time.monotonic() + seconds
        for peer in self.peers:
            peer.thread.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """Have every peer look at the alerts at once."""
        for peer in self.peers:
            peer.woken.set()

    def fetch(self, receiver: str) -> None:
        """Ask every peer for the alerts of a receiver, because a webhook left some of them out.

        Never whoever the webhook says it is from: only those that we were told of.
        """
        if not self.peers:
            advice = "raise max_alerts there, or name it with --alertmanager"
            _log.warning("alerts were left out %s", pairs(receiver=receiver, advice=advice))
        for peer in self.peers:
            peer.fetch(receiver)

    def states(self) -> list[PeerState]:
        """Return how the peers fare."""
        return [peer.state for peer in self.peers]

    def readings(self, into: Readings) -> None:
        """Add how the peers fare."""
        for peer in self.peers:
            if peer.state.up is not None:
                into.put(conventions.ALERTMANAGER_UP, (peer.state.name,), float(peer.state.up))
            for result in Result:
                posts = peer.posts.get(result, 0)
                into.put(conventions.ALERTMANAGER_POSTS, (peer.state.name, result.value), float(posts))


class Peer:
    """One peer and what it was told; `tell` is one round of its thread."""

    def __init__(self, client: Client, telling: Telling) -> None:
        """Begin as if it knew nothing."""
        self._client = client
        self._with = telling
        self._told: dict[Firing, Told] = {}
        self._missing: set[str] = set()
        self._failures = 0
        self._heard_at = Timestamp(0)
        self._rejected: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        self.woken = threading.Event()
        self.state = PeerState(client.name)
        self.posts: Counter[Result] = Counter()
        self.thread = threading.Thread(target=self._run, name=f"pager {client.name}", daemon=True)

    def stop(self) -> None:
        """End after what is going on now."""
        self._stopping.set()
        self.woken.set()

    def fetch(self, receiver: str) -> None:
        """Ask for what was left out, with the next round."""
        self._missing.add(receiver)
        self.woken.set()

    def tell(self) -> int:
        """Tell what is due, then ask for what was left out; return the milliseconds until the next round.

        Raises `StoreUnusable` when the alerts cannot be read.
        """
        now = self._with.clock.now()
        alerts: Sequence[Alert] = ()
        if self._with.leads():
            with self._with.store.read() as transaction:
                alerts = transaction.alerts.since(Timestamp(now - notify.RESOLVED_FOR))
        kept = {notify.firing(alert) for alert in alerts}
        self._told = {key: told for key, told in self._told.items() if key in kept}
        plan = notify.plan(alerts, self._told, now, self._with.pace)
        answered = all(self._post(batch) for batch in notify.batches(plan.due))
        if not plan.due and not 0 <= now - self._heard_at < PROBE:
            # Nobody should learn in the night of the first alert that its way was closed all along.
            answered = self._heard(self._client.ready())
        if answered and self._missing:
            answered = self._ask(self._missing.pop())
        self._failures = 0 if answered else self._failures + 1
        return plan.next_at - now if answered else pause(self._failures)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.woken.clear()
            try:
                wait = self.tell()
            except NetsreError as error:
                # The turn that evaluates says it as well; here it must only go on.
                _log.debug("peer %s", pairs(peer=self.state.name, error=error))
                wait = FIRST_PAUSE
            except Exception:  # noqa: BLE001  # the thread outlives every mistake
                _log.exception("peer %s", pairs(peer=self.state.name))
                wait = LONGEST_PAUSE
            # One that failed is not tried again because of each alert that waits for it.
            (self._stopping if self._failures else self.woken).wait(wait / clock.SECOND)

    def _post(self, batch: Sequence[Alert]) -> bool:
        """Tell of some alerts; return whether the peer is to be bothered with more."""
        now = self._with.clock.now()
        answer = self._client.post([self._body(alert, now) for alert in batch])
        self.posts[answer.result] += 1
        if answer.result is Result.REJECTED and len(batch) > 1:
            # Some were kept, and only one by one can be told which.
            return all(self._post([alert]) for alert in batch)
        if answer.result is Result.REJECTED:
            self._warn(batch[0], answer.reason)
        elif answer.result is Result.ACCEPTED:
            self._took(batch, now)
        if answer.result in (Result.ACCEPTED, Result.REJECTED):
            # A rejected one too: no better a moment later, it is tried when it would be told again.
            self._told |= {notify.firing(alert): Told(now, alert.state) for alert in batch}
        return self._heard(answer)

    def _body(self, alert: Alert, now: Timestamp) -> Document:
        return notify.body(alert, now, self._with.pace, self._with.links.alert(alert.fingerprint))

    def _took(self, batch: Sequence[Alert], now: Timestamp) -> None:
        self.state = replace(self.state, last_accepted_at=now)
        news = [
            alert
            for alert in batch
            if (told := self._told.get(notify.firing(alert))) is None or told.state is not alert.state
        ]
        if news:
            with self._with.store.write() as transaction:
                transaction.pages.accepted(self.state.name, news, now)

    def _ask(self, receiver: str) -> bool:
        """Take over the alerts that a webhook left out."""
        answer = self._client.alerts(receiver)
        if answer.result is Result.ACCEPTED:
            try:
                self._with.receive(webhook.fetched(answer.alerts))
            except BadInput as error:
                answer = Answer(Result.FAILED, f"answered with alerts that are none: {error}")
            except NetsreError:
                self._missing.add(receiver)
                raise
        if answer.result is not Result.ACCEPTED:
            self._missing.add(receiver)
        return self._heard(answer)

    def _heard(self, answer: Answer) -> bool:
        """Keep whether the peer does its work, and say so when that changes."""
        up = answer.result in (Result.ACCEPTED, Result.REJECTED)
        if up and self.state.up is not True:
            _log.info("alertmanager %s", pairs(peer=self.state.name, up=1))
        if not up and self.state.up is not False:
            reason = f"{answer.reason}; alerts wait, and are told when it answers"
            _log.warning("alertmanager %s", pairs(peer=self.state.name, up=0, reason=reason))
        self.state = replace(self.state, up=up, reason=None if up else answer.reason)
        self._heard_at = self._with.clock.now() if up else Timestamp(0)
        return up

    def _warn(self, alert: Alert, reason: str) -> None:
        if alert.fingerprint not in self._rejected:
            said = pairs(peer=self.state.name, alert=alert.fingerprint, reason=reason)
            _log.error("alertmanager takes everything but this alert %s", said)
        self._rejected |= {alert.fingerprint}


def pause(failures: int) -> int:
    """Return the milliseconds to wait after so many failures in a row: doubling from 1 s to 30 s."""
    return min(LONGEST_PAUSE, FIRST_PAUSE << min(failures - 1, 20))
