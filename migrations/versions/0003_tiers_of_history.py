"""History by tiers: minutes for some hours, five minutes for some days, hours for as long as a window.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "slo_bucket"
_BEFORE = "slo_bucket_before"


def upgrade() -> None:
    """Give every bucket a length; those that are there are minutes."""
    op.drop_index("ix_slo_bucket_minute", _TABLE)
    _set_aside()
    op.create_table(
        _TABLE,
        sa.Column("slo", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("begin", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.Text, nullable=False),
        sa.Column("total", sa.Text, nullable=False),
        sa.Column("measured", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("slo", "definition", "labels", "step", "begin", name="pk_slo_bucket"),
    )
    op.execute(
        'INSERT INTO slo_bucket (slo, definition, labels, step, "begin", bad, total, measured) '
        "SELECT slo, definition, labels, 60000, minute, bad, total, CASE WHEN readings > 0 THEN 1 ELSE 0 END "
        "FROM slo_bucket_before"
    )
    op.drop_table(_BEFORE)
    op.create_index("ix_slo_bucket_step_begin", _TABLE, ["step", "begin"])


def downgrade() -> None:
    """Keep the minutes; coarser buckets mean nothing to an older version."""
    op.drop_index("ix_slo_bucket_step_begin", _TABLE)
    _set_aside()
    op.create_table(
        _TABLE,
        sa.Column("slo", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.Text, nullable=False),
        sa.Column("total", sa.Text, nullable=False),
        sa.Column("readings", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("slo", "definition", "labels", "minute", name="pk_slo_bucket"),
    )
    op.execute(
        "INSERT INTO slo_bucket (slo, definition, labels, minute, bad, total, readings) "
        'SELECT slo, definition, labels, "begin", bad, total, measured '
        "FROM slo_bucket_before WHERE step = 60000"
    )
    op.drop_table(_BEFORE)
    op.create_index("ix_slo_bucket_minute", _TABLE, ["minute"])


def _set_aside() -> None:
    op.rename_table(_TABLE, _BEFORE)
    if op.get_context().dialect.name == "postgresql":
        # There the name of a primary key is one of an index, and unique.
        op.execute("ALTER TABLE slo_bucket_before RENAME CONSTRAINT pk_slo_bucket TO pk_slo_bucket_before")
