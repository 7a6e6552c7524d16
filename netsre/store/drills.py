"""Runs of game days and their append-only journal."""

from sqlalchemy import Connection


class Drills:
    """Runs of game days and their append-only journal, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection
