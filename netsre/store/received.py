"""Alerts that Alertmanager sent us, each state of each once."""

from sqlalchemy import Connection


class ReceivedAlerts:
    """Alerts that Alertmanager sent us, each state of each once, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection
