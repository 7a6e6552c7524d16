"""The same schema and statements are PostgreSQL's too."""

import io

from alembic.runtime.environment import EnvironmentContext
from sqlalchemy.engine import URL, Dialect

from netsre.store import schema, statements
from tests.unit import burning


def postgres() -> Dialect:
    """Return the dialect; no driver and no server are needed to write its SQL."""
    return URL.create("postgresql").get_dialect()()


def migration() -> str:
    """Return the migrations as a script for PostgreSQL."""
    written = io.StringIO()
    loaded = burning.MIGRATIONS
    steps = loaded.script._upgrade_revs
    with EnvironmentContext(
        loaded.config, loaded.script, fn=lambda revision, _: steps("head", revision), as_sql=True
    ) as environment:
        environment.configure(dialect_name="postgresql", output_buffer=written, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()
    return written.getvalue()


def test_the_migrations_make_every_table_and_index_on_postgresql() -> None:
    """Partial indexes and types included."""
    script = migration()

    for table in schema.metadata.tables.values():
        assert f"CREATE TABLE {table.name} (" in script
        for index in table.indexes:
            assert f"INDEX {index.name} ON {table.name}" in script
    assert "ON alert (fingerprint) WHERE state = 'firing'" in script


def test_columns_have_the_types_of_the_tables() -> None:
    """Column by column, what the migrations create is what the tables in code say for PostgreSQL."""
    script = migration()
    dialect = postgres()

    for table in schema.metadata.tables.values():
        block = script.rpartition(f"CREATE TABLE {table.name} (")[2].partition("\n);")[0]
        for column in table.columns:
            kind = (
                "SERIAL" if table.name == "outbox" and column.name == "id" else column.type.compile(dialect)
            )
            added = f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}" in script
            assert added or f"{column.name} {kind}" in block, (table.name, column.name)
        key = f"PRIMARY KEY ({', '.join(column.name for column in table.primary_key)})"
        assert key in block or f"ALTER TABLE {table.name} ADD CONSTRAINT pk_{table.name} {key}" in script


def test_upserts_are_written_for_postgresql() -> None:
    """The conflict is on the primary key, and every other column is overwritten."""
    for table in (schema.slo_bucket, schema.slo_cursor, schema.alert):
        text = str(statements.upsert(postgres(), table).compile(dialect=postgres()))
        keys = ", ".join(column.name for column in table.primary_key)
        assert f"ON CONFLICT ({keys}) DO UPDATE SET" in text
