"""Whether the kernel counts runs of BPF programs, against whether a count of them grows."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsre import conventions as c
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.session import Session, open_session
from netsre.app.resources import directory
from netsre.datapath.flow_log import Switch
from netsre.datapath.probes import TCP
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import Place

pytestmark = pytest.mark.requires("netns")

SWITCH = Path("/proc/sys/kernel/bpf_stats_enabled")


@pytest.fixture(scope="module")
def agent() -> Iterator[Running]:
    """Run an agent that does not switch them on itself."""
    with running() as one:
        yield one


def seen(agent: Running, place: Place) -> tuple[float, bool]:
    """Return what the agent says of statistics, and whether connections were counted as runs.

    Both once more where another test has switched them meanwhile: there is one switch for all.
    """
    runs, switched = (c.BPF_RUNS, (("program", "netsre_flows"),)), (c.BPF_RUN_STATISTICS, ())
    while True:
        before = agent.samples()
        place.run(lambda: attempts.accepted(socket.AF_INET))
        after = agent.samples()
        if after[switched] == before[switched]:
            return after[switched], after[runs] >= before[runs] + attempts.COUNT


def test_who_holds_a_descriptor_has_them_on(agent: Running, place: Place) -> None:
    """Another process does: the switch in /proc says nothing of that, the agent does, and its counts grow."""
    switch = SWITCH.read_text()
    descriptor = syscalls.enable_run_time_statistics()
    try:
        assert seen(agent, place) == (1, True)
        assert SWITCH.read_text() == switch
    finally:
        os.close(descriptor)


def test_as_the_host_has_them_the_agent_says_whether_they_grow(agent: Running, place: Place) -> None:
    """Mostly they are off: the counts stand still, and the agent says that they mean nothing."""
    said, grows = seen(agent, place)

    assert said == int(grows)


def test_finding_it_out_emits_no_event() -> None:
    """The program that is run for it is the one that tells of stalled attempts, and the log is on."""
    session = open_session(directory("bpf"))
    log = FlowLog(session)
    log.switch(Switch(on=True, one_in=0))
    for _ in range(3):
        assert session.are_runs_counted() is not None
    found = [event for event in log.drain() if event.outcome == "failed" and event.reason == "stalled"]
    log.close()
    session.close()

    assert not found


def test_a_probe_without_such_a_program_does_not_know() -> None:
    """Then there is no metric rather than a guess."""
    session: Session = open_session(directory("bpf"), probe=TCP)
    known = session.are_runs_counted()
    session.close()

    assert known is None
