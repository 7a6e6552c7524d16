"""Maps that are full: what finds no room is counted all the same, and the overflow says how much that is.

The real programs with a few entries instead of thousands. What overflows belongs to nobody, so others on this
machine are in it as well: the kernel's own tracing of the same moments says how many all of them were.
"""

import contextlib
import pathlib
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import open_session
from netsre.app.resources import directory
from netsre.datapath.flows import STALL_NS, UNKNOWN_BUCKET
from tests.kernel import attempts, tracefs
from tests.kernel.attempts import COUNT, Place

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]
ENTRIES = 4


@contextlib.contextmanager
def small(tmp_path: pathlib.Path, size: str) -> Iterator[FlowProbe]:
    """Attach the flow probe with a few entries where `size` says how many there are."""
    source = tmp_path / "bpf"
    shutil.copytree(directory("bpf"), source)
    program = source / "flows.c"
    program.write_text(f"#undef {size}\n#define {size} {ENTRIES}\n" + program.read_text(encoding="utf-8"))
    session = open_session(source)
    try:
        yield FlowProbe(session)
    finally:
        session.close()


def ended(work: Callable[[], None]) -> int:
    """Return how many attempts ended anywhere on this machine while something was done."""
    with tracefs.watching("sock/inet_sock_set_state") as events:
        events.start("oldstate == 2 && protocol == 6")
        work()
        return len(events.stop())


def total(probe: FlowProbe, outcome: str) -> int:
    """Return how many attempts had this outcome, anyone's."""
    return sum(count.count for count in probe.counts() if count.outcome == outcome)


def named(probe: FlowProbe, place: Place) -> int:
    """Return how many attempts are known to be of one namespace."""
    return sum(count.count for count in probe.counts() if count.netns == place.inode)


def overflows(probe: FlowProbe, name: str) -> int:
    """Return how often a map was found full."""
    return next(usage.overflows for usage in probe.usage() if usage.name == name)


def of_every_kind(place: Place) -> None:
    """Make attempts of more kinds than there are entries."""
    for family in attempts.LOOPBACK:
        place.run(partial(attempts.accepted, family, 500))
        for port in (attempts.REFUSED_PORT, attempts.UNREACHABLE_PORT):
            place.run(partial(attempts.failing, family, port))
        with attempts.waiting(place, family):
            pass


def test_outcomes_that_find_the_table_full_are_counted_without_detail(
    place: Place, tmp_path: pathlib.Path
) -> None:
    """By outcome as many as there were, and the overflow is what is not known to be anybody's."""
    with small(tmp_path, "MAX_FLOWS") as probe:

        def numbers() -> tuple[int, int, int]:
            return total(probe, "delivered"), total(probe, "failed"), overflows(probe, "flows")

        def work() -> None:
            before = numbers()
            of_every_kind(place)
            grown.extend(now - then for now, then in zip(numbers(), before, strict=True))

        grown: list[int] = []
        everybody, ours = ended(work), named(probe, place)
        probe.reading()
        [entries] = [usage.entries for usage in probe.usage() if usage.name == "flows"]

    delivered, failed, found_full = grown
    assert delivered >= 2 * 500
    assert failed >= 2 * 3 * COUNT
    assert delivered + failed <= everybody
    assert entries == ENTRIES
    assert ours < 2 * (500 + 3 * COUNT) <= ours + found_full


def test_attempts_that_find_their_table_full_have_an_outcome_and_no_latency(
    place: Place, tmp_path: pathlib.Path
) -> None:
    """Nobody knows when they began: counted as nobody's, with the errno that the caller saw as the reason."""
    with small(tmp_path, "MAX_ATTEMPTS") as probe, attempts.waiting(place, socket.AF_INET):
        lost, unknown = overflows(probe, "attempts"), Counter[str]()

        def work() -> None:
            before = of_nobody(probe)
            of_every_kind(place)
            unknown.update(of_nobody(probe) - before)

        everybody, ours = ended(work), named(probe, place)
        lost = overflows(probe, "attempts") - lost
        buckets = {count.bucket for count in probe.counts() if not count.netns}

    # The few that had an entry may be ours or others', and so may what is nobody's.
    made = {"none": 2 * 500, "refused": 2 * COUNT, "unreachable": 2 * COUNT, "abandoned": 2 * COUNT}
    assert sum(made.values()) <= ours + sum(unknown.values()) <= everybody + COUNT
    assert all(unknown[reason] + ours >= count for reason, count in made.items())
    assert lost >= sum(made.values()) - ours
    assert buckets == {UNKNOWN_BUCKET}


def of_nobody(probe: FlowProbe) -> Counter[str]:
    """Return the counts by reason of what belongs to no namespace."""
    found = Counter[str]()
    for count in probe.counts():
        if not count.netns:
            found[count.reason] += count.count
    return found


def test_stalls_that_find_no_room_for_their_claim_are_counted_when_they_end(
    place: Place, tmp_path: pathlib.Path
) -> None:
    """Each once: the reader leaves to the kernel what it cannot claim, and says how often."""
    with small(tmp_path, "MAX_ATTEMPTS") as probe:
        with attempts.waiting(place, socket.AF_INET):
            time.sleep(STALL_NS / 1e9)
            probe.scan(time.monotonic_ns())
        probe.scan(time.monotonic_ns())
        stalled = sum(c.count for c in probe.counts() if c.netns == place.inode)
        abandoned = of_nobody(probe)["abandoned"]

    assert stalled <= ENTRIES
    assert abandoned >= COUNT - ENTRIES
