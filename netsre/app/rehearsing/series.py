"""The series of a scenario over time: levels stand, counters go on at the rate that holds at each moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Scrape, Series
from netsre.model.scenarios import Curves, Level, Rate, Shape, While


@dataclass
class Tracks:
    """All series of one node."""

    now: Timestamp
    base: dict[Series, Shape]
    """How each goes on where no effect says otherwise."""
    counted: dict[Series, Decimal] = field(default_factory=dict)
    started_at: Timestamp = field(init=False)

    def __post_init__(self) -> None:
        """Begin an hour after the agent began."""
        self.started_at = Timestamp(self.now - clock.HOUR)

    def pass_time(self, now: Timestamp, during: Iterable[While]) -> None:
        """Count up to a time; what is so by effects was so all that while."""
        passed = Decimal(now - self.now) / clock.SECOND
        for series, shape in self._shapes(during).items():
            if isinstance(shape, Rate):
                self.counted[series] = self.counted.get(series, Decimal(0)) + shape.per_second * passed
        self.now = now

    def change(self, series: Curves) -> None:
        """Have series go on otherwise."""
        self.base.update(series)

    def restart(self) -> None:
        """Begin all counters anew."""
        self.counted.clear()
        self.started_at = self.now

    def scrape(self, node: str, during: Iterable[While]) -> Scrape:
        """Return a reading."""
        values = {}
        for series, shape in self._shapes(during).items():
            if isinstance(shape, Level):
                values[series] = shape.value
            elif isinstance(shape, Rate):
                values[series] = self.counted.get(series, Decimal(0))
        return Scrape(self.now, node, self.started_at, values)

    def _shapes(self, during: Iterable[While]) -> dict[Series, Shape]:
        shapes = dict(self.base)
        for one in during:
            shapes.update(one.series)
        return shapes
