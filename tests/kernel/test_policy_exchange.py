"""Another table of connections while packets pass: none that was known is forgotten, and none that begins."""

import contextlib
import os
import pathlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from bench.policy_rig import CAPACITIES, Rig, loaded
from netsre.adapters.bpf import pins, policy_connections, syscalls
from netsre.adapters.bpf.policy import Datapath, Template
from netsre.adapters.bpf.syscalls import BpfMap, MapFull, MapShape
from netsre.datapath.policy import programs, resolve
from netsre.datapath.policy.conntrack import Connection
from netsre.model.policies.values import Direction
from tests.kernel.test_policy_conntrack import POLICIES, packet
from tests.unit.policy.cluster import ENDPOINTS

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

FIRST: Final = 2_000
MANY: Final = 12_000
EXCHANGES: Final = 12


@pytest.fixture
def names(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Mount a BPF file system of the test's own."""
    subprocess.run(["mount", "-t", "bpf", "netsre-test", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.fixture
def rig(policy_template: Template, names: pathlib.Path) -> Iterator[Rig]:
    """Load the programs with a table of connections that has a name, and isolate an endpoint."""
    with loaded(policy_template, {**CAPACITIES, programs.CONNECTIONS: 16_384}) as made:
        made.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        pins.pin(made.map(programs.CONNECTIONS).fd, names / programs.CONNECTIONS)
        yield made


def ask(rig: Rig, number: int) -> bool:
    """Have the endpoint send the first datagram of a connection."""
    return rig.leaves(packet(Direction.EGRESS, ["udp", f"{1000 + number}>123"], 4 + 2 * (number % 2)))


def answer(rig: Rig, number: int) -> bool:
    """Have it answered: nothing but the connection lets that pass."""
    return rig.arrives(packet(Direction.INGRESS, ["udp", f"123>{1000 + number}"], 4 + 2 * (number % 2)))


@dataclass
class Exchanging:
    """Exchanges, one after the other; the datapath knows the table that has the name."""

    names: pathlib.Path
    datapath: Datapath
    made: contextlib.ExitStack

    def to(self, capacity: int) -> None:
        """Exchange the table for one of this size."""
        fresh = policy_connections.exchange(self.names, self.datapath, capacity)
        self.made.callback(os.close, fresh.fd)
        self.datapath = known_by(self.datapath, fresh)


def known_by(datapath: Datapath, table: BpfMap) -> Datapath:
    """Return the same datapath with another table of connections."""
    return Datapath({**datapath.maps, programs.CONNECTIONS: table}, datapath.programs)


def test_no_connection_is_lost_while_the_table_is_exchanged(rig: Rig, names: pathlib.Path) -> None:
    """Those that were there, and those that begin in every moment of an exchange, in both families."""
    assert all(ask(rig, number) for number in range(FIRST))
    lost: list[int] = []
    ended = threading.Event()

    def traffic() -> None:
        number = FIRST
        while number < MANY or not ended.is_set():
            number += 1
            asked = number % 50_000
            old = number * 7 % FIRST
            if not (ask(rig, asked) and answer(rig, asked)):
                lost.append(asked)
            if not answer(rig, old):
                lost.append(old)
            if number >= 4 * MANY:
                break

    thread = threading.Thread(target=traffic)
    thread.start()
    with contextlib.ExitStack() as made:
        exchanging = Exchanging(names, rig.datapath, made)
        for round_number in range(EXCHANGES):
            exchanging.to(131_072 if round_number % 2 else 65_536)
        ended.set()
        thread.join()
        still = [number for number in range(FIRST) if not answer(rig, number)]

        assert (lost, still) == ([], [])
        assert not policy_connections.is_exchanged(exchanging.datapath)
        assert {path.name for path in names.iterdir() if "debug" not in path.name} == {programs.CONNECTIONS}


def test_a_table_that_is_too_small_is_given_up_and_the_old_one_is_as_before(
    rig: Rig, names: pathlib.Path
) -> None:
    """Said by an error; every connection is still known."""
    assert all(ask(rig, number) for number in range(FIRST))
    with pytest.raises(MapFull):
        policy_connections.exchange(names, rig.datapath, FIRST // 4)

    assert all(answer(rig, number) for number in range(FIRST))
    assert not policy_connections.is_exchanged(rig.datapath)
    assert not (names / f"{programs.CONNECTIONS}_new").exists()


@pytest.mark.parametrize("steps", range(4))
def test_an_exchange_that_was_killed_is_finished_or_was_none(
    rig: Rig, names: pathlib.Path, steps: int
) -> None:
    """After each of its steps: a name, both tables, one moved in part, the name exchanged."""
    assert all(ask(rig, number) for number in range(FIRST))
    old = rig.map(programs.CONNECTIONS)
    fresh = BpfMap.create("policy_ct", _shape(old), 65_536)
    pins.pin(fresh.fd, names / "policy_ct_new")
    tables = rig.map(programs.TABLES)
    if steps > 0:
        tables.put(_slot(programs.BEFORE), _slot(old.fd))
        tables.put(_slot(programs.NOW), _slot(fresh.fd))
        assert all(ask(rig, number) for number in range(FIRST, FIRST + 100))
    if steps > 1:
        for key, value in list(old.entries())[: FIRST // 2]:
            fresh.insert(key, value)
    if steps > 2:
        for key, value in old.entries():
            fresh.insert(key, value)
        (names / "policy_ct_new").rename(names / "policy_ct")
    known = known_by(rig.datapath, fresh if steps > 2 else old)
    policy_connections.finish(names, known)

    assert all(answer(rig, number) for number in range(FIRST + (100 if steps else 0)))
    assert not policy_connections.is_exchanged(known)
    assert not (names / "policy_ct_new").exists()
    named = pins.opened(names / "policy_ct")
    assert tables.lookup(_slot(programs.NOW)) == _slot(_id(named))
    for fd in (named, fresh.fd):
        os.close(fd)


def test_one_that_was_killed_and_does_not_fit_goes_back_and_bars_nothing(
    rig: Rig, names: pathlib.Path
) -> None:
    """More connections began since than the new table holds: the old one has them all again."""
    assert all(ask(rig, number) for number in range(FIRST))
    old = rig.map(programs.CONNECTIONS)
    fresh = BpfMap.create("policy_ct", _shape(old), FIRST // 4)
    pins.pin(fresh.fd, names / "policy_ct_new")
    tables = rig.map(programs.TABLES)
    tables.put(_slot(programs.BEFORE), _slot(old.fd))
    tables.put(_slot(programs.NOW), _slot(fresh.fd))
    assert all(ask(rig, number) for number in range(FIRST, FIRST + 100))
    known = known_by(rig.datapath, old)
    policy_connections.finish(names, known)

    assert all(answer(rig, number) for number in range(FIRST + 100))
    assert not policy_connections.is_exchanged(known)
    assert not (names / "policy_ct_new").exists()
    assert tables.lookup(_slot(programs.NOW)) == _slot(_id(old.fd))
    os.close(fresh.fd)


def test_where_neither_table_has_room_for_all_both_stay_known_until_it_has(
    policy_template: Template, names: pathlib.Path
) -> None:
    """Nothing is forgotten and nothing barred; when some have ended, it is finished, and only then."""
    size = FIRST // 2
    with loaded(policy_template, {**CAPACITIES, programs.CONNECTIONS: size}) as rig:
        rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        old, tables = rig.map(programs.CONNECTIONS), rig.map(programs.TABLES)
        pins.pin(old.fd, names / programs.CONNECTIONS)
        assert all(ask(rig, number) for number in range(size - 10))
        fresh = BpfMap.create("policy_ct", _shape(old), size)
        pins.pin(fresh.fd, names / "policy_ct_new")
        tables.put(_slot(programs.BEFORE), _slot(old.fd))
        tables.put(_slot(programs.NOW), _slot(fresh.fd))
        assert all(ask(rig, number) for number in range(size, 2 * size - 10))
        every = [*range(size - 10), *range(size, 2 * size - 10)]
        for _ in range(2):
            policy_connections.finish(names, rig.datapath)
            assert policy_connections.is_exchanged(rig.datapath)
            assert all(answer(rig, number) for number in every)
        for table in (old, fresh):
            for key, value in list(table.entries())[::2]:
                table.put(key, Connection.of(value)._replace(seen_ns=1).packed())
        rig.forget(programs.CONNECTIONS)
        policy_connections.finish(names, rig.datapath)

        assert not policy_connections.is_exchanged(rig.datapath)
        assert not (names / "policy_ct_new").exists()
        assert 0 < len(rig.connections()) <= size // 2
        os.close(fresh.fd)


def _shape(table: BpfMap) -> MapShape:
    return MapShape(table.kind, table.key_size, table.value_size)


def _slot(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _id(fd: int) -> int:
    return int(syscalls.fdinfo(fd)["map_id"])
