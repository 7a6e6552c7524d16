"""Whole revisions of what is balanced: switched under load, written or not, dropped without a trace."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from netsre.adapters.bpf.balance import NOTHING, Balance
from netsre.adapters.bpf.syscalls import MapFull
from netsre.datapath.balance import layouts
from tests.kernel import balanced
from tests.kernel.balanced import ADDRESSES, Site, backend, both

pytestmark = [pytest.mark.requires("ip", "nft", "netns")]

WRITTEN = ("balance_services", "balance_members", "balance_backends", "balance_tables", "balance_counts")


@pytest.fixture
def site() -> Iterator[Site]:
    """Make six backends of each family, and a cgroup."""
    with balanced.site(6) as made:
        yield made


@pytest.fixture
def balance(site: Site) -> Iterator[Balance]:
    """Attach the balancer to the cgroup; nothing is balanced yet."""
    with balanced.balancing(site) as made:
        yield made


def entries(balance: Balance) -> dict[str, set[bytes]]:
    """Return the keys in each map that revisions are written into."""
    return {name: {key for key, _ in balance.maps[name].entries()} for name in WRITTEN}


def test_no_connection_fails_while_revisions_are_switched_and_dropped(site: Site, balance: Balance) -> None:
    """Two processes connect meanwhile; each to a backend of a revision in force, and counted once."""
    balance.switch(balanced.write(balance, both(1, 2, 3, 5)))
    answered: list[Counter[str]] = []
    addresses = [address.format(1) for address in ADDRESSES.values()]
    enough = threading.Event()

    def load() -> None:
        while not enough.is_set():
            answered.append(site.load(addresses, 300))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(30):
        before = balance.active
        # Backends 2 and 5 stay, so that their counters do.
        after = balanced.write(balance, both(*((2, 4, 5, 6) if turn % 2 == 0 else (1, 2, 3, 5))))
        for number in (after, before) * 10 + (after,):
            balance.switch(number)
        balance.drop(before)
    enough.set()
    for thread in threads:
        thread.join()
    said = sum(answered, Counter[str]())

    assert set(said) == {backend(number, version) for number in range(1, 7) for version in (4, 6)}
    assert said.total() == 300 * len(answered)
    kept = {backend(number, version) for number in (2, 5) for version in (4, 6)}
    counted = {one.backend: one.connections for one in balance.counts() if one.connections}
    assert {name: count for name, count in counted.items() if name in kept} == {
        name: said[name] for name in kept
    }
    assert balance.events() == dict.fromkeys(layouts.EVENTS, 0)


def test_what_a_revision_alone_has_goes_with_it(balance: Balance) -> None:
    """Tables and backends that another one has stay, and so do its own."""
    first = balanced.write(balance, both(1, 2))
    alone = entries(balance)
    second = balanced.write(balance, [*both(1, 2), *both(2, 3, number=2)])
    balance.switch(second)
    balance.drop(first)
    third = balanced.write(balance, both(1, 2))
    balance.switch(third)
    balance.drop(second)
    left = entries(balance)
    balance.switch(NOTHING)
    balance.drop(third)

    shared = ("balance_backends", "balance_tables")
    assert {name: left[name] for name in shared} == {name: alone[name] for name in shared}
    assert {name: len(keys) for name, keys in left.items()} == {
        name: len(keys) for name, keys in alone.items()
    }
    assert entries(balance) == {name: set() for name in WRITTEN}


def test_a_revision_that_does_not_fit_leaves_nothing_behind(balance: Balance) -> None:
    """And the one in force decides on."""
    balance.switch(balanced.write(balance, both(1)))
    before, table = entries(balance), balance.maps["balance_services"]
    ours = balance.active
    fillers = [layouts.SERVICE_KEY.pack(ours, number.to_bytes(20, "big"), 6) for number in range(16_378)]
    for key in fillers:
        table.put(key, bytes(layouts.SERVICE.size))
    with pytest.raises(MapFull):
        balanced.write(balance, [*both(2), *both(3, number=2)])
    for key in fillers:
        table.delete(key)

    assert entries(balance) == before
    assert balanced.write(balance, [*both(2), *both(3, number=2)]) > balance.active


def test_so_many_revisions_are_kept_and_each_can_be_returned_to(site: Site, balance: Balance) -> None:
    """One more is refused until another is dropped; the one in force cannot be."""
    numbers = [balanced.write(balance, both(1 + number % 2)) for number in range(layouts.REVISIONS - 1)]
    with pytest.raises(MapFull, match="drop one"):
        balanced.write(balance, both(1))
    answered = []
    for number in (numbers[0], numbers[-2], numbers[0]):
        balance.switch(number)
        answered.append(site.load([ADDRESSES[4].format(1)], 3))
    with pytest.raises(ValueError, match="in force"):
        balance.drop(numbers[0])
    balance.drop(numbers[5])

    assert balanced.write(balance, both(1)) > numbers[-1]
    assert answered == [
        Counter({backend(1, 4): 3}),
        Counter({backend(2, 4): 3}),
        Counter({backend(1, 4): 3}),
    ]
