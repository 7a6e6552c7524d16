"""Migrations lead a database of any age to the present schema, from memory, all or nothing."""

import pathlib
import shutil

import pytest
import sqlalchemy
from alembic import autogenerate
from alembic.runtime.migration import MigrationContext

from netsre.app import resources
from netsre.errors import StoreUnusable
from netsre.store import schema
from netsre.store.database import Store
from netsre.store.migrations import Migrations
from tests.unit import burning


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


def test_nothing_is_read_from_disk_after_loading(tmp_path: pathlib.Path) -> None:
    """The process may have lost the right to read its checkout by then."""
    copy = tmp_path / "migrations"
    shutil.copytree(resources.directory("migrations"), copy)
    loaded = Migrations.load(str(copy))
    shutil.rmtree(copy)

    store = Store.at(tmp_path / "data", loaded)

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
    store = Store.at(tmp_path, burning.MIGRATIONS)
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


def test_minutes_of_the_first_schema_survive_the_way_up_and_down(tmp_path: pathlib.Path) -> None:
    """They have no definition on the way up; on the way down one definition of each SLO stays."""
    store = Store.at(tmp_path, burning.MIGRATIONS)
    old = "INSERT INTO slo_bucket VALUES ('a', '{}', 60000, 1, 7, 3)"
    new = "INSERT INTO slo_bucket VALUES ('a', '{}', 60000, 1, 9, 3, 'new')"
    with store._engine.begin() as connection:
        burning.MIGRATIONS.run(connection, "0001")
        connection.exec_driver_sql(old)
    store.upgrade()

    with store._engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT * FROM slo_bucket").mappings().one() == {
            "slo": "a", "definition": "", "labels": "{}", "minute": 60_000, "bad": "1", "total": "7",
            "readings": 3,
        }  # fmt: skip
        connection.exec_driver_sql(new)
        burning.MIGRATIONS.run(connection, "0001")
        assert connection.exec_driver_sql("SELECT total FROM slo_bucket").scalars().all() == ["9"]
    store.close()


def test_alerts_and_runs_of_an_older_schema_are_counted(tmp_path: pathlib.Path) -> None:
    """No total falls because of an upgrade."""
    store = Store.at(tmp_path, burning.MIGRATIONS)
    alert = "INSERT INTO alert VALUES ('f', {}, '{{\"alertname\":\"Burn\"}}', '{{}}', 'x', {}, 0, NULL)"
    run = "INSERT INTO run VALUES ('{}', 'look', 'f', 1, 't', '{}', 'why', 1, NULL)"
    with store._engine.begin() as connection:
        burning.MIGRATIONS.run(connection, "0002")
        for at, ended in ((1, "NULL"), (2, "5")):
            connection.exec_driver_sql(alert.format(at, ended))
        for name, state in (("a", "failed"), ("b", "failed"), ("c", "refused"), ("d", "gated")):
            connection.exec_driver_sql(run.format(name, state))

    store.upgrade()

    with store.read() as transaction:
        assert transaction.alerts.transitions() == {("Burn", "firing"): 2, ("Burn", "resolved"): 1}
        assert transaction.runs.counts() == {
            ("look", "failed", "why"): 2,
            ("look", "refused", "why"): 1,
            ("look", "gated", "why"): 1,
        }
    store.close()
