"""Attempts whose packets this node drops itself: they stall, and the kernel's own reason says why."""

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import Session, open_sessions
from netsre.datapath.flow_log import Switch
from netsre.datapath.probes import DROPS, FLOWS
from tests.kernel import attempts, firewall
from tests.kernel.attempts import COUNT, DROPPED_PORT, Place, families, outcomes
from tests.kernel.limits import SHORT, Limit

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

_DROPPED = ("failed", "dropped:netfilter_drop")
_RULES = f"""
counter leaving {{ }}
chain output {{
  type filter hook output priority 0;
  tcp dport {DROPPED_PORT} tcp flags syn counter name leaving drop
}}
"""


@pytest.fixture
def limit() -> Limit:
    """Wait no longer than it takes."""
    return SHORT


@pytest.fixture
def probe(place: Place, limit: Limit, tmp_path: Path) -> Iterator[FlowProbe]:
    """Attach the flow probe and the drops probe as the agent does, in one text."""
    del place
    opened = open_sessions(limit.programs(tmp_path), (FLOWS, DROPS))
    sessions = [session for session in opened.values() if isinstance(session, Session)]
    assert len(sessions) == len(opened)
    yield FlowProbe(sessions[0])
    for session in sessions:
        session.close()


@families
def test_a_stalled_attempt_has_the_reason_of_the_packets_that_never_left(
    probe: FlowProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Found by the reader; the firewall has dropped each first packet, and its repetitions."""
    firewall.load(place.name, _RULES)
    with attempts.waiting(place, family):
        limit.pass_by_all()
        probe.scan(limit.now_ns())

    assert firewall.packets(place.name)["leaving"] >= COUNT
    assert outcomes(probe, place) == {_DROPPED: COUNT}


@families
def test_the_kernel_tells_the_same_where_no_reader_came_by(
    probe: FlowProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """The attempts end after the limit and before anybody looks."""
    firewall.load(place.name, _RULES)
    with attempts.waiting(place, family):
        limit.pass_by_all()
    probe.scan(limit.now_ns())

    assert outcomes(probe, place) == {_DROPPED: COUNT}


@families
def test_what_is_dropped_on_its_way_in_is_nobodys_packet_any_more(
    probe: FlowProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Then nothing is known but that no answer came, even beside drops of others."""
    with attempts.waiting(place, family):
        limit.pass_by_all()
        probe.scan(limit.now_ns())

    assert outcomes(probe, place) == {("failed", "stalled"): COUNT}


@families
def test_a_socket_that_was_dropped_once_begins_anew(
    probe: FlowProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """The kernel gives the same sockets out again: a new attempt has nothing of the old one's reason."""
    firewall.load(place.name, _RULES)
    with attempts.waiting(place, family):
        pass
    firewall.flush(place.name)
    with attempts.waiting(place, family):
        limit.pass_by_all()
        probe.scan(limit.now_ns())

    assert outcomes(probe, place) == {("failed", "abandoned"): COUNT, ("failed", "stalled"): COUNT}


@families
def test_the_flow_log_says_it_too(
    probe: FlowProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Both ways in which an event of a stall comes to be."""
    firewall.load(place.name, _RULES)
    log = probe.log = FlowLog(probe.session)
    log.switch(Switch(on=True, one_in=0))
    with attempts.waiting(place, family):
        limit.pass_by_all()
        probe.scan(limit.now_ns())
    with attempts.waiting(place, family):
        limit.pass_by_all()
    reasons = Counter(event.reason for event in log.drain() if event.netns == place.inode)
    log.close()

    assert reasons == {_DROPPED[1]: 2 * COUNT}
