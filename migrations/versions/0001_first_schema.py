"""First schema: history, alerts, outbox, runs, journal, tallies, audit.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table; the audit chain begins with a head of 64 zeros."""
    _history()
    _alerts()
    _runs()
    _tallies()
    _audit()


def _history() -> None:
    op.create_table(
        "slo_bucket",
        sa.Column("slo", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.Text, nullable=False),
        sa.Column("total", sa.Text, nullable=False),
        sa.Column("readings", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("slo", "definition", "labels", "minute", name="pk_slo_bucket"),
    )
    op.create_index("ix_slo_bucket_minute", "slo_bucket", ["minute"])
    op.create_table(
        "slo_cursor",
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("followed", sa.Text, nullable=False),
        sa.Column("series", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("node", name="pk_slo_cursor"),
    )


def _alerts() -> None:
    op.create_table(
        "alert",
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("fired_at", sa.BigInteger, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("annotations", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("resolved_at", sa.BigInteger),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("clearing_since", sa.BigInteger),
        sa.PrimaryKeyConstraint("fingerprint", "fired_at", name="pk_alert"),
    )
    firing = sa.text("state = 'firing'")
    op.create_index(
        "uq_alert_firing", "alert", ["fingerprint"], unique=True, sqlite_where=firing, postgresql_where=firing
    )
    op.create_index("ix_alert_resolved_at", "alert", ["resolved_at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("channel", "key", name="uq_outbox_channel_key"),
    )
    op.create_index("ix_outbox_delivered_at", "outbox", ["delivered_at"])


def _runs() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("runbook", sa.Text, nullable=False),
        sa.Column("alert", sa.Text, nullable=False),
        sa.Column("fired_at", sa.BigInteger, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
    )
    op.create_index("ix_run_started_at", "run", ["started_at"])
    op.create_index("ix_run_state", "run", ["state"])
    op.create_table(
        "journal",
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run", "seq", name="pk_journal"),
    )


def _tallies() -> None:
    op.create_table(
        "tally",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "state", "reason", name="pk_tally"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    meta = op.create_table(
        "meta",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.bulk_insert(meta, [{"key": "audit_head", "value": "0:" + "0" * 64}])


def downgrade() -> None:
    """Drop every table, and with them everything that was recorded."""
    for table in ("meta", "audit", "tally", "journal", "run", "outbox", "alert", "slo_cursor", "slo_bucket"):
        op.drop_table(table)
