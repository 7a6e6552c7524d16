"""How many networks lie around one address: so many prefixes may have to be asked, one after the other."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

_LONGER = 129
"""More bits than any prefix has."""


class Nesting:
    """Networks of both families; each family is apart."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: set[Network] = set()
        self._starts: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """By version: first address and length of prefix, in order. What lies in a network is in a row."""
        self._lengths: dict[int, Counter[int]] = defaultdict(Counter)

    def add(self, network: Network) -> None:
        """Add one, once."""
        if network not in self._known:
            self._known.add(network)
            insort(self._starts[network.version], _start(network))
            self._lengths[network.version][network.prefixlen] += 1

    def remove(self, network: Network) -> None:
        """Take one away; raises `KeyError`."""
        self._known.remove(network)
        starts, lengths = self._starts[network.version], self._lengths[network.version]
        del starts[bisect_left(starts, _start(network))]
        lengths[network.prefixlen] -= 1
        if not lengths[network.prefixlen]:
            del lengths[network.prefixlen]

    def deepest(self, network: Network) -> int:
        """Return how many there are at most around an address in a network, this one included."""
        starts = self._starts[network.version]
        first, last = (int(network.network_address), 0), (int(network.broadcast_address), _LONGER)
        within = starts[bisect_left(starts, first) : bisect_right(starts, last)]
        inner = max(
            (self._around(network, *each) for each in within if each[1] > network.prefixlen), default=0
        )
        return max(inner, self._around(network, *_start(network)))

    def _around(self, added: Network, first: int, length: int) -> int:
        """Return how many lie around a network, it and the one that is added included."""
        kind, whole = type(added), added.max_prefixlen
        others = 0
        for shorter in self._lengths[added.version]:
            if shorter <= length:
                outer = kind((first >> whole - shorter << whole - shorter, shorter))
                others += outer != added and outer in self._known
        return others + 1


def _start(network: Network) -> tuple[int, int]:
    return int(network.network_address), network.prefixlen
