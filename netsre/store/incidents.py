"""Incidents, and the alerts that belong to each."""

from sqlalchemy import Connection


class Incidents:
    """Incidents, and the alerts that belong to each, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection
