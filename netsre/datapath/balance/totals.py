"""What the balancer has given, by names, since somebody began to read it; it only ever grows."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from netsre.conventions import OTHER
from netsre.datapath.policy.gains import Gains

MOST_PAIRS: Final = 1_024
"""Services with a backend kept apart at most, first come, first served; all others are `~other`."""

Pair = tuple[str, str]
"""A service and a backend; without a backend it was refused."""


class BalanceTotals:
    """Follows the counters of one balancer, and of the one that takes its place."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.connections = Counter[Pair]()
        self.datagrams = Counter[Pair]()
        self._gains = Gains[bytes]()

    def take(
        self, balancer: int, counts: Mapping[bytes, tuple[int, int]], names: Mapping[bytes, Pair]
    ) -> None:
        """Add what is new since the last look; `balancer` is another number for another one.

        Who has no name in it any more is forgotten.
        """
        living = {*names.values()}
        for known in (self.connections, self.datagrams):
            for pair in [pair for pair in known if pair not in living and pair[0] != OTHER]:
                del known[pair]
        for key, (made, sent) in self._gains.take(balancer, counts):
            if key in names:
                pair = self._bounded(names[key])
                self.connections[pair] += int(made)
                self.datagrams[pair] += int(sent)

    def _bounded(self, pair: Pair) -> Pair:
        if pair in self.connections or len(self.connections) < MOST_PAIRS:
            return pair
        return OTHER, OTHER if pair[1] else ""
