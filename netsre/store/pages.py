"""Which Alertmanager took which alert, and when."""

from sqlalchemy import Connection


class Pages:
    """Which Alertmanager took which alert, and when, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection
