"""Where services are known from: maps of Cilium's shape that the test pinned, and what people wrote."""

import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters.bpf import attaching
from netsre.adapters.bpf.services import ServiceProbe
from netsre.adapters.bpf.session import Session, open_session
from netsre.adapters.bpf.syscalls import HASH, MapShape
from netsre.app import resources
from netsre.app.sensors.probes import ProbeSensor
from netsre.app.sensors.services import ServiceSensor
from netsre.datapath.probes import SERVICES
from netsre.datapath.services import Service
from netsre.datapath.workloads import Workload
from netsre.metrics.readings import Readings
from tests.kernel import bpffs
from tests.kernel.agent_process import running
from tests.kernel.balancer import Balancer
from tests.kernel.cgroups import hierarchy
from tests.kernel.service_traffic import (
    BALANCED,
    LOOPBACK,
    PORTS,
    SERVICE_PORT,
    TCP,
    TRANSLATED,
    UDP,
    site,
    target,
)
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

NAMES: Final = {4: "cilium_lb4_services_v2", 6: "cilium_lb6_services_v2"}
SHAPES: Final = {4: MapShape(HASH, 12, 12), 6: MapShape(HASH, 24, 12)}
"""Key and value of Cilium's maps of services."""


def entry(address: str, port: int, protocol: int, slot: int = 0) -> bytes:
    """Return a key as Cilium writes it."""
    return (
        ip_address(address).packed
        + port.to_bytes(2, "big")
        + slot.to_bytes(2, "little")
        + bytes([protocol, 0, 0, 0])
    )


def pin(path: pathlib.Path, version: int, keys: Iterable[bytes]) -> None:
    """Pin a map with these keys."""
    bpffs.pin(path, SHAPES[version], 64, 0)
    with bpffs.opened(path) as table:
        for key in keys:
            table.put(key, bytes(12))


def sensing(
    directory: pathlib.Path, use: Callable[[ServiceSensor, Session, ProbeSensor], None], *workloads: Workload
) -> None:
    """Use a sensor over a probe of its own."""
    session = open_session(resources.directory("bpf"), probe=SERVICES)
    try:
        probes = ProbeSensor({SERVICES.name: session})
        use(ServiceSensor(ServiceProbe(session), probes, directory, workloads, dict), session, probes)
    finally:
        session.close()


def numbers(sensor: ServiceSensor) -> dict[tuple[str, str], float]:
    """Return what the sensor reads of connections, by service and path."""
    readings = Readings()
    sensor.read(readings, 0)
    return {
        (labels["service"], labels["path"]): value for labels, value in readings.numbers[c.LB_CONNECTIONS]
    }


def state(probes: ProbeSensor) -> tuple[str, float]:
    """Return reason and value of the probe's own reading."""
    readings = Readings()
    probes.read(readings, 0)
    [(labels, value)] = readings.numbers[c.AGENT_PROBE_UP]
    return labels["reason"], value


