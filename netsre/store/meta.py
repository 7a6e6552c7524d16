"""Single facts about a data directory that outlive the process."""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from netsre.store import schema
from netsre.store.statements import portions, upsert

_FIND: Final = select(schema.meta.c.key, schema.meta.c.value).where(
    schema.meta.c.key.in_(bindparam("names", expanding=True))
)
_GET: Final = select(schema.meta.c.value).where(schema.meta.c.key == bindparam("name"))


class Meta:
    """Keeps facts by name inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def get(self, key: str) -> str | None:
        """Return a fact, None when it was never kept."""
        return self._connection.execute(_GET, {"name": key}).scalar_one_or_none()

    def find(self, keys: Iterable[str]) -> Mapping[str, str]:
        """Return the facts that there are of some."""
        return {
            row.key: row.value
            for some in portions(keys)
            for row in self._connection.execute(_FIND, {"names": some})
        }

    def put(self, key: str, value: str) -> None:
        """Keep a fact in place of what it was."""
        row = {"key": key, "value": value}
        self._connection.execute(upsert(self._connection.dialect, schema.meta), [row])

    def drop(self, keys: Iterable[str]) -> None:
        """Forget facts."""
        for some in portions(keys):
            self._connection.execute(delete(schema.meta).where(schema.meta.c.key.in_(some)))

    def named(self, prefix: str) -> Mapping[str, str]:
        """Return the facts whose names begin like this."""
        key = schema.meta.c.key
        query = select(key, schema.meta.c.value).where(key.startswith(prefix, autoescape=True))
        return {row.key: row.value for row in self._connection.execute(query)}
