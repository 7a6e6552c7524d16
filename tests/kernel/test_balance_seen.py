"""The balancer of services beside the probe of services, which stands at the root of all cgroups."""

import socket
from ipaddress import ip_address

import pytest

from netsre.adapters.bpf.services import ServiceProbe
from netsre.adapters.bpf.session import open_session
from netsre.app.resources import directory
from netsre.datapath.probes import SERVICES
from netsre.datapath.services import Service
from tests.kernel import balanced
from tests.kernel.balanced import ADDRESSES, SERVICE_PORT, both

pytestmark = [pytest.mark.requires("ip", "nft", "netns")]

ASKED, REFUSED = 71, 72
"""Services that nobody else asks for: the probe sees what is asked anywhere on the host."""
KNOWN = frozenset(
    Service(ip_address(ADDRESSES[version].format(number)), SERVICE_PORT, protocol)
    for version in (4, 6)
    for protocol in (6, 17)
    for number in (ASKED, REFUSED)
)


def test_the_probe_of_services_sees_who_balanced() -> None:
    """What the balancer refuses is no connection for the probe."""
    session = open_session(directory("bpf"), probe=SERVICES)
    try:
        probe = ServiceProbe(session)
        probe.know(KNOWN)
        session.attach_on_demand()
        with balanced.site(2) as site, balanced.balancing(site) as balance:
            balance.switch(balanced.write(balance, [*both(1, 2, number=ASKED), *both(number=REFUSED)]))
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with site.socket(family, kind) as client:
                        assert client.connect_ex((ADDRESSES[version].format(REFUSED), SERVICE_PORT))
                        client.connect((ADDRESSES[version].format(ASKED), SERVICE_PORT))
                        client.send(b"?")
                        assert client.recv(100).decode().endswith(f":{balanced.PORT}")
        found = {(one.service, one.path): one.connections for one in probe.counts()}
    finally:
        session.close()

    asked = {
        one for one in KNOWN if str(one.address) in {ADDRESSES[version].format(ASKED) for version in (4, 6)}
    }
    assert found == {(service, "bpf"): 1 for service in asked}
