"""The tables, once, for SQLite and PostgreSQL. `migrations/` leads a database of any age to this shape."""

import functools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint, text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from netsre.model.documents import Document, Json, canonical
from netsre.model.samples import Labels, labels

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata: Final = MetaData(naming_convention=NAMING)


# Months of minutes repeat few numbers and fewer groups: each is read once, and then shared.
@functools.lru_cache(maxsize=16_384)
def _decimal(text: str) -> Decimal:
    return Decimal(text)


@functools.lru_cache(maxsize=16_384)
def _labels(text: str) -> Labels:
    return labels(json.loads(text))


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal as text: SQLite would make it a float, and PostgreSQL's scale would round it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        """Write the digits."""
        del dialect
        return None if value is None else f"{value:f}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        """Read the digits."""
        del dialect
        return None if value is None else _decimal(value)


class LabelSet(TypeDecorator[Labels]):
    """Labels as a canonical JSON object, so that equal sets are equal text and can be part of a key."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Labels | None, dialect: Dialect) -> str | None:
        """Write the labels."""
        del dialect
        return None if value is None else canonical(dict(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Labels | None:
        """Read the labels."""
        del dialect
        return None if value is None else _labels(value)


class JsonText(TypeDecorator[Document]):
    """A JSON object in its canonical form."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Document | None, dialect: Dialect) -> str | None:
        """Write the object."""
        del dialect
        return None if value is None else canonical(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Document | None:
        """Read the object."""
        del dialect
        return None if value is None else cast("Mapping[str, Json]", json.loads(value))


slo_bucket: Final = Table(
    "slo_bucket",
    metadata,
    Column("slo", Text, primary_key=True),
    # What was measured under that name.
    Column("definition", Text, primary_key=True),
    Column("labels", LabelSet, primary_key=True),
    # Both in milliseconds: how long it is, and when it begins.
    Column("step", BigInteger, primary_key=True),
    Column("begin", BigInteger, primary_key=True),
    Column("bad", ExactDecimal, nullable=False),
    Column("total", ExactDecimal, nullable=False),
    # Minutes with at least one reading.
    Column("measured", Integer, nullable=False),
    Index(None, "step", "begin"),
)

slo_cursor: Final = Table(
    "slo_cursor",
    metadata,
    Column("node", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    # A JSON list of the keys that were followed.
    Column("followed", Text, nullable=False),
    # [[name, {label: value}, digits], …] in the cursor's own order; never searched.
    Column("series", Text, nullable=False),
)

alert: Final = Table(
    "alert",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("fired_at", BigInteger, primary_key=True),
    Column("labels", LabelSet, nullable=False),
    Column("annotations", JsonText, nullable=False),
    Column("state", Text, nullable=False),
    Column("resolved_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("clearing_since", BigInteger),
    Column("source", Text, nullable=False, server_default="slo"),
    Index(
        "uq_alert_firing",
        "fingerprint",
        unique=True,
        sqlite_where=text("state = 'firing'"),
        postgresql_where=text("state = 'firing'"),
    ),
    Index(None, "resolved_at"),
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("delivered_at", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", BigInteger, nullable=False),
    Column("last_error", Text),
    UniqueConstraint("channel", "key"),
    Index(None, "delivered_at"),
)

run: Final = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("runbook", Text, nullable=False),
    Column("alert", Text, nullable=False),
    Column("fired_at", BigInteger, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # When its first change was begun.
    Column("changed_at", BigInteger),
    Index(None, "started_at"),
    Index(None, "state"),
    Index(None, "changed_at"),
)

journal: Final = Table(
    "journal",
    metadata,
    Column("run", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("data", JsonText, nullable=False),
)

pause: Final = Table(
    "pause",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("ended_by", Text, nullable=False),
    Index(None, "until"),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("key", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)

release: Final = Table(
    "release",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

received: Final = Table(
    "received",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("starts_at", BigInteger, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("ends_at", BigInteger),
    Column("labels", LabelSet, nullable=False),
    Column("annotations", JsonText, nullable=False),
    Column("disposition", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("times", BigInteger, nullable=False),
    Index(None, "received_at"),
)

page: Final = Table(
    "page",
    metadata,
    Column("peer", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("fired_at", BigInteger, primary_key=True),
    Column("accepted_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Index(None, "fingerprint", "fired_at"),
)

incident: Final = Table(
    "incident",
    metadata,
    Column("id", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Index(
        "uq_incident_open",
        "node",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index(None, "opened_at"),
    Index(None, "node", "closed_at"),
)

event: Final = Table(
    "event",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    # Empty where it is about all.
    Column("node", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("said_at", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Index(None, "at"),
)

incident_alert: Final = Table(
    "incident_alert",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("fired_at", BigInteger, primary_key=True),
    Column("incident", Text, nullable=False),
    Index(None, "incident"),
)

drill: Final = Table(
    "drill",
    metadata,
    Column("id", Text, primary_key=True),
    Column("gameday", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("scheduled_at", BigInteger),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("result", JsonText, nullable=False),
    # 1 while it is not over, else NULL: there is one at a time.
    Column("active", Integer),
    UniqueConstraint("gameday", "scheduled_at"),
    UniqueConstraint("active"),
    Index(None, "requested_at"),
)

drill_journal: Final = Table(
    "drill_journal",
    metadata,
    Column("drill", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", JsonText, nullable=False),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

tally: Final = Table(
    "tally",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

lease: Final = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

slack_message: Final = Table(
    "slack_message",
    metadata,
    Column("incident", Text, primary_key=True),
    # Which of its messages: empty for the first one, else the run or question that it is about.
    Column("key", Text, primary_key=True),
    # What its buttons carry, and its metadata in Slack.
    Column("token", Text, nullable=False),
    Column("channel", Text, nullable=False),
    # Its name in Slack; empty until it is known to be there.
    Column("ts", Text, nullable=False),
    # Hash of what it says there; empty until then.
    Column("digest", Text, nullable=False),
    # When it was sent and no answer came: it may be there or not.
    Column("tried_at", BigInteger),
    Column("noted_at", BigInteger, nullable=False),
    # When nothing was left to say.
    Column("done_at", BigInteger),
    UniqueConstraint("token"),
    Index(None, "done_at"),
)

meta: Final = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