def test_services_in_ciliums_maps_are_counted_and_nothing_else_is() -> None:
    """Both families; backends, NodePorts and other maps beside them are no services."""
    balanced = {version: str(address) for version, address in BALANCED.items()}
    translated = {version: str(address) for version, address in TRANSLATED.items()}

    def use(sensor: ServiceSensor, session: Session, probes: ProbeSensor) -> None:
        sensor.scan(0)
        assert (session.attached, state(probes), probes.absent) == (4, ("", 1), [])
        backends = {
            Service(BALANCED[version], SERVICE_PORT, protocol): Service(
                LOOPBACK[version], PORTS["balanced"], protocol
            )
            for version in (4, 6)
            for protocol in (TCP, UDP)
        }
        balancer = Balancer(backends)
        try:
            with site() as there, balancer.attached(hierarchy()):
                sensor.scan(1)
                targets = [target(one.address, one.port, one.protocol) for one in backends]
                others = [
                    target(TRANSLATED[version], SERVICE_PORT, protocol)
                    for version in (4, 6)
                    for protocol in (TCP, UDP)
                ]
                there.connect([*targets, *others], 23, 1)
        finally:
            balancer.close()
        assert numbers(sensor) == {
            (f"{balanced[4]}:{SERVICE_PORT}/TCP", "bpf"): 23,
            (f"{balanced[4]}:{SERVICE_PORT}/TCP", "other"): 0,
            (f"{balanced[4]}:{SERVICE_PORT}/UDP", "bpf"): 23,
            (f"{balanced[4]}:{SERVICE_PORT}/UDP", "other"): 0,
            (f"[{balanced[6]}]:{SERVICE_PORT}/TCP", "bpf"): 23,
            (f"[{balanced[6]}]:{SERVICE_PORT}/TCP", "other"): 0,
            # The rule's name, for both protocols of it.
            ("translated", "bpf"): 0,
            ("translated", "other"): 46,
            ("translated6", "bpf"): 0,
            ("translated6", "other"): 46,
        }

    def work(directory: pathlib.Path) -> None:
        pin(
            directory / NAMES[4],
            4,
            [
                entry(balanced[4], SERVICE_PORT, 0),
                entry(translated[4], SERVICE_PORT, TCP, slot=1),
                entry("0.0.0.0", SERVICE_PORT, TCP),
            ],
        )
        pin(directory / NAMES[6], 6, [entry(balanced[6], SERVICE_PORT, TCP)])
        pin(directory / "cilium_lb4_backends_v3", 4, [entry(translated[4], SERVICE_PORT, TCP)])
        sensing(directory, use, rule("translated", translated[4]), rule("translated6", translated[6]))

    bpffs.inside(work)


def rule(name: str, address: str) -> Workload:
    """Return what makes a service of the test's port of one address."""
    return Workload(name, (ip_network(address),), (SERVICE_PORT,), service=True)


def test_the_probe_is_attached_while_there_are_services_and_not_otherwise() -> None:
    """A map appears, changes, and is gone: so do the programs and the series, and nobody complains."""

    def use(directory: pathlib.Path, sensor: ServiceSensor, session: Session, probes: ProbeSensor) -> None:
        sensor.scan(0)
        assert (session.attached, state(probes), probes.absent, numbers(sensor)) == (
            0,
            ("not_needed", 1),
            [],
            {},
        )
        path = directory / NAMES[4]
        pin(
            path,
            4,
            [entry(str(TRANSLATED[4]), SERVICE_PORT, TCP), entry(str(BALANCED[4]), SERVICE_PORT, TCP)],
        )
        sensor.scan(1)
        assert session.attached == 0
        sensor.scan(16)
        assert (session.attached, state(probes)) == (4, ("", 1))
        with site() as there:
            there.connect([target(TRANSLATED[4], SERVICE_PORT, TCP)], 7, 1)
        assert sum(numbers(sensor).values()) == 7
        bpffs.unpin(path)
        pin(path, 4, [entry(str(BALANCED[4]), SERVICE_PORT, TCP)])
        sensor.scan(40)
        assert (session.attached, numbers(sensor)) == (4, {})
        assert list(session.maps["service_counts"].entries()) == []
        bpffs.unpin(path)
        sensor.scan(60)
        assert (session.attached, state(probes), numbers(sensor)) == (0, ("not_needed", 1), {})

    bpffs.inside(lambda directory: sensing(directory, lambda *made: use(directory, *made)))


def test_a_map_of_another_layout_is_an_error_and_what_is_known_stays() -> None:
    """Nothing is made up of bytes that mean something else."""

    def use(directory: pathlib.Path, sensor: ServiceSensor, session: Session) -> None:
        path = directory / NAMES[4]
        pin(path, 4, [entry(str(TRANSLATED[4]), SERVICE_PORT, TCP)])
        sensor.scan(0)
        bpffs.unpin(path)
        bpffs.pin(path, MapShape(HASH, 16, 12), 64, 1)
        with pytest.raises(ValueError, match="16 bytes"):
            sensor.scan(20)
        assert session.attached == 4
        assert len(list(session.maps["services"].entries())) == 1

    bpffs.inside(lambda directory: sensing(directory, lambda *made: use(directory, *made[:2])))


SITE: Final = f"""
apiVersion: netsre.dev/v1
kind: Workloads
metadata: {{name: site}}
spec:
  workloads:
    - {{name: shop, cidrs: [{TRANSLATED[4]}/32], ports: [{SERVICE_PORT}], service: true}}
"""


