"""What gates judge by: when a run began to change something, pauses, quarantine, and what people set free.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; a run of before that changed something did so when it began."""
    op.add_column("run", sa.Column("changed_at", sa.BigInteger))
    op.execute(
        "UPDATE run SET changed_at = started_at WHERE id IN "
        "(SELECT run FROM journal WHERE kind = 'intent' AND data LIKE '%\"effect\":%')"
    )
    op.create_index("ix_run_changed_at", "run", ["changed_at"])
    op.create_table(
        "pause",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pause"),
    )
    op.create_index("ix_pause_until", "pause", ["until"])
    op.create_table(
        "quarantine",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_quarantine"),
    )
    op.create_table(
        "release",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_release"),
    )


def downgrade() -> None:
    """Forget them; an older version has no such gates."""
    op.drop_table("release")
    op.drop_table("quarantine")
    op.drop_index("ix_pause_until", "pause")
    op.drop_table("pause")
    op.drop_index("ix_run_changed_at", "run")
    with op.batch_alter_table("run") as table:
        table.drop_column("changed_at")
