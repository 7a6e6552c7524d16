"""Minutes know what they measured: a definition beside the name of the SLO.

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
    """Add the definition to the key; minutes that are there get an empty one, until a controller starts."""
    with op.batch_alter_table("slo_bucket") as table:
        table.add_column(sa.Column("definition", sa.Text, nullable=False, server_default=""))
        table.drop_constraint("pk_slo_bucket", type_="primary")
        table.create_primary_key("pk_slo_bucket", ["slo", "definition", "labels", "minute"])


def downgrade() -> None:
    """Forget the minutes of all but one definition of each SLO: without their key they would be one."""
    op.execute(
        "DELETE FROM slo_bucket WHERE EXISTS (SELECT 1 FROM slo_bucket other "
        "WHERE other.slo = slo_bucket.slo AND other.definition > slo_bucket.definition)"
    )
    with op.batch_alter_table("slo_bucket") as table:
        table.drop_constraint("pk_slo_bucket", type_="primary")
        table.create_primary_key("pk_slo_bucket", ["slo", "labels", "minute"])
        table.drop_column("definition")
