"""Where an address lies, as the networks of one table's rules tell it: zones.

A zone are the addresses that the same rules mean by their networks. Zones are drawn for each table by itself:
what other policies mention is no business of it, and a network that nobody has mentioned before changes the
tables of those who mention it, and no others.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple

from netsre.datapath.policy.ends import LOOPBACK
from netsre.datapath.policy.identities import FAMILIES, WORLD, Whose
from netsre.errors import EnvironmentUnfit
from netsre.model.policies.values import Network, NetworkPeer

NOWHERE: Final = 0
"""In the place of a zone: where no network of a rule is."""
MOST: Final = (1 << 16) - 1
"""The last number of a zone."""
_WHOLE: Final = {4: 32, 6: 128}
_LONGEST: Final = 128
_MAPPED: Final = (6, 0xFFFF << 32, 96)
_FEW: Final = 32
"""So many moves are followed one by one."""

Place = tuple[int, int, int]
"""Version of IP, first address, length of the prefix: in order, what is within a network stands behind it."""


class ZonesExhausted(EnvironmentUnfit):
    """Rules about one endpoint have more zones than there are numbers; the policies in force stay."""


class Zone(NamedTuple):
    """In which zone an address is."""

    outside: int
    """For the world and the API server: networks of all policies mean them."""
    inside: int
    """For all others, whom only networks that mean anybody are about."""


Zones = tuple[tuple[Place, Zone], ...]
"""Networks in order, each with the zone of the addresses that have no smaller one around them."""
Pair = tuple[int, int]
"""What tables know somebody by, and a zone."""
_NOT_IN_ANY: Final = Zone(NOWHERE, NOWHERE)


class Drawn(NamedTuple):
    """The zones of some rules."""

    zones: Zones
    of_rules: Sequence[Sequence[int]]
    """By rule: the zones that it is about."""


def place(network: Network) -> Place:
    """Return where a network is."""
    return network.version, int(network.network_address), network.prefixlen


def network(one: Place) -> Network:
    """Return what is there."""
    version, first, length = one
    return IPv4Network((first, length)) if version == 4 else IPv6Network((first, length))


_IPV4: Final = place(FAMILIES[0])
_HOMES: Final = tuple(one for one in map(place, LOOPBACK) if one[2] < _WHOLE[one[0]])


def drawn(rules: Sequence[Sequence[NetworkPeer]], most: int = MOST) -> Drawn:
    """Return the fewest networks, and zones, that tell which of these rules mean an address.

    Raises `ZonesExhausted` for more zones than `most`.
    """
    mentioned = {one for peers in rules for peer in peers for one in (peer.network, *peer.excepted)}
    places = sorted(map(place, mentioned))
    outside, inside = [0] * len(places), [0] * len(places)
    for number, peers in enumerate(rules):
        for peer in peers:
            for at in _meant(peer, places):
                outside[at] |= 1 << number
                inside[at] |= 1 << number if peer.anybody else 0
    numbers = {0: NOWHERE}
    found: list[tuple[Place, Zone]] = []
    around: list[tuple[Place, tuple[int, int]]] = []
    for one, meaning in zip(places, zip(outside, inside, strict=True), strict=True):
        while around and not _within(one, around[-1][0]):
            around.pop()
        if meaning != (around[-1][1] if around else (0, 0)):
            around.append((one, meaning))
            found.append((one, Zone(*(numbers.setdefault(each, len(numbers)) for each in meaning))))
    if max(numbers.values()) > most:
        raise ZonesExhausted(
            f"networks of the rules about one endpoint make {max(numbers.values())} zones and {most} can be "
            "told apart; mention fewer networks in its policies"
        )
    return Drawn((*_apart(found), *found), _by_rule(numbers, len(rules)))


def _apart(found: Sequence[tuple[Place, Zone]]) -> Zones:
    """Return what keeps IPv4 out of networks of IPv6: the kernel looks for it as `::ffff:a.b.c.d`."""
    if any(_within(_MAPPED, one) for one, _ in found) and found[0][0] != _IPV4:
        return ((_IPV4, _NOT_IN_ANY),)
    return ()


def _meant(peer: NetworkPeer, places: Sequence[Place]) -> set[int]:
    """Return which places a peer means."""
    excepted = (_inside(place(one), places) for one in peer.excepted)
    return set(_inside(place(peer.network), places)).difference(*excepted)


def _inside(outer: Place, places: Sequence[Place]) -> range:
    """Return which places are within another."""
    return range(bisect_left(places, outer), bisect_right(places, (outer[0], _last(outer), _LONGEST)))


def _last(one: Place) -> int:
    version, first, length = one
    return first + (1 << _WHOLE[version] - length) - 1


def _within(inner: Place, outer: Place) -> bool:
    return inner[0] == outer[0] and outer[1] <= inner[1] <= _last(outer)


def _by_rule(numbers: Mapping[int, int], count: int) -> Sequence[Sequence[int]]:
    found: list[list[int]] = [[] for _ in range(count)]
    for rules, number in numbers.items():
        left = rules
        while left:
            found[(left & -left).bit_length() - 1].append(number)
            left &= left - 1
    return found


class Residents:
    """Everybody who is known by an address, and so not the world."""

    def __init__(self, known: Mapping[Place, Whose]) -> None:
        """Take whoever has an address, or all addresses of a network."""
        self.known = known
        self._places: list[Place] = []
        self._found: dict[Zones, Counter[Pair]] = {}

    def of(self, zones: Zones) -> AbstractSet[Pair]:
        """Return who is in which zone: the world as well, by its classes."""
        if zones not in self._found:
            self._found[zones] = Counter(self._looked_up(zones)) + Counter(_world(zones))
        return self._found[zones].keys()

    def moved(
        self, known: Mapping[Place, Whose], asked: Iterable[Zones]
    ) -> tuple["Residents", Mapping[Zones, frozenset[int]] | None]:
        """Return those of now, and who has come into a zone, or left one for good, of those that are asked.

        None where so many moved that it is not worth while to follow each. What was found out for other zones
        is forgotten.
        """
        moves = [(one, -1) for one in self.known.items() - known.items()]
        moves += [(one, 1) for one in known.items() - self.known.items()]
        if not moves:
            return self, {}
        after = Residents(known)
        if len(moves) > _FEW:
            return after, None
        changed = {}
        for zones in asked:
            if zones in self._found and zones not in after._found:
                after._found[zones], changed[zones] = _recounted(zones, self._found[zones], moves)
        return after, changed

    def keep(self, asked: Collection[Zones]) -> None:
        """Forget what was found out for other zones."""
        if len(asked) < len(self._found):
            self._found = {zones: pairs for zones, pairs in self._found.items() if zones in asked}

    def _looked_up(self, zones: Zones) -> Iterator[Pair]:
        if not self._places:
            self._places = sorted(self.known)
        where: dict[int, Zone] = {}
        for one, zone in zones:  # smaller ones come later
            where.update(dict.fromkeys(_inside(one, self._places), zone))
        for at, zone in where.items():
            yield from _pair(self.known[self._places[at]], zone)
        # A network that has one owner may have zones in it.
        for home in self.known.keys() & _HOMES:
            for one, zone in zones:
                if _within(one, home):
                    yield from _pair(self.known[home], zone)


def _pair(one: Whose, zone: Zone) -> Iterator[Pair]:
    number = zone.outside if one.outside else zone.inside
    if number != NOWHERE:
        yield one.asked, number


def _recounted(
    zones: Zones, counts: Counter[Pair], moves: Sequence[tuple[tuple[Place, Whose], int]]
) -> tuple[Counter[Pair], frozenset[int]]:
    """Return how many addresses make each pair after some have moved, and whose pairs are new or gone."""
    differences: Counter[Pair] = Counter()
    for (at, whose), step in moves:
        zone = next((zone for one, zone in reversed(zones) if _within(at, one)), _NOT_IN_ANY)
        for pair in _pair(whose, zone):
            differences[pair] += step
    if not differences:
        return counts, frozenset()
    after = counts.copy()
    after.update(differences)
    after = +after  # those that are left
    return after, frozenset(who for who, _ in after.keys() ^ counts.keys())


def _world(zones: Zones) -> Iterator[Pair]:
    numbers = {one.family: number for number, one in WORLD.items()}
    for (version, _, _), zone in zones:
        if zone.outside != NOWHERE:
            yield numbers[version], zone.outside
