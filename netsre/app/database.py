"""What `netsre db` does: bring a database up to date, and prove that its audit chain is whole."""

from dataclasses import dataclass
from pathlib import Path

from netsre.app import resources
from netsre.store.database import Store
from netsre.store.migrations import Migrations


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    path: str
    schema: str
    audit_rows: int
    broken_seq: int | None
    """The first row where the audit chain does not hold."""
    why: str | None


def upgrade(data_dir: Path) -> tuple[str, str, bool]:
    """Bring a database up to date, or make one; return path, schema, and whether anything was done."""
    migrations = Migrations.load(str(resources.directory("migrations")))
    store = Store.at(data_dir, migrations)
    try:
        return store.where, migrations.head, store.upgrade()
    finally:
        store.close()


def check(data_dir: Path) -> Checked:
    """Check the schema and the whole audit chain; raises `StoreUnusable` when it cannot be read."""
    store = Store.at(data_dir, Migrations.load(str(resources.directory("migrations"))), create=False)
    try:
        schema = store.verify()
        with store.read() as transaction:
            broken = transaction.audit.first_broken()
            rows = transaction.audit.length()
        where = store.where
    finally:
        store.close()
    return Checked(where, schema, rows, broken.seq if broken else None, broken.why if broken else None)
