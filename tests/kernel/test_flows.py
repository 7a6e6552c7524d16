"""The flow probe on this kernel: as many outcomes as there were attempts, by outcome, in both families."""

import contextlib
import errno
import os
import pathlib
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from netsre.adapters import namespaces
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import Session, open_session, open_templates
from netsre.app.resources import directory
from netsre.datapath.block import source_key
from netsre.datapath.flows import ATTEMPT, DENIAL, STALL_CLAIM, STALL_NS, UNKNOWN_BUCKET, decode_attempts
from tests.kernel import attempts, beyond, tracefs
from tests.kernel.attempts import COUNT, Place, families, outcomes
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


@pytest.fixture
def probe(session: Session) -> FlowProbe:
    """Return the reader of the probe."""
    return FlowProbe(session)


def in_flight(probe: FlowProbe, place: Place) -> set[bytes]:
    """Return the attempts of one namespace that wait, as they would be claimed."""
    waiting, _, _ = decode_attempts(probe.session.maps["attempts"].entries())
    return {STALL_CLAIM.pack(each.sock, each.start_ns) for each in waiting if each.netns == place.inode}


def claims(probe: FlowProbe) -> set[bytes]:
    """Return the attempts, anyone's, that are claimed."""
    return {key for key, _ in probe.session.maps["stalls"].entries()}


def ended_by_timer(place: Place, family: socket.AddressFamily, port: int) -> int:
    """Have attempts ended by the kernel's timer; return of how many the end may have been seen by no program.

    Such an attempt has ended, and seems to wait still.
    """
    seen: list[int] = []
    with tracefs.watching("sock/inet_sock_set_state") as events:
        events.start(f"oldstate == 2 && dport == {port}")
        place.run(lambda: seen.extend(attempts.failing(family, port, milliseconds=1200)))
        lines = events.stop()
    assert Counter(seen) == {errno.ETIMEDOUT: COUNT}
    return tracefs.of_others(lines)


