"""Migrations lead a database of any age to the present schema, from memory, all or nothing."""

import pathlib
import shutil
from decimal import Decimal

import pytest
import sqlalchemy
from alembic import autogenerate
from alembic.runtime.migration import MigrationContext

from netsre import clock
from netsre.app import resources
from netsre.errors import StoreUnusable
from netsre.slo.buckets import Bucket
from netsre.store import schema
from netsre.store.migrations import Migrations
from tests import databases
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_new_database")


def test_there_is_one_head() -> None:
    """Two would mean that two changes do not know of each other."""
    assert burning.MIGRATIONS.script.get_heads() == [burning.MIGRATIONS.head]


def test_the_migrations_lead_to_the_tables_of_the_schema(tmp_path: pathlib.Path) -> None:
    """Alembic finds no difference between the migrated database and the tables in code."""
    store = burning.store(tmp_path)

    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = autogenerate.compare_metadata(context, schema.metadata)

    assert differences == []
    store.close()


def test_down_and_up_again_ends_where_it_began(tmp_path: pathlib.Path) -> None:
    """Every downgrade is the way back of its upgrade."""
    store = burning.store(tmp_path)
    with store._engine.begin() as connection:
        burning.MIGRATIONS.run(connection, "base")
        assert set(sqlalchemy.inspect(connection).get_table_names()) == {"alembic_version"}

    assert store.upgrade() is True
    assert store.upgrade() is False
    store.close()


def test_an_upgrade_keeps_what_is_there(tmp_path: pathlib.Path) -> None:
    """A second start on the same data finds the first one's alerts."""
    first = burning.store(tmp_path)
    with first.write() as transaction:
        transaction.alerts.save(burning.fired().alert)
    first.close()

    second = burning.store(tmp_path)
    with second.read() as transaction:
        assert list(transaction.alerts.active().values()) == [burning.fired().alert]
    second.close()


def test_minutes_of_an_older_version_are_kept_up_and_down(tmp_path: pathlib.Path) -> None:
    """Before there were tiers, a history was minutes, with the number of readings in each."""
    store = burning.store(tmp_path)
    row = "('flow', 'what', '{\"node\":\"a\"}', 1767225600000, '0.5', '7', 4)"
    with store._engine.begin() as connection:
        burning.MIGRATIONS.run(connection, "0002")
        connection.exec_driver_sql(f"INSERT INTO slo_bucket VALUES {row}")  # noqa: S608  no one else's text
    store.upgrade()
    with store.read() as transaction:
        (bucket,) = transaction.history.buckets()
    assert bucket == Bucket("flow", burning.NODE, burning.T0, Decimal("0.5"), Decimal(7), 1, "what")

    with store.write() as transaction:
        transaction.history.save([bucket._replace(step=clock.HOUR)], [])
    with store._engine.begin() as connection:
        burning.MIGRATIONS.run(connection, "0002")
        kept = connection.exec_driver_sql("SELECT minute, bad, total FROM slo_bucket").all()
    assert [tuple(one) for one in kept] == [(burning.T0, "0.5", "7")]
    store.close()


LATER = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "later", {head!r}, None, None


def upgrade():
    with op.batch_alter_table("alert") as table:
        table.add_column(sa.Column("note", sa.Text, nullable=False, server_default="none"))


def downgrade():
    with op.batch_alter_table("alert") as table:
        table.drop_column("note")
"""


def test_a_later_revision_finds_the_data_and_leaves_it(tmp_path: pathlib.Path) -> None:
    """Rows survive the way up, which rebuilds their table, and the way down."""
    first = burning.store(tmp_path)
    with first.write() as transaction:
        transaction.alerts.save(burning.fired().alert)
    first.close()
    copy = tmp_path / "migrations"
    shutil.copytree(resources.directory("migrations"), copy)
    (copy / "versions" / "later.py").write_text(LATER.format(head=burning.MIGRATIONS.head))
    loaded = Migrations.load(str(copy))
    later = databases.opened(tmp_path, loaded)

    assert later.upgrade() is True

    with later._engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT note FROM alert").scalars().all() == ["none"]
        loaded.run(connection, burning.MIGRATIONS.head)
    with later.read() as transaction:
        assert list(transaction.alerts.active().values()) == [burning.fired().alert]
    later.close()


def test_nothing_is_read_from_disk_after_loading(tmp_path: pathlib.Path) -> None:
    """The process may have lost the right to read its checkout by then."""
    copy = tmp_path / "migrations"
    shutil.copytree(resources.directory("migrations"), copy)
    loaded = Migrations.load(str(copy))
    shutil.rmtree(copy)

    store = databases.opened(tmp_path / "data", loaded)

    assert store.upgrade() is True
    store.close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: pathlib.Path) -> None:
    """One line with both versions and the next step."""
    store = burning.store(tmp_path)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    for attempt in (store.upgrade, store.verify):
        with pytest.raises(StoreUnusable) as refused:
            attempt()
        known = f"has schema 9999, this netsre knows up to {burning.MIGRATIONS.head}; install the netsre"
        assert known in str(refused.value)
    store.close()


def test_an_upgrade_that_fails_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    """DDL is part of the transaction."""
    store = databases.opened(tmp_path, burning.MIGRATIONS)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE audit (in_the_way INTEGER)")

    with pytest.raises(StoreUnusable):
        store.upgrade()

    with store._engine.connect() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == ["audit"]
    store.close()


def test_a_directory_without_migrations_is_an_installation_that_is_broken(tmp_path: pathlib.Path) -> None:
    """One line, not an empty database."""
    (tmp_path / "versions").mkdir()

    with pytest.raises(StoreUnusable, match="no migrations found; reinstall netsre"):
        Migrations.load(str(tmp_path))


def test_runs_of_an_older_version_that_changed_something_did_so_when_they_began(
    tmp_path: pathlib.Path,
) -> None:
    """Their journals say so; what only looked changed nothing. Down again, the runs are as they were."""
    store = burning.store(tmp_path)
    runs = (
        "INSERT INTO run (id, runbook, alert, fired_at, target, state, reason, started_at) VALUES "
        "('a', 'act', 'f', 1, 't', 'undone', 'w', 7), ('b', 'look', 'f', 1, 't', 'succeeded', 'w', 8)"
    )
    intents = (
        "INSERT INTO journal (run, seq, at, kind, step, action, data) VALUES "
        """('a', 1, 1, 'intent', 1, 'x', '{"effect":{"kind":"flush"},"key":"a/1"}'), """
        """('b', 1, 1, 'intent', 0, 'x', '{"with":{}}')"""
    )
    with store._engine.begin() as connection:
        burning.MIGRATIONS.run(connection, "0003")
        for row in (runs, intents):
            connection.exec_driver_sql(row)
    store.upgrade()
    with store.read() as transaction:
        kept = [transaction.runs.find(name) for name in ("a", "b")]
    assert [one and one.changed_at for one in kept] == [7, None]

    with store._engine.begin() as connection:
        burning.MIGRATIONS.run(connection, "0003")
        left = connection.exec_driver_sql("SELECT id, state FROM run ORDER BY id").all()
    assert [tuple(one) for one in left] == [("a", "undone"), ("b", "succeeded")]
    store.close()
