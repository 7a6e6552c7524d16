"""When to kill what a command does: at random moments of it, on a machine that is now slow and now fast."""

import random
import time
from dataclasses import dataclass, field
from typing import Final

_SOONER: Final = 0.7
_LATER: Final = 1.3


@dataclass(slots=True)
class Moments:
    """Random moments of something; each outcome moves the next ones, so that none is always missed."""

    seconds: float
    """How long the thing took before anything was killed."""
    earliest: float = 0.1
    """Of these seconds."""
    _chance: random.Random = field(default_factory=lambda: random.Random(20))  # noqa: S311  no secret

    def pause(self) -> None:
        """Wait for one."""
        time.sleep(self._chance.uniform(self.earliest, 1.0) * self.seconds)

    def found(self, *, done: bool) -> None:
        """Hear whether the thing was done by then: if so the next moments are sooner, and else later."""
        self.seconds *= _SOONER if done else _LATER
