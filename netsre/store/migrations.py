"""Leads a database of any age to the present schema, with revisions that were read beforehand.

The controller gives up its privileges, and with them perhaps the right to read its own checkout, before it
opens the database. `Migrations.load` therefore reads every revision at once; nothing is read from disk later.
"""

from dataclasses import dataclass

from alembic.config import Config
from alembic.ddl import postgresql, sqlite
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from netsre.errors import StoreUnusable
from netsre.store import schema

# Alembic finds its dialects by their being imported; named here so that they are, and are not "unused".
DIALECTS = (postgresql.PostgresqlImpl, sqlite.SQLiteImpl)


@dataclass(frozen=True, slots=True)
class Migrations:
    """Every revision, in memory."""

    config: Config
    script: ScriptDirectory
    head: str
    revisions: frozenset[str]

    @classmethod
    def load(cls, directory: str) -> "Migrations":
        """Read all revisions under a directory."""
        config = Config()
        config.set_main_option("script_location", directory.replace("%", "%%"))
        script = ScriptDirectory.from_config(config)
        head = script.get_current_head()
        if head is None:
            message = f"{directory}: no migrations found; reinstall netsre"
            raise StoreUnusable(message)
        return cls(config, script, head, frozenset(found.revision for found in script.walk_revisions()))

    def upgrade(self, connection: Connection, where: str) -> bool:
        """Bring the database up to date inside the caller's transaction; tell whether anything was done.

        Raises `StoreUnusable` when the database was written by a version that we do not know.
        """
        current = self.current(connection)
        self.refuse_unknown(current, where)
        if current == self.head:
            return False
        self.run(connection, self.head)
        return True

    def run(self, connection: Connection, target: str) -> None:
        """Go to a revision: up, or down for one that is older."""
        down = target == "base" or target in self._below(self.current(connection))
        step = self.script._downgrade_revs if down else self.script._upgrade_revs  # noqa: SLF001
        with EnvironmentContext(self.config, self.script, fn=lambda rev, _: step(target, rev)) as environment:
            environment.configure(
                connection=connection,
                target_metadata=schema.metadata,
                render_as_batch=True,
                transactional_ddl=True,
            )
            environment.run_migrations()

    def current(self, connection: Connection) -> str | None:
        """Return the revision of a database; None for an empty one."""
        return MigrationContext.configure(connection).get_current_revision()

    def refuse_unknown(self, current: str | None, where: str) -> None:
        """Raise `StoreUnusable` for a revision that this version of netsre does not know."""
        if current is not None and current not in self.revisions:
            message = (
                f"database {where} has schema {current}, this netsre knows up to {self.head}; "
                "install the netsre that wrote it, or restore a backup from before that upgrade"
            )
            raise StoreUnusable(message)

    def _below(self, current: str | None) -> frozenset[str]:
        if current is None:
            return frozenset()
        return frozenset(found.revision for found in self.script.iterate_revisions(current, "base")) - {
            current
        }
