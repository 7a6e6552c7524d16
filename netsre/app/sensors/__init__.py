"""What the agent reads of the kernel, each kind of thing by a sensor of its own.

Sensors are not thread safe; the agent calls them under one lock.
"""

from typing import Protocol, runtime_checkable

from netsre.metrics.readings import Readings


class Sensor(Protocol):
    """Something that is read, as far as it can be; what it raises (`OSError`, `ValueError`) is counted."""

    name: str
    """The value of the label `source` of failed readings."""

    def scan(self, now: float) -> None:
        """Do what must not wait for a scrape; about twice a second. `now` is seconds of a monotonic clock."""

    def read(self, readings: Readings, now: float) -> None:
        """Add what there is to know now."""


@runtime_checkable
class Lacking(Protocol):
    """A sensor that can read less than it could."""

    @property
    def lacks(self) -> list[str]:
        """Return a line about each thing that is missing: its name, a reason, and what it costs."""


@runtime_checkable
class Closing(Protocol):
    """A sensor that has something to finish."""

    def close(self) -> None:
        """Finish; nothing is read afterwards."""