def test_the_agent_counts_services_that_people_wrote_down(tmp_path: pathlib.Path) -> None:
    """Over the wire, by the rule's name; without any there is no series, and it is ready all the same."""
    (tmp_path / "site.yaml").write_text(SITE, encoding="ascii")
    (tmp_path / "nothing").mkdir()
    without = ("--pinned-tables", str(tmp_path / "nothing"))
    with running(*without) as agent:
        quiet, ready = agent.samples(), agent.get("/readyz")
    with site() as there, running(*without, "--workloads", str(tmp_path)) as agent:
        up = (c.AGENT_PROBE_UP, (("probe", "services"), ("reason", "")))
        assert wait_until(lambda: up in agent.samples())
        there.connect([target(TRANSLATED[4], SERVICE_PORT, protocol) for protocol in (TCP, UDP)], 23, 1)
        balancer = Balancer(
            {Service(TRANSLATED[4], SERVICE_PORT, TCP): Service(LOOPBACK[4], PORTS["balanced"], TCP)}
        )
        with balancer.attached(hierarchy()):
            # With the few capabilities that it kept, the agent comes to stand behind who came later.
            assert wait_until(lambda: attaching.orders(["connect4"])["connect4"][-1] not in balancer.ids)
            there.connect([target(TRANSLATED[4], SERVICE_PORT, protocol) for protocol in (TCP, UDP)], 23, 1)
        balancer.close()
        served = {
            dict(pairs)["path"]: value
            for (name, pairs), value in agent.samples().items()
            if name == c.LB_CONNECTIONS
        }
        labels = {dict(pairs)["service"] for name, pairs in agent.samples() if name == c.LB_CONNECTIONS}
        agent.stop(signal.SIGTERM)

    assert ready == (200, "ready\n")
    assert quiet[c.AGENT_PROBE_UP, (("probe", "services"), ("reason", "not_needed"))] == 1
    assert c.LB_CONNECTIONS not in {name for name, _ in quiet}
    assert (served, labels) == ({"bpf": 23, "other": 69}, {"shop"})


_DOCTOR: Final = """
import json
from netsre.app.doctor import try_probes
print(json.dumps({name: unfit and [unfit.reason, unfit.message] for name, unfit in try_probes().items()}))
"""


@pytest.mark.requires("unshare")
def test_a_node_that_cannot_attach_it_is_told_so_beforehand() -> None:
    """Without the unified hierarchy there is no hook; the doctor names that, and the way to mend it."""
    hidden = f'umount "{hierarchy()}" && exec "$0" -c "$1"'
    command = ["unshare", "--mount", "sh", "-c", hidden, sys.executable, _DOCTOR]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    reason, message = json.loads(done.stdout)["services"]
    assert reason == "no_cgroup2"
    assert "mount -t cgroup2" in message


_THREE: Final = """
import pathlib, sys
from netsre.adapters.bpf.services import ServiceProbe, in_cilium
from netsre.adapters.bpf.session import open_session
from netsre.app.resources import directory
from netsre.datapath.probes import SERVICES
session = open_session(directory("bpf"), probe=SERVICES)
probe = ServiceProbe(session)
probe.know(in_cilium(pathlib.Path(sys.argv[1])))
session.attach_on_demand()
probe.keep_order()
for program in SERVICES.programs:
    session.move(program.name)
print(len(probe.known), session.attached, len(probe.counts()))
session.close()
"""


@pytest.mark.requires("setpriv")
def test_three_capabilities_are_enough_for_all_of_it() -> None:
    """To load, attach, read Cilium's map, ask for the order, and move: BPF, NET_ADMIN and PERFMON."""

    def work(directory: pathlib.Path) -> str:
        pin(directory / NAMES[4], 4, [entry(str(BALANCED[4]), SERVICE_PORT, TCP)])
        few = "-all,+bpf,+net_admin,+perfmon"
        limited = ["setpriv", f"--bounding-set={few}", "--inh-caps=-all", "--ambient-caps=-all"]
        return bpffs.output([*limited, sys.executable, "-c", _THREE, str(directory)])

    assert bpffs.inside(work) == "1 4 0\n"
