"""What was told of an incident in Slack, so that each message is there once and can be changed.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "slack_message",
        sa.Column("incident", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("ts", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("tried_at", sa.BigInteger),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("incident", "key", name="pk_slack_message"),
        sa.UniqueConstraint("token", name="uq_slack_message_token"),
    )
    op.create_index("ix_slack_message_done_at", "slack_message", ["done_at"])


def downgrade() -> None:
    """Forget it; whoever comes up again posts anew."""
    op.drop_index("ix_slack_message_done_at", "slack_message")
    op.drop_table("slack_message")
