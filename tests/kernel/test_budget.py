"""A budget on the agent's own cost: probes that go, what is said of them, and that they can come back."""

import socket
import time
from collections.abc import Iterator

import pytest

from netsre import conventions as c
from netsre.adapters.bpf.session import Session, open_session
from netsre.adapters.bpf.tcp import TcpProbe
from netsre.app.resources import directory
from netsre.app.sensors.budget import ORDER, BudgetSensor
from netsre.app.sensors.probes import NOT_WANTED, ProbeSensor
from netsre.datapath.probes import FLOWS, LOADS, PROBES, TCP
from netsre.metrics.budget import EVERY_SECONDS
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, REFUSED_PORT, Place
from tests.kernel.programs import held_by
from tests.kernel.test_inventory import asking
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


@pytest.fixture
def session() -> Iterator[Session]:
    """Attach the TCP probe for one test."""
    opened = open_session(directory("bpf"), probe=TCP)
    yield opened
    opened.close()


def resets(probe: TcpProbe, place: Place) -> int:
    """Return the resets that a namespace sent."""
    counts = (one for one in probe.counts() if one.client.netns == place.inode)
    return sum(one.count for one in counts if one.kind.event == "reset_sent")


def test_a_probe_that_is_detached_counts_nothing_and_goes_on_where_it_was(session: Session) -> None:
    """What it had counted stays; what happens meanwhile is nobody's."""
    probe, found = TcpProbe(session), []
    with attempts.place() as place:
        for change in (None, session.detach, session.attach):
            if change is not None:
                change()
            place.run(lambda: attempts.failing(socket.AF_INET, REFUSED_PORT))
            found.append(resets(probe, place))

    assert found == [COUNT, COUNT, 2 * COUNT]


def test_a_probe_of_perfs_tracepoints_can_come_back_too() -> None:
    """By the number that the loader found out: the agent itself may not look into tracefs."""
    session = open_session(directory("bpf"), probe=LOADS)
    attached = session.attached
    session.detach()
    without = session.attached
    session.attach()
    again = session.attached
    session.close()

    assert (without, again) == (0, attached)


def test_all_but_the_outcomes_of_connections_go_in_the_declared_order() -> None:
    """One after two looks, and as long as it costs more than it may; each is detached and said."""
    opened = {probe.name: open_session(directory("bpf"), probe=probe) for probe in PROBES}
    probes, said, attached = ProbeSensor(opened), list[str](), []
    try:
        with asking() as (_, inventory):
            sensor = BudgetSensor(0.00001, probes, inventory, said.append)
            for look in range(2 * len(ORDER) + 2):
                spend()
                sensor.scan(look * EVERY_SECONDS)
                attached.append([name for name in ORDER if probes.is_attached(name)])
    finally:
        probes.close()

    gone = [list(ORDER[number:]) for number in range(len(ORDER) + 1)]
    assert attached == [left for left in gone for _ in range(2)]
    assert [line.split()[:5] for line in said] == [["probe", name, "is", "given", "up:"] for name in ORDER]
    assert {*ORDER, FLOWS.name} == {probe.name for probe in PROBES}


def spend() -> None:
    """Take more processor time than the system counts in."""
    began = time.process_time()
    while time.process_time() < began + 0.03:
        pass


def up(agent: Running) -> dict[str, str]:
    """Return the reason of each probe that is not up."""
    return {
        dict(pairs)["probe"]: dict(pairs)["reason"]
        for (name, pairs), value in agent.samples().items()
        if name == c.AGENT_PROBE_UP and not value
    }


def test_an_agent_over_its_budget_says_what_it_gave_up() -> None:
    """It is named on /readyz; what it measured is absent, and does not stand still."""
    left_out = [option for name in ORDER if name != TCP.name for option in ("--without", name)]
    with attempts.place() as place, running("--cpu-budget", "0.001%", *left_out) as agent:
        before = held_by(agent.process.pid)
        assert wait_until(lambda: up(agent) == {TCP.name: "shed"}, seconds=60)
        place.run(lambda: attempts.failing(socket.AF_INET, REFUSED_PORT))
        assert wait_until(lambda: agent.outcomes(place.name) == {("failed", "refused"): COUNT})
        samples, (status, text) = agent.samples(), agent.get("/readyz")

        assert held_by(agent.process.pid) == before
    assert not [name for name, _ in samples if name.startswith((c.TCP_RESETS, c.FLOW_RTT_SECONDS))]
    assert {
        dict(pairs)["probe"]: value for (name, pairs), value in samples.items() if name == c.AGENT_SHEDS
    } == {name: int(name == TCP.name) for name in ORDER}
    assert samples[c.AGENT_COST, ()] > samples[c.AGENT_BUDGET, ()] == 0.00001
    assert status == 200
    told = [line.split(": the agent took")[0] for line in text.splitlines() if NOT_WANTED not in line]
    assert told == ["ready", f"{TCP.name}: shed"]
