"""Tallies of alerts and runs, which metrics are made of: counting rows took longer with every row.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and count what is there for the last time."""
    tally = op.create_table(
        "tally",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "state", "reason", name="pk_tally"),
    )
    for counts in (_alerts("firing", "fired_at"), _alerts("resolved", "resolved_at"), _runs()):
        op.execute(sa.insert(tally).from_select(["kind", "name", "state", "reason", "count"], counts))


def _alerts(state: str, since: str) -> sa.SelectBase:
    alert = sa.table("alert", sa.column("labels"), sa.column(since))
    postgresql = op.get_context().dialect.name == "postgresql"
    name: sa.ColumnElement[str] = sa.literal_column(
        "labels::json ->> 'alertname'" if postgresql else "labels ->> '$.alertname'"
    )
    nothing = sa.literal("")
    rows = sa.select(sa.literal("alert"), name, sa.literal(state), nothing, sa.func.count())
    return rows.select_from(alert).where(alert.c[since].is_not(None)).group_by(name)


def _runs() -> sa.SelectBase:
    run = sa.table("run", sa.column("runbook"), sa.column("state"), sa.column("reason"))
    key = (run.c.runbook, run.c.state, run.c.reason)
    over = run.c.state.in_(["succeeded", "failed", "refused"])
    return sa.select(sa.literal("run"), *key, sa.func.count()).where(over).group_by(*key)


def downgrade() -> None:
    """Drop the table; its counts follow from the rows."""
    op.drop_table("tally")
