"""What is told of incidents in Slack: each message is noted before it is sent, and then known by its name."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from netsre.clock import Timestamp
from netsre.store import schema
from netsre.store.statements import insert_once

PARENT = ""
"""The key of the message that the others are replies to."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message about an incident."""

    incident: str
    key: str
    token: str
    """What nobody can guess: its buttons carry it, and so does its metadata."""
    channel: str
    ts: str
    """Its name in Slack; empty until it is known to be there."""
    digest: str
    """Hash of what it says there; empty until then."""
    tried_at: Timestamp | None
    """When it was sent and no answer came: it may be there or not."""
    noted_at: Timestamp
    done_at: Timestamp | None
    """When nothing was left to say."""


class SlackMessages:
    """Keeps them inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def note(self, incident: str, keys: Iterable[str], now: Timestamp) -> None:
        """Note messages that are to be sent; one that is noted already stays as it is."""
        rows = [
            {
                "incident": incident,
                "key": key,
                "token": secrets.token_hex(16),
                "channel": "",
                "ts": "",
                "digest": "",
                "noted_at": now,
            }
            for key in keys
        ]
        if rows:
            once = insert_once(self._connection.dialect, schema.slack_message, ("incident", "key"))
            self._connection.execute(once, rows)

    def of(self, incident: str) -> dict[str, Told]:
        """Return the messages of an incident by key."""
        table = schema.slack_message
        rows = self._connection.execute(select(table).where(table.c.incident == incident))
        return {row.key: Told(*row) for row in rows}

    def find(self, token: str) -> Told | None:
        """Return the message with a token."""
        table = schema.slack_message
        row = self._connection.execute(select(table).where(table.c.token == token)).first()
        return None if row is None else Told(*row)

    def tried(self, token: str, at: Timestamp | None) -> None:
        """Keep that a message is being sent; None: that it was not taken."""
        table = schema.slack_message
        self._connection.execute(update(table).where(table.c.token == token).values(tried_at=at))

    def told(self, token: str, channel: str, ts: str, digest: str) -> None:
        """Keep where a message is, and what it says there; an empty `ts`: that it is gone."""
        table = schema.slack_message
        row = update(table).where(table.c.token == token)
        self._connection.execute(row.values(channel=channel, ts=ts, digest=digest, tried_at=None))

    def done(self, incident: str, at: Timestamp | None) -> None:
        """Keep that nothing is left to say about an incident; None: that there is again."""
        table = schema.slack_message
        self._connection.execute(update(table).where(table.c.incident == incident).values(done_at=at))

    def due(self, since: Timestamp, limit: int) -> list[str]:
        """Return the incidents that there is something to say about, or may be.

        They are the newest that are open, those that closed and whose messages are not as they will stay, and
        those that closed since a time and were never told of; up to a number of each.
        """
        told, incident = schema.slack_message, schema.incident
        known = select(told.c.incident).where(told.c.incident == incident.c.id)
        newest = select(incident.c.id).order_by(incident.c.opened_at.desc(), incident.c.id).limit(limit)
        found: dict[str, None] = {}
        for query in (
            newest.where(incident.c.closed_at.is_(None)),
            newest.where(incident.c.closed_at.is_not(None), known.where(told.c.done_at.is_(None)).exists()),
            newest.where(incident.c.closed_at > since, ~known.exists()),
        ):
            found |= {row.id: None for row in self._connection.execute(query)}
        return list(found)

    def prune(self, before: Timestamp) -> int:
        """Forget messages that nothing was left to say in before a time; return how many."""
        table = schema.slack_message
        return self._connection.execute(delete(table).where(table.c.done_at < before)).rowcount
