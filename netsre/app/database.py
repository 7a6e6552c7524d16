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
    head: str
    """The newest row of the chain, as `number:hash`."""
    broken_seq: int | None
    """The first row where the audit chain does not hold."""
    why: str | None


def opened(data_dir: Path, address: str | None, migrations: Migrations, *, create: bool = True) -> Store:
    """Return the store at an address, or, without one, in a data directory.

    Raises `BadInput` for what is no address, `StoreUnusable` for a file that cannot be.
    """
    if address is not None:
        return Store.served(address, migrations)
    return Store.at(data_dir, migrations, create=create)


def upgrade(data_dir: Path, address: str | None = None) -> tuple[str, str, bool]:
    """Bring a database up to date, or make one; return path, schema, and whether anything was done."""
    migrations = Migrations.load(str(resources.directory("migrations")))
    store = opened(data_dir, address, migrations)
    try:
        return store.where, migrations.head, store.upgrade()
    finally:
        store.close()


def check(data_dir: Path, address: str | None = None) -> Checked:
    """Check the schema and the whole audit chain; raises `StoreUnusable` when it cannot be read."""
    migrations = Migrations.load(str(resources.directory("migrations")))
    store = opened(data_dir, address, migrations, create=False)
    try:
        schema = store.verify()
        with store.read() as transaction:
            broken = transaction.audit.first_broken()
            rows = transaction.audit.length()
            head = transaction.audit.head()
        where = store.where
    finally:
        store.close()
    where_broken, why = (broken.seq, broken.why) if broken else (None, None)
    return Checked(where, schema, rows, str(head), where_broken, why)
