"""The loop in a real lab where more goes wrong than the one fault that it was made for."""

import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.alertmanager import Alertmanager
from tests.machine import LIMIT, alone_with_limit, free_port, open_directory, wait_until
from tests.system import lab_faults
from tests.system.lab_faults import flood, get, lines, run_of
from tests.system.up_process import Up, up

pytestmark = [
    pytest.mark.requires("root", "bpf", "btf", "bcc", "netns", "nft", "prometheus-alertmanager"),
]

BLOCK: Final = 1
TUNE: Final = 3


@pytest.fixture
def data_dir() -> Iterator[pathlib.Path]:
    """Return a place for data that the lab's user can reach."""
    with open_directory() as home:
        yield home / "data"


def alerts(running: Up, name: str) -> list[Any]:
    """Return the alerts of a name."""
    return [alert for alert in get(running, "alerts")["alerts"] if alert["labels"]["alertname"] == name]


def test_an_agent_killed_before_the_first_effect_and_a_hanging_alertmanager(data_dir: pathlib.Path) -> None:
    """The effect is made once, by the next agent; people at Alertmanager are told when it answers again."""
    port, killed = free_port(), list[int]()
    where = ("--with-alertmanager", "--alertmanager-listen", f"127.0.0.1:{port}")
    with up(data_dir, *where) as running:
        running.wait_for(r"^stop: ")
        hanging = int(running.wait_for(r"alertmanager, pid (\d+)")[1])
        agent = running.pid("agent")

        def kill(command: Any) -> None:  # noqa: ANN401
            if command["do"] == "apply" and not killed:
                killed.append(agent)
                os.kill(agent, signal.SIGKILL)
                tap.close()

        tap = lab_faults.Tap(lab_faults.place(running) / "agent.sock", kill)
        try:
            os.kill(hanging, signal.SIGSTOP)
            flood(running)
            running.wait_for(rf"^agent \(pid {agent}\) ended: signal SIGKILL")
            running.wait_for(r"^agent: started again")
            running.wait_for(r"effect key=\S+/1 done=applied kind=block")
            running.wait_for(r"effect key=\S+/2 done=applied kind=flush")
            (peer,) = get(running, "status")["alertmanagers"]
            assert peer["last_accepted_at"] is None, "nobody was told yet, and nobody is said to be"
        finally:
            os.kill(hanging, signal.SIGCONT)
            tap.close()
        outcomes = lines(run_of(running), "outcome", BLOCK)
        assert [outcome.get("reason") for outcome in outcomes] == ["not_applied", None]
        assert outcomes[1]["result"]["already"] is False
        assert running.printed.count(" kind=block ") == 1
        assert wait_until(
            lambda: (
                "ConntrackUtilization"
                in {found["labels"]["alertname"] for found in Alertmanager(port).alerts()}
            )
        )
        (firing,) = alerts(running, "ConntrackUtilization")
        (told,) = [
            found
            for found in Alertmanager(port).alerts()
            if found["labels"]["alertname"] == "ConntrackUtilization"
        ]
        assert told["startsAt"] == firing["fired_at"]
        running.stop()


def test_of_two_floods_the_worst_is_blocked_and_for_the_other_the_limit_raised(
    data_dir: pathlib.Path,
) -> None:
    """Once, also where the first reading after the flush found the table half empty; the end puts it back."""
    with alone_with_limit(), up(data_dir) as running:
        before = int(LIMIT.read_text(encoding="ascii"))
        running.wait_for(r"^stop: ")
        flood(running)
        other = lab_faults.server(running).removesuffix("-srv") + "-cli-a"
        with lab_faults.another_flood(other, "198.18.1.1"):
            running.wait_for(r"effect key=\S+/1 done=applied kind=block")
            running.wait_for(rf"effect key=\S+/3 done=applied kind=limit before={before} after={2 * before}")
        assert int(LIMIT.read_text(encoding="ascii")) == 2 * before
        run = run_of(running)
        assert len(lines(run, "intent", BLOCK)) == len(lines(run, "intent", TUNE)) == 1
        running.stop()
        assert int(LIMIT.read_text(encoding="ascii")) == before


def test_a_table_that_the_node_itself_fills_is_left_to_people(data_dir: pathlib.Path) -> None:
    """Refused by its word before anything is changed, and people are called with it."""
    with up(data_dir) as running:
        running.wait_for(r"^stop: ")
        with lab_faults.another_flood(lab_faults.server(running), "127.0.0.1"):
            running.wait_for(
                r"run run=\S+ runbook=conntrack-exhaustion state=refused reason=source_protected"
            )
            running.wait_for(r"reason=run_needs_human summary=.*source_protected")
        run = run_of(running)
        assert [entry["step"] for entry in run["journal"] if "effect" in entry["data"]] == []
        calls = alerts(running, "RunbookNeedsHuman")
        # Where the table fills slowly, the alert about who takes it all fires first, and calls people too.
        (call,) = [found for found in calls if found["labels"]["runbook"] == run["runbook"]]
        assert (call["state"], call["labels"]["severity"]) == ("firing", "page")
        assert "changed nothing" in call["annotations"]["description"]
        running.stop()
