"""What closes the loop: sources of alerts, received alerts, pages, incidents, drills.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column and make the new tables."""
    op.add_column("alert", sa.Column("source", sa.Text, nullable=False, server_default="slo"))
    _received()
    _incidents()
    _drills()


def _received() -> None:
    op.create_table(
        "received",
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("annotations", sa.Text, nullable=False),
        sa.Column("disposition", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("times", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "starts_at", "status", name="pk_received"),
    )
    op.create_index("ix_received_received_at", "received", ["received_at"])
    op.create_table(
        "page",
        sa.Column("peer", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("fired_at", sa.BigInteger, nullable=False),
        sa.Column("accepted_at", sa.BigInteger, nullable=False),
        sa.Column("resolved_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("peer", "fingerprint", "fired_at", name="pk_page"),
    )
    op.create_index("ix_page_fingerprint_fired_at", "page", ["fingerprint", "fired_at"])


def _incidents() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
    )
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "uq_incident_open", "incident", ["node"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_incident_opened_at", "incident", ["opened_at"])
    op.create_index("ix_incident_node_closed_at", "incident", ["node", "closed_at"])
    op.create_table(
        "incident_alert",
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("fired_at", sa.BigInteger, nullable=False),
        sa.Column("incident", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "fired_at", name="pk_incident_alert"),
    )
    op.create_index("ix_incident_alert_incident", "incident_alert", ["incident"])


def _drills() -> None:
    op.create_table(
        "drill",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("gameday", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("scheduled_at", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("active", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_drill"),
        sa.UniqueConstraint("gameday", "scheduled_at", name="uq_drill_gameday_scheduled_at"),
        sa.UniqueConstraint("active", name="uq_drill_active"),
    )
    op.create_index("ix_drill_requested_at", "drill", ["requested_at"])
    op.create_table(
        "drill_journal",
        sa.Column("drill", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("drill", "seq", name="pk_drill_journal"),
    )


def downgrade() -> None:
    """Drop what was added, and with it every page, received alert, incident and drill."""
    for table in ("drill_journal", "drill", "incident_alert", "incident", "page", "received"):
        op.drop_table(table)
    with op.batch_alter_table("alert") as batch:
        batch.drop_column("source")
