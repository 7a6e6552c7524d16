"""Which sensors read a node: the probes that there are, and all that needs none."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from netsre.adapters.bpf.drops import DropsProbe
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.loads import LoadProbe
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.services import ServiceProbe
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.tcp import TcpProbe
from netsre.adapters.bpf.udp import UdpProbe
from netsre.adapters.flow_log.background import FlowLogWriter
from netsre.adapters.flow_log.writing import FlowLogFile
from netsre.app.agent_settings import AgentSettings, FlowLogSettings
from netsre.app.inventory.client import Inventory
from netsre.app.sensors import Sensor
from netsre.app.sensors.balance import BalanceSensor
from netsre.app.sensors.budget import BudgetSensor
from netsre.app.sensors.conntrack import ConntrackSensor
from netsre.app.sensors.counting import CounterSensor, Counting
from netsre.app.sensors.flow_log import FlowLogSensor
from netsre.app.sensors.flows import FlowSensor
from netsre.app.sensors.loads import LoadSensor
from netsre.app.sensors.maps import MapSensor
from netsre.app.sensors.pinned import PinnedTableSensor
from netsre.app.sensors.places import Places
from netsre.app.sensors.policy import PolicySensor
from netsre.app.sensors.policy_connections import PolicyConnectionSensor
from netsre.app.sensors.prefilter import PrefilterSensor
from netsre.app.sensors.probes import ProbeSensor
from netsre.app.sensors.services import ServiceSensor
from netsre.datapath.drops import DropKind
from netsre.datapath.probes import DROPS, LOADS, SERVICES, TCP, UDP
from netsre.datapath.workloads import Names
from netsre.metrics.node import put_drops, put_tcp

_log: Final = logging.getLogger("netsre.agent")


def sensors(
    flows: FlowProbe | None,
    opened: Mapping[str, Session | ProbeUnfit],
    probes: ProbeSensor,
    settings: AgentSettings,
    inventory: Inventory,
) -> Iterator[Sensor]:
    """Yield what reads this node: the probes that there are, and all that needs none."""
    places = Places(settings.workloads, inventory.namespaces)
    datagrams = _datagrams(flows, opened)
    if flows is not None:
        sensor = FlowSensor(flows, places, settings.cells)
        yield sensor
        if settings.flow_log is not None:
            yield _flow_log(settings.flow_log, flows, datagrams, sensor, places)
    if datagrams is not None:
        yield FlowSensor(datagrams, places, settings.cells)
    if isinstance(tcp := opened.get(TCP.name), Session):
        probe = TcpProbe(tcp)
        put = partial(put_tcp, cells=settings.cells)
        yield CounterSensor(TCP.name, probe, Counting(places, probe.retire), put)
    if isinstance(drops := opened.get(DROPS.name), Session):
        dropped = DropsProbe(drops)
        counting = Counting[DropKind](places, dropped.retire, Names.of_places)
        yield CounterSensor(DROPS.name, dropped, counting, put_drops)
    yield ConntrackSensor(places, inventory, settings.tables.top_sources)
    yield PinnedTableSensor(settings.tables.pinned)
    yield PolicySensor(settings.policy.pins, settings.policy.state)
    yield PolicyConnectionSensor(settings.policy.pins)
    yield PrefilterSensor(settings.prefilter)
    yield from _services(opened.get(SERVICES.name), probes, settings)
    if isinstance(loads := opened.get(LOADS.name), Session):
        yield LoadSensor(LoadProbe(loads))
    # After all that speak of maps of ours.
    yield MapSensor(inventory)
    if settings.budget is not None:
        yield BudgetSensor(settings.budget, probes, inventory, _log.warning)


def _services(
    opened: Session | ProbeUnfit | None, probes: ProbeSensor, settings: AgentSettings
) -> Iterator[Sensor]:
    """Yield what is known of services: first our balancer, which names those that the probe counts."""
    balance = BalanceSensor(settings.balance.pins, settings.balance.state)
    yield balance
    if isinstance(opened, Session):
        probe, pinned = ServiceProbe(opened), settings.tables.pinned
        yield ServiceSensor(probe, probes, pinned, settings.workloads, lambda: balance.services)


def _datagrams(flows: FlowProbe | None, opened: Mapping[str, Session | ProbeUnfit]) -> UdpProbe | None:
    session = opened.get(UDP.name)
    if not isinstance(session, Session):
        return None
    return UdpProbe(session, None if flows is None else flows.denials)


def _flow_log(
    settings: FlowLogSettings,
    flows: FlowProbe,
    datagrams: UdpProbe | None,
    sensor: FlowSensor,
    places: Places,
) -> FlowLogSensor:
    """Begin a flow log; its directory is opened now, while we may."""
    writer = FlowLogWriter(FlowLogFile(settings.path.absolute(), settings.most_bytes), _log.warning)
    writer.open()
    logs = [FlowLog(flows.session)]
    flows.log = logs[0]
    if datagrams is not None:
        datagrams.log = FlowLog(datagrams.session, "udp_log")
        logs.append(datagrams.log)
    return FlowLogSensor(logs, writer, places, one_in=settings.one_in, ended=sensor.ended, say=_log.info)
