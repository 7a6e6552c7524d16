"""Messages that must reach a channel: written with the change they tell of, marked when delivered."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Text, bindparam, delete, func, or_, select, type_coerce, update

from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.store import schema
from netsre.store.statements import insert_once


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one channel."""

    id: int
    channel: str
    key: str
    """Identity within the channel: the channel must treat the same key twice as once."""
    text: str
    """The payload as stored."""
    created_at: Timestamp
    attempts: int

    @property
    def payload(self) -> Document:
        """Return the payload; raises `ValueError` where something else is stored.

        Read here and not with the row: one message that is broken must not hold up the others.
        """
        payload = json.loads(self.text)
        if not isinstance(payload, dict):
            message = "message is no JSON object; it was written by another version, or by hand"
            raise ValueError(message)
        return payload


_box: Final = schema.outbox.c
_DUE: Final = (
    select(_box.id, _box.channel, _box.key, type_coerce(_box.payload, Text), _box.created_at, _box.attempts)
    .where(_box.channel == bindparam("to"), _box.delivered_at.is_(None))
    .where(or_(_box.next_attempt_at <= bindparam("now"), _box.next_attempt_at > bindparam("late")))
    .order_by(_box.id)
    .limit(bindparam("most"))
)
_DELIVERED: Final = (
    update(schema.outbox)
    .where(_box.id == bindparam("name"))
    .values(delivered_at=bindparam("now"), attempts=bindparam("tries"), last_error=None)
)
_PENDING: Final = select(_box.channel, func.count()).where(_box.delivered_at.is_(None)).group_by(_box.channel)


class Outbox:
    """Keeps messages inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def add(self, channel: str, key: str, payload: Document, at: Timestamp) -> None:
        """Put a message up for delivery; the same key twice is one message."""
        self.add_all(channel, [(key, payload)], at)

    def add_all(self, channel: str, found: Iterable[tuple[str, Document]], at: Timestamp) -> None:
        """Put messages up for delivery, each with its key, in this order."""
        rows = [
            {
                "channel": channel,
                "key": key,
                "payload": payload,
                "created_at": at,
                "attempts": 0,
                "next_attempt_at": at,
            }
            for key, payload in found
        ]
        if rows:
            once = insert_once(self._connection.dialect, schema.outbox, ("channel", "key"))
            self._connection.execute(once, rows)

    def due(self, channel: str, now: Timestamp, limit: int, longest: int) -> list[Message]:
        """Return messages to deliver now, in the order they were written.

        No message is made to wait more than `longest` milliseconds: one that waits longer was put off under a
        clock that ran ahead, and is due.
        """
        asked = {"to": channel, "now": now, "late": now + longest, "most": limit}
        return [Message(*row) for row in self._connection.execute(_DUE, asked)]

    def delivered(self, message: Message, at: Timestamp) -> None:
        """Mark a message as delivered."""
        done = {"name": message.id, "now": at, "tries": message.attempts + 1}
        self._connection.execute(_DELIVERED, done)

    def failed(self, message: Message, error: str, retry_at: Timestamp) -> None:
        """Keep a message for another attempt."""
        change = update(schema.outbox).where(schema.outbox.c.id == message.id)
        self._connection.execute(
            change.values(attempts=message.attempts + 1, last_error=error, next_attempt_at=retry_at)
        )

    def pending(self) -> Mapping[str, int]:
        """Return how many messages wait, by channel."""
        return {row[0]: row[1] for row in self._connection.execute(_PENDING)}

    def delivered_at(self, channel: str, key: str) -> Timestamp | None:
        """Return when a channel took a message; None when it has not, or when that was long ago."""
        t = schema.outbox
        query = select(t.c.delivered_at).where(t.c.channel == channel, t.c.key == key)
        return self._connection.execute(query).scalar_one_or_none()

    def prune(self, before: Timestamp) -> int:
        """Drop messages that were delivered before a time; return how many."""
        return self._connection.execute(
            delete(schema.outbox).where(schema.outbox.c.delivered_at < before)
        ).rowcount
