"""The flow log on this kernel: as many events as attempts, in both families, each accounted for."""

import dataclasses
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import Session, open_templates
from netsre.adapters.flow_log.background import FlowLogWriter
from netsre.adapters.flow_log.writing import FlowLogFile
from netsre.app.resources import directory
from netsre.app.sensors.flow_log import FlowLogSensor
from netsre.app.sensors.places import Places
from netsre.datapath.block import source_key
from netsre.datapath.flow_log import EVENT, KINDS, RING_BYTES, UNKNOWN_ADDRESS, FlowEvent, Switch
from netsre.datapath.flows import Attempt
from netsre.datapath.sampling import Totals
from netsre.metrics.readings import Readings
from tests.kernel import attempts, beyond
from tests.kernel.attempts import COUNT, Place, families
from tests.kernel.limits import SHORT, Limit

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]
SHORTLY = pytest.mark.parametrize("limit", [SHORT], ids=["short"])
EVERYTHING = Switch(on=True, one_in=1)
FAILURES = Switch(on=True, one_in=0)
_RECORD_BYTES = EVENT.size + 8


@pytest.fixture
def probe(session: Session) -> Iterator[FlowProbe]:
    """Return the reader of the probe, with its log."""
    reader = FlowProbe(session)
    reader.log = FlowLog(session)
    yield reader
    reader.log.close()


def log_of(probe: FlowProbe) -> FlowLog:
    """Return the log that the fixture made."""
    assert probe.log is not None
    return probe.log


def events(probe: FlowProbe, place: Place) -> list[FlowEvent]:
    """Take out what there is, and return what is of one namespace."""
    return [event for event in log_of(probe).drain() if event.netns == place.inode]


def outcomes(found: list[FlowEvent]) -> Counter[tuple[str, str]]:
    """Count events by (outcome, reason)."""
    return Counter((event.outcome, event.reason) for event in found)


def connect(address: tuple[str, int], count: int) -> set[int]:
    """Connect and close, one after the other; return the ports that we had."""
    ports = set()
    for _ in range(count):
        with socket.create_connection(address) as client:
            ports.add(client.getsockname()[1])
    return ports


def share_of(sensor: FlowLogSensor) -> float:
    """Return the share of delivered attempts that the sensor shows."""
    readings = Readings()
    sensor.read(readings, 0.0)
    [share] = [
        value for labels, value in readings.numbers[c.FLOW_LOG_SAMPLING] if labels["kind"] == "delivered"
    ]
    return share


def delivered(place: Place, count: int) -> None:
    """Make connections that are answered."""

    def work() -> None:
        with socket.create_server((attempts.LOOPBACK[socket.AF_INET], 0)) as server:
            address = server.getsockname()
            for _ in range(count):
                with socket.create_connection(address):
                    server.accept()[0].close()

    place.run(work)