@families
def test_accepted_connects_are_delivered(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """As many connects as were accepted, each with a latency."""
    place.run(lambda: attempts.accepted(family))

    assert outcomes(probe, place) == {("delivered", "none"): COUNT}
    buckets = [c.bucket for c in probe.counts() if c.netns == place.inode]
    assert UNKNOWN_BUCKET not in buckets


@families
@pytest.mark.parametrize(
    ("port", "reason", "number"),
    [
        (attempts.REFUSED_PORT, "refused", errno.ECONNREFUSED),
        (attempts.RESET_PORT, "refused", errno.ECONNREFUSED),
        (attempts.UNREACHABLE_PORT, "unreachable", errno.EHOSTUNREACH),
    ],
    ids=["closed-port", "reset", "unreachable"],
)
def test_answers_of_no_are_failures_with_the_reason_that_the_caller_saw(
    probe: FlowProbe, place: Place, family: socket.AddressFamily, port: int, reason: str, number: int
) -> None:
    """The errno that each connect() returned is the independent count."""
    seen: list[int] = []
    place.run(lambda: seen.extend(attempts.failing(family, port)))

    assert Counter(seen) == {number: COUNT}
    assert outcomes(probe, place) == {("failed", reason): COUNT}


@families
def test_an_attempt_without_an_answer_is_stalled_after_three_seconds_and_once(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Nothing before the limit, each once after it, and nothing more when the caller gives up."""
    before_the_first = time.monotonic_ns()
    with attempts.waiting(place, family):
        after_the_last = time.monotonic_ns()
        probe.scan(before_the_first + STALL_NS - 1)
        early = outcomes(probe, place)
        time.sleep((after_the_last + STALL_NS - time.monotonic_ns()) / 1e9)
        probe.scan(time.monotonic_ns())
        late = outcomes(probe, place)
        probe.scan(time.monotonic_ns())
    probe.scan(time.monotonic_ns())

    assert early == {}
    assert late == {("failed", "stalled"): COUNT}
    assert outcomes(probe, place) == late


@families
def test_the_kernel_counts_a_stall_that_the_reader_did_not_see(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Attempts that end after the limit between two scans are stalled, not abandoned, and counted once."""
    with attempts.waiting(place, family):
        time.sleep(3.2)
    counted = outcomes(probe, place)
    probe.scan(time.monotonic_ns())

    assert counted == {("failed", "stalled"): COUNT}
    assert outcomes(probe, place) == counted


@families
def test_an_attempt_given_up_before_the_limit_is_a_failure_of_its_own_kind(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Closed by the caller: abandoned; ended by a timer of the kernel: timed out, or stalled if unseen."""
    with attempts.waiting(place, family):
        pass
    elsewhere = ended_by_timer(place, family, attempts.DROPPED_PORT)
    unseen = len(in_flight(probe, place))
    missed = probe.session.missed_runs()
    seen = outcomes(probe, place)
    probe.scan(time.monotonic_ns() + STALL_NS)
    later = outcomes(probe, place)

    assert unseen <= elsewhere + missed
    assert seen == {("failed", "abandoned"): COUNT, ("failed", "timed_out"): COUNT - unseen}
    assert (sum(later.values()), later.get(("failed", "stalled"), 0)) == (2 * COUNT, unseen)


@contextlib.contextmanager
def blocked(probe: FlowProbe, place: Place, family: socket.AddressFamily) -> Iterator[Blocks]:
    """Drop what loopback's own address sends, where it comes in."""
    until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 60 * 10**9
    blocks = Blocks(open_templates(directory("bpf")), beyond.inventory().named, probe.denials)
    try:
        blocks.block(place.name, "lo", attempts.LOOPBACK[family], until)
        yield blocks
    finally:
        blocks.close()


@families
def test_attempts_of_a_blocked_source_are_denied_once_and_neither_failed_nor_stalled(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Unanswered because we drop them: found by the reader, and nothing more when the callers give up."""
    with blocked(probe, place, family):
        with attempts.waiting(place, family):
            assert wait_until(lambda: _scanned(probe, place) == {("denied", "blocked"): COUNT})
        assert _scanned(probe, place) == {("denied", "blocked"): COUNT}
        with attempts.waiting(place, family):
            pass
        assert _scanned(probe, place) == {("denied", "blocked"): 2 * COUNT}


@families
def test_the_kernel_denies_what_the_reader_did_not_see(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Attempts that end after the limit between two scans, and those that the kernel's timer ends before."""
    with blocked(probe, place, family):
        with attempts.waiting(place, family):
            time.sleep(3.2)
        elsewhere = ended_by_timer(place, family, attempts.REFUSED_PORT)
    unseen = len(in_flight(probe, place))
    missed = probe.session.missed_runs()
    seen = outcomes(probe, place)
    probe.scan(time.monotonic_ns() + STALL_NS)

    assert unseen <= elsewhere + missed
    assert seen == {("denied", "blocked"): 2 * COUNT - unseen}
    assert outcomes(probe, place) == {("denied", "blocked"): 2 * COUNT}


@families
def test_refusals_of_a_source_that_is_blocked_elsewhere_are_denied_until_the_block_ends(
    probe: FlowProbe, place: Place, family: socket.AddressFamily
) -> None:
    """The address decides; what begins after the end of the block is a failure again, at once."""
    source = source_key(attempts.LOOPBACK[family])
    now = time.monotonic_ns()
    place.run(lambda: attempts.failing(family, attempts.REFUSED_PORT))
    probe.denials.begin(source, now, now + 10**12)
    place.run(lambda: attempts.failing(family, attempts.REFUSED_PORT))
    place.run(lambda: attempts.accepted(family))
    during = outcomes(probe, place)
    probe.denials.end(source, time.monotonic_ns())
    place.run(lambda: attempts.failing(family, attempts.REFUSED_PORT))

    before = {("failed", "refused"): COUNT, ("delivered", "none"): COUNT}
    assert during == before | {("denied", "blocked"): COUNT}
    assert outcomes(probe, place) == during | {("failed", "refused"): 2 * COUNT}


@families
@pytest.mark.parametrize("bound", [False, True], ids=["chosen-by-the-kernel", "bound"])
def test_attempts_know_their_source(
    probe: FlowProbe, place: Place, family: socket.AddressFamily, *, bound: bool
) -> None:
    """Also for a socket that was bound before, and in the one form that blocks use for both families."""
    with namespaces.inside(place.name, lambda: socket.socket(family)) as client:
        client.setblocking(False)
        if bound:
            client.bind((attempts.LOOPBACK[family], 0))
        with contextlib.suppress(BlockingIOError):
            client.connect((attempts.LOOPBACK[family], attempts.DROPPED_PORT))
        waiting, _, _ = decode_attempts(probe.session.maps["attempts"].entries())
        [source] = [attempt.source for attempt in waiting if attempt.netns == place.inode]

    assert source == source_key(attempts.LOOPBACK[family])


def test_an_attempt_over_a_mapped_address_has_the_ipv4_source(probe: FlowProbe, place: Place) -> None:
    """An IPv6 socket that speaks IPv4 is dropped by its IPv4 address, and denied by it."""
    with namespaces.inside(place.name, lambda: socket.socket(socket.AF_INET6)) as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(("::ffff:127.0.0.1", attempts.DROPPED_PORT))
        waiting, _, _ = decode_attempts(probe.session.maps["attempts"].entries())
        [source] = [attempt.source for attempt in waiting if attempt.netns == place.inode]

    assert source == source_key("127.0.0.1")


def test_denials_are_forgotten_when_nothing_can_fail_by_them_any_more(probe: FlowProbe) -> None:
    """Not before: what began in time may stall three seconds later, and be noticed later still."""
    table, source = probe.session.maps["denied_sources"], source_key("192.0.2.1")
    probe.denials.begin(source, 1_000, 2_000)
    probe.denials.begin(source, 1_500, 3_000)
    covered = [probe.denials.covers(source, start) for start in (999, 1_000, 2_999, 3_000)]
    probe.denials.expire(3_000 + STALL_NS)
    late = table.lookup(source)
    probe.denials.expire(3_000 + 3 * STALL_NS)

    assert covered == [False, True, True, False]
    assert late == DENIAL.pack(1_000, 3_000)
    assert (table.lookup(source), len(probe.denials)) == (None, 0)


def _scanned(probe: FlowProbe, place: Place) -> dict[tuple[str, str], int]:
    probe.scan(time.monotonic_ns())
    return outcomes(probe, place)


def test_claims_and_attempts_leave_nothing_behind(probe: FlowProbe, place: Place) -> None:
    """When every attempt has ended, none is in flight and no claim is kept."""
    with attempts.waiting(place, socket.AF_INET):
        time.sleep(3.2)
        probe.scan(time.monotonic_ns())
        assert probe.in_flight >= COUNT
        ours = in_flight(probe, place)
        assert len(ours) == COUNT
        assert ours <= claims(probe)
    for _ in range(2):
        probe.scan(time.monotonic_ns())

    assert in_flight(probe, place) == set()
    assert not ours & claims(probe)


def test_an_attempt_begun_before_the_probe_is_counted_without_a_latency(place: Place) -> None:
    """The outcome is known, the beginning is not; it belongs to nobody's namespace."""
    with tracefs.watching("sock/inet_sock_set_state") as events:
        with attempts.waiting(place, socket.AF_INET):
            events.start("oldstate == 2 && newstate == 7")
            session = open_session(directory("bpf"))
        try:
            probe = FlowProbe(session)
            unknown = [count for count in probe.counts() if count.netns == 0]
            named = outcomes(probe, place)
        finally:
            session.close()
        everybody = len(events.stop())

    assert named == {}
    assert {count.bucket for count in unknown} == {UNKNOWN_BUCKET}
    # Others on this machine may give up as well: with them it is never more than tracing saw fail.
    ours = [count for count in unknown if count.reason == "abandoned"]
    assert COUNT <= sum(count.count for count in ours) <= everybody


def test_many_outcomes_at_once_are_as_many(probe: FlowProbe, place: Place) -> None:
    """Both CPUs at once, mixed outcomes: per-CPU slots add up exactly."""
    pid = os.fork()
    if pid == 0:
        place.run(lambda: attempts.accepted(socket.AF_INET6, 500))
        os._exit(0)
    place.run(lambda: attempts.accepted(socket.AF_INET, 500))
    place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT, 100))
    _, status = os.waitpid(pid, 0)

    assert status == 0
    assert outcomes(probe, place) == {("delivered", "none"): 1000, ("failed", "refused"): 100}


def test_retired_namespaces_are_forgotten(probe: FlowProbe, place: Place) -> None:
    """Counters of a namespace that is gone leave the table; others stay."""
    place.run(lambda: attempts.accepted(socket.AF_INET))
    with attempts.place() as other:
        other.run(lambda: attempts.accepted(socket.AF_INET))
        probe.retire(count.client for count in probe.counts() if count.netns == place.inode)

        assert outcomes(probe, place) == {}
        assert outcomes(probe, other) == {("delivered", "none"): COUNT}


def test_clearing_a_full_table_forgets_hardly_an_attempt_and_loses_none(
    probe: FlowProbe, place: Place, tmp_path: pathlib.Path
) -> None:
    """Sockets come back at known addresses all the time, also while the reader removes idle entries.

    One may begin between the reader's look at its entry and the removal: its outcome is then nobody's.
    """
    report = tmp_path / "made"
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(tell)
        made = 0
        while not select.select([told], [], [], 0)[0]:
            with attempts.waiting(place, socket.AF_INET):
                time.sleep(0.01)
            made += COUNT
        report.write_text(str(made), encoding="ascii")
        os._exit(0)
    table = probe.session.maps["attempts"]
    clearings = 4
    for _ in range(clearings):
        for address in range(8, 8 * 52_000, 8):
            table.insert(struct.pack("<Q", address), ATTEMPT.pack(0, 0, 0, 0, 0, 0, bytes(16)))
        probe.scan(time.monotonic_ns())
    os.close(tell)
    os.waitpid(pid, 0)
    os.close(told)

    made, counted = int(report.read_text(encoding="ascii")), outcomes(probe, place)
    forgotten = made - counted.pop(("failed", "abandoned"))
    nobodys = sum(count.count for count in probe.counts() if count.netns == 0 and count.reason == "abandoned")
    assert counted == {}
    assert 0 <= forgotten <= clearings
    assert forgotten <= nobodys + probe.session.missed_runs()
