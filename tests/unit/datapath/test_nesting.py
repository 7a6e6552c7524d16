"""Networks around one address, counted against a slow count of all of them."""

import ipaddress
import random

import pytest

from netsre.datapath.nesting import Nesting, Network

network = ipaddress.ip_network


def test_networks_of_one_address_are_counted_along_the_longest_way() -> None:
    """What a network that is added lies in, and what lies in it; the other family is another way."""
    nesting = Nesting()
    for text in ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.2.3.0/24", "::/0"):
        nesting.add(network(text))

    assert nesting.deepest(network("10.2.3.4/32")) == 5
    assert nesting.deepest(network("10.0.0.0/12")) == 5
    assert nesting.deepest(network("10.1.0.1/32")) == 4
    assert nesting.deepest(network("11.0.0.0/8")) == 2
    assert nesting.deepest(network("10.1.0.0/16")) == 3
    assert nesting.deepest(network("::1/128")) == 2
    nesting.remove(network("10.2.0.0/16"))
    assert nesting.deepest(network("10.2.3.4/32")) == 4
    assert Nesting().deepest(network("::/0")) == 1
    with pytest.raises(KeyError):
        nesting.remove(network("10.2.0.0/16"))


def slowly(known: set[Network], added: Network) -> int:
    """Ask every network about every other one."""
    family = [each for each in {*known, added} if each.version == added.version]
    inner = [each for each in family if each.subnet_of(added)]  # type: ignore[arg-type]  # of one family
    return max(sum(each.subnet_of(outer) for outer in family) for each in inner)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_a_slow_count_agrees_while_networks_come_and_go(seed: int) -> None:
    """Both families, every length, the same one twice."""
    chance = random.Random(seed)  # noqa: S311  the same networks in every run
    nesting, known = Nesting(), set[Network]()
    for _ in range(300):
        place = ipaddress.ip_address(chance.choice(("10.1.2.3", "10.200.0.1", "fd09::1", "::7")))
        length = chance.randint(0, place.max_prefixlen)
        each = ipaddress.ip_network((place, length), strict=False)
        assert nesting.deepest(each) == slowly(known, each)
        if each in known and chance.random() < 0.5:
            nesting.remove(each)
            known.discard(each)
        else:
            nesting.add(each)
            known.add(each)