@families
def test_every_failure_is_one_event_and_no_delivery_where_none_is_wanted(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """The errno that each connect() returned is the independent count."""
    log_of(probe).switch(FAILURES)
    before, seen = time.monotonic_ns(), list[int]()
    place.run(lambda: seen.extend(attempts.failing(family, attempts.REFUSED_PORT)))
    place.run(lambda: seen.extend(attempts.failing(family, attempts.UNREACHABLE_PORT)))
    place.run(lambda: attempts.accepted(family))
    found = events(probe, place)

    assert len(seen) == 2 * COUNT
    assert 0 not in seen
    assert outcomes(found) == {("failed", "refused"): COUNT, ("failed", "unreachable"): COUNT}
    assert {event.one_in for event in found} == {1}
    for event in found:
        assert before < event.start_ns <= event.end_ns < time.monotonic_ns()
        assert event.local == event.remote == source_key(attempts.LOOPBACK[family])


@families
def test_every_attempt_is_an_event_with_both_ends_where_all_are_wanted(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """The ports that the clients themselves were told, one by one."""
    log_of(probe).switch(EVERYTHING)
    ours: set[int] = set()

    def work() -> None:
        with socket.create_server((attempts.LOOPBACK[family], 0), family=family, backlog=COUNT) as server:
            where = server.getsockname()[:2]
            ours.update(connect(where, COUNT))
            ours.add(-where[1])

    place.run(work)
    found = events(probe, place)

    assert outcomes(found) == {("delivered", "none"): COUNT}
    assert {event.local_port for event in found} == {port for port in ours if port > 0}
    assert {-event.remote_port for event in found} == {port for port in ours if port < 0}
    assert {(event.local, event.remote) for event in found} == {(source_key(attempts.LOOPBACK[family]),) * 2}
    assert {event.destination for event in found} == {"loopback"}


@families
def test_a_failure_has_the_port_that_its_client_was_bound_to(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """By then the kernel has taken the port from the socket."""
    log_of(probe).switch(FAILURES)
    with namespaces.inside(place.name, lambda: socket.socket(family)) as client:
        client.bind((attempts.LOOPBACK[family], 0))
        port = client.getsockname()[1]
        client.connect_ex((attempts.LOOPBACK[family], attempts.REFUSED_PORT))
    [event] = events(probe, place)

    assert (event.local_port, event.remote_port) == (port, attempts.REFUSED_PORT)


@families
def test_a_stall_is_one_event_with_both_ends_whoever_finds_it(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Found by the reader while the attempts wait, and by the kernel when they end first: each once."""
    log_of(probe).switch(FAILURES)
    with attempts.waiting(place, family):
        time.sleep(3.2)
        probe.scan(time.monotonic_ns())
        by_the_reader = events(probe, place)
    after = events(probe, place)
    with attempts.waiting(place, family):
        time.sleep(3.2)
    by_the_kernel = events(probe, place)
    probe.scan(time.monotonic_ns())

    for found in (by_the_reader, by_the_kernel):
        assert outcomes(found) == {("failed", "stalled"): COUNT}
        assert {event.remote_port for event in found} == {attempts.DROPPED_PORT}
        assert {event.remote for event in found} == {source_key(attempts.LOOPBACK[family])}
        assert {event.local for event in found} == {source_key(attempts.LOOPBACK[family])}
        assert len({event.local_port for event in found}) == COUNT
        assert {event.destination for event in found} == {"loopback"}
        assert all(event.end_ns - event.start_ns >= 3 * 10**9 for event in found)
    assert after == []
    assert events(probe, place) == []


@SHORTLY
@families
def test_every_denial_is_one_event_whoever_finds_it(
    probe: FlowProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Attempts of a source that is blocked: found waiting, found ended, and given up before the limit."""
    log_of(probe).switch(FAILURES)
    until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 60 * 10**9
    blocks = Blocks(open_templates(directory("bpf")), beyond.inventory().named, probe.denials)
    try:
        blocks.block(place.name, "lo", attempts.LOOPBACK[family], until)
        with attempts.waiting(place, family):
            limit.pass_by_all()
            probe.scan(limit.now_ns())
            by_the_reader = events(probe, place)
        with attempts.waiting(place, family):
            pass
    finally:
        blocks.close()

    assert outcomes(by_the_reader) == {("denied", "blocked"): COUNT}
    assert {event.remote_port for event in by_the_reader} == {attempts.DROPPED_PORT}
    assert outcomes(events(probe, place)) == {("denied", "blocked"): COUNT}


def test_one_in_ten_is_one_in_ten_and_says_so(probe: FlowProbe, place: Place) -> None:
    """20,000 connections: 2,000 expected, and 6 standard deviations (42) of a binomial to either side."""
    made = 20_000
    log_of(probe).switch(Switch(on=True, one_in=10))
    found = []
    for _ in range(10):
        delivered(place, made // 10)
        found += events(probe, place)

    assert abs(len(found) - made // 10) <= 6 * 43
    assert {event.one_in for event in found} == {10}
    counted = sum(count.count for count in probe.counts() if count.netns == place.inode)
    # Of runs that the kernel leaves out one at the beginning of a connection cannot be made good for.
    assert made - probe.session.missed_runs() <= counted <= made


def test_a_full_ring_loses_events_and_counts_each(probe: FlowProbe, place: Place) -> None:
    """Nobody reads: what was made is what is there and what was lost. The count of outcomes stays whole.

    Others on this machine may make attempts meanwhile; of them the probe's own counts say how many at most.
    """
    made = RING_BYTES // _RECORD_BYTES + 3_001
    log_of(probe).switch(EVERYTHING)
    delivered(place, made)
    log_of(probe).switch(Switch(on=False, one_in=0))
    lost = log_of(probe).lost()
    found = events(probe, place)
    counts = probe.counts()
    others = sum(count.count for count in counts if count.netns != place.inode)

    assert sum(count.count for count in counts if count.netns == place.inode) == made
    assert lost["delivered"] >= 3_001
    assert made - len(found) <= lost["delivered"] <= made - len(found) + others
    delivered(place, COUNT)
    log_of(probe).switch(EVERYTHING)
    delivered(place, COUNT)
    assert len(events(probe, place)) == COUNT


def test_a_ring_that_is_read_again_and_again_loses_nothing(probe: FlowProbe, place: Place) -> None:
    """Four times around the ring, while both CPUs fill it."""
    rounds, each = 30, 1_000
    log_of(probe).switch(EVERYTHING)
    found = 0
    for _ in range(rounds):
        pid = os.fork()
        if pid == 0:
            delivered(place, each)
            os._exit(0)
        delivered(place, each)
        found += len(events(probe, place))
        assert os.waitpid(pid, 0)[1] == 0
    found += len(events(probe, place))

    assert rounds * 2 * each * _RECORD_BYTES > 4 * RING_BYTES
    assert found == rounds * 2 * each
    assert not any(log_of(probe).lost().values())


@SHORTLY
def test_nothing_is_emitted_before_it_is_switched_on(probe: FlowProbe, place: Place, limit: Limit) -> None:
    """Off is off, also for failures and for stalls, and nothing counts as lost by it."""
    place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT))
    with attempts.waiting(place, socket.AF_INET):
        limit.pass_by_all()
        probe.scan(limit.now_ns())

    assert log_of(probe).drain() == []
    assert log_of(probe).lost() == dict.fromkeys(KINDS, 0)


def test_more_stalls_at_once_than_the_ring_holds_are_all_logged(probe: FlowProbe) -> None:
    """Found by a reader that was stopped for a while, say."""
    log_of(probe).switch(FAILURES)
    made = RING_BYTES // _RECORD_BYTES + 5_001
    for each in range(made):
        log_of(probe).stalled(Attempt(0, each + 1, 77, "private", source_key("192.0.2.1")), denied=False)
    found = [event.start_ns for event in log_of(probe).drain() if event.netns == 77]

    assert found == list(range(1, made + 1))
    assert not log_of(probe).lost()["failed"]


def test_while_failures_are_above_usual_more_is_drawn_and_each_event_says_by_what(
    probe: FlowProbe, place: Place, tmp_path: Path
) -> None:
    """The agent's decision on totals that are given, from the kernel's draw to the line and the metric."""
    said: list[str] = []
    totals = Totals(0.0, 0, 0)
    writer = FlowLogWriter(FlowLogFile(tmp_path / "flows.jsonl", 8 << 20), said.append)
    sensor = FlowLogSensor(
        [log_of(probe)],
        writer,
        Places(),
        one_in=10,
        ended=lambda now: totals._replace(at=now),
        say=said.append,
    )
    for now in range(100):
        totals = Totals(0.0, 100 * now, 0)
        sensor.scan(float(now))
    delivered(place, 1_000)
    usual = events(probe, place)
    for now in range(100, 103):
        totals = Totals(0.0, 10_000, 50 * (now - 99))
        sensor.scan(float(now))
    delivered(place, 100)
    more = events(probe, place)
    shares = [share_of(sensor)]
    sensor.scan(1_000.0)
    shares.append(share_of(sensor))
    writer.close(10)

    assert {event.one_in for event in usual} == {10}
    assert len(usual) < 200
    assert ({event.one_in for event in more}, len(more)) == ({1}, 100)
    assert shares == [1, 0.1]
    assert said == [
        "flow log: 1 in 1 delivered attempts from now on, before 1 in 10: failures_above_usual",
        "flow log: 1 in 10 delivered attempts from now on, before 1 in 1: usual",
    ]


@SHORTLY
def test_where_a_program_cannot_be_called_a_stall_is_logged_as_far_as_it_is_known(
    probe: FlowProbe, place: Place, limit: Limit
) -> None:
    """As before Linux 5.10; here its descriptor is no program's."""
    with Path(os.devnull).open("rb") as nothing:
        programs = {**probe.session.program_fds, "netsre_flow_log": nothing.fileno()}
        probe.log = FlowLog(dataclasses.replace(probe.session, program_fds=programs))
        probe.log.switch(FAILURES)
        with attempts.waiting(place, socket.AF_INET6):
            limit.pass_by_all()
            probe.scan(limit.now_ns())
            found = events(probe, place)

    assert outcomes(found) == {("failed", "stalled"): COUNT}
    assert {(event.local, event.remote_port) for event in found} == {(source_key("::1"), 0)}


def test_a_stall_whose_socket_is_gone_is_logged_without_where_it_went(probe: FlowProbe) -> None:
    """Counted it was: an event it gets. What stands at the address of its socket by now is no word of it."""
    log_of(probe).switch(FAILURES)
    gone = Attempt(0, time.monotonic_ns() - 4 * 10**9, 77, "private", source_key("192.0.2.1"))
    log_of(probe).stalled(gone, denied=False)
    [event] = [each for each in log_of(probe).drain() if each.netns == 77]

    assert (event.outcome, event.reason, event.destination) == ("failed", "stalled", "private")
    assert event.local == source_key("192.0.2.1")
    assert (event.local_port, event.remote_port, event.remote) == (0, 0, UNKNOWN_ADDRESS)
