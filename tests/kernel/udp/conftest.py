"""What tests of the UDP probe share: a namespace whose datagrams are counted by others too, and the probe."""

from collections.abc import Iterator

import pytest

from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.udp import UdpProbe
from netsre.datapath.probes import UDP, Probe
from tests.kernel.attempts import Place
from tests.kernel.datagrams import witnessed
from tests.kernel.limits import SHORT, Limit


@pytest.fixture
def place(place: Place) -> Place:
    """Have the datagrams of the test's namespace counted."""
    witnessed(place)
    return place


@pytest.fixture
def limit() -> Limit:
    """Wait no longer than it takes; who claims how long that is asks for what is shipped."""
    return SHORT


@pytest.fixture
def attached() -> Probe:
    """Name the probe that each test gets."""
    return UDP


@pytest.fixture
def probe(session: Session) -> Iterator[UdpProbe]:
    """Return the reader of the probe, with its log."""
    reader = UdpProbe(session)
    reader.log = FlowLog(session, "udp_log")
    yield reader
    reader.log.close()
