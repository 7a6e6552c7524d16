"""Time zones by name, from the system or from the package that stands in for it."""

import datetime
import zoneinfo


def find(name: str) -> datetime.tzinfo | None:
    """Return a time zone; None for a name that nobody knows."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
