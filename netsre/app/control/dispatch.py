"""Brings messages from the outbox to their channels: at least once, and each channel takes a message once.

A delivery and its mark share one transaction. A process that dies in between delivers the same message again,
and the channel knows it by its key. What fails stays in the outbox and is tried again, ever more rarely.
"""

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from netsre import clock
from netsre.adapters.alert_log import AlertLog
from netsre.app.control import messages, notices
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.errors import EnvironmentUnfit, StoreUnusable
from netsre.model.documents import Document
from netsre.store.database import Store, Transaction
from netsre.store.outbox import Message

_log: Final = logging.getLogger("netsre.dispatch")

FIRST_PAUSE: Final = 1 * clock.SECOND
LONGEST_PAUSE: Final = 5 * clock.MINUTE
BATCH: Final = 100
"""Messages of one channel that are delivered before others have their turn."""


class Channel(Protocol):
    """Where messages go."""

    @property
    def name(self) -> str:
        """Return the channel's name in the outbox."""
        ...

    def deliver(self, message: Message, transaction: Transaction, now: Timestamp) -> None:
        """Take a message; the same key twice must have the effect of once. Any error means: try again."""
        ...


class ChannelUnusable(EnvironmentUnfit):
    """A channel takes nothing at all now; every message for it waits."""


class LogChannel:
    """Writes every announcement to the alert log."""

    name = messages.LOG

    def __init__(self, log: AlertLog) -> None:
        """Write to an alert log."""
        self._alert_log = log

    def deliver(self, message: Message, transaction: Transaction, now: Timestamp) -> None:
        """Append the line unless it is there, and say it on the log of this process."""
        del transaction, now
        payload = message.payload
        if notices.is_notice(payload):
            if self._append(message.key, messages.line(message.key, payload)):
                _log.warning("notice %s", pairs(**notices.line(payload)))
            return
        # Before the line is written: a message that cannot be read leaves none.
        alert = messages.read_alert(payload)
        if self._append(message.key, messages.line(message.key, payload)):
            said = pairs(
                alert=alert.fingerprint,
                state=alert.state,
                reason=payload.get("reason"),
                summary=alert.annotations.get("summary"),
                **{name: value for name, value in alert.labels if name in ("severity", "slo", "node")},
            )
            _log.warning("alert %s", said)

    def _append(self, key: str, line: Document) -> bool:
        """Write a line unless it is there; tell whether it was new."""
        try:
            return self._alert_log.append(key, line)
        except OSError as error:
            why = error.strerror or error
            advice = "free some space or make it writable; alerts wait, and are written then"
            raise ChannelUnusable(f"alert log {self._alert_log.path}: {why}; {advice}") from error


class Dispatcher:
    """Delivers what is due."""

    def __init__(self, store: Store, channels: Sequence[Channel]) -> None:
        """Deliver to these channels."""
        self._store = store
        self._channels = channels
        self._mute: set[str] = set()

    def deliver(self, now: Timestamp) -> int:
        """Try every message that is due, oldest first; return how many were delivered.

        Raises `StoreUnusable` when the outbox itself cannot be read or written.
        """
        delivered = 0
        for channel in self._channels:
            with self._store.read() as transaction:
                due = transaction.outbox.due(channel.name, now, BATCH, LONGEST_PAUSE)
            delivered += sum(self._deliver(channel, message, now) for message in due)
        return delivered

    def _deliver(self, channel: Channel, message: Message, now: Timestamp) -> bool:
        try:
            with self._store.write() as transaction:
                channel.deliver(message, transaction, now)
                transaction.outbox.delivered(message, now)
        except StoreUnusable:
            raise
        except Exception as error:  # noqa: BLE001
            self._postpone(message, error, now)
            return False
        if channel.name in self._mute:
            self._mute.remove(channel.name)
            _log.info("delivery works again %s", pairs(channel=channel.name))
        return True

    def _postpone(self, message: Message, error: Exception, now: Timestamp) -> None:
        pause = backoff(message.attempts)
        if isinstance(error, ChannelUnusable):
            # Not one message but all of them: said once, and loudly.
            if message.channel not in self._mute:
                _log.error("alerts are not delivered %s", pairs(channel=message.channel, error=error))
            self._mute.add(message.channel)
        elif message.attempts == 0:
            said = pairs(
                channel=message.channel, key=message.key, error=error, retry_in=clock.duration_text(pause)
            )
            _log.warning("delivery failed, the message stays and is tried again %s", said)
        with self._store.write() as transaction:
            transaction.outbox.failed(message, str(error) or type(error).__name__, Timestamp(now + pause))


def backoff(attempts: int) -> int:
    """Return the milliseconds to wait after so many earlier attempts: doubling from 1 s to 5 min."""
    return min(LONGEST_PAUSE, FIRST_PAUSE << min(attempts, 20))
