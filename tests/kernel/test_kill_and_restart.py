"""An agent that is killed and started again: what the kernel keeps, and what a Prometheus makes of it."""

import json
import pathlib
import signal
import socket
import urllib.parse
import urllib.request
from functools import partial

import pytest

from netsre import conventions as c
from tests import prometheus
from tests.kernel import attempts
from tests.kernel.agent_process import running, start
from tests.kernel.attempts import COUNT, Place
from tests.kernel.programs import Held, held_by_process
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]
REFUSED = 'outcome="failed",reason="refused"'


def test_kill_9_leaves_no_program_map_or_attachment_in_the_kernel(tmp_path: pathlib.Path) -> None:
    """By their ids: everything that the agent had a descriptor of."""
    options = ("--control", str(tmp_path / "agent.sock"), "--effects", str(tmp_path / "effects"))
    agent = start(*options, "--flow-log", str(tmp_path / "flows.jsonl"))
    held = held_by_process(agent.process.pid)
    agent.stop(signal.SIGKILL)

    assert held.programs
    assert held.maps
    assert held.links
    assert wait_until(lambda: held.left == Held())


def answer(port: int, query: str, at: float | None = None) -> float | None:
    """Return the one number that a Prometheus has for a query, now or as of a Unix time in seconds."""
    when = {} if at is None else {"time": f"{at:.3f}"}
    text = urllib.parse.urlencode({"query": query, **when})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{text}", timeout=PATIENCE) as reply:
        found = json.load(reply)["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def configuration(address: str) -> str:
    """Return that of a Prometheus that reads one agent every second."""
    job = f'{{"job_name": "agent", "static_configs": [{{"targets": ["{address}"]}}]}}'
    return f'{{"global": {{"scrape_interval": "1s"}}, "scrape_configs": [{job}]}}\n'


def test_increase_over_a_restart_is_what_happened(tmp_path: pathlib.Path) -> None:
    """A new process begins at zero with a newer start time, and a real Prometheus adds the new to the old."""
    with attempts.place() as place:
        agent = start()
        with prometheus.running(tmp_path, configuration(agent.address)) as (_, port):
            series = f'{c.FLOWS}{{src="{place.name}",{REFUSED}}}'
            refuse(place, 2)
            assert wait_until(lambda: answer(port, series) == 2 * COUNT)
            first = answer(port, c.PROCESS_START_TIME)
            began = answer(port, f"timestamp({series})")
            agent.stop(signal.SIGKILL)
            with running(address=agent.address) as second:
                refuse(place, 1)
                assert second.outcomes(place.name) == {("failed", "refused"): COUNT}
                assert wait_until(lambda: answer(port, series) == COUNT)
                last = answer(port, c.PROCESS_START_TIME)
                ended = answer(port, f"timestamp({series})")
                assert began is not None
                assert ended is not None
                # An increase is drawn out to both ends of its window, so these are at a sample each.
                window = f"{round((ended - began) * 1000) + 1}ms"
                resets = answer(port, f"resets({series}[{window}])", ended)
                grown = answer(port, f"increase({series}[{window}])", ended)

    assert first is not None
    assert last is not None
    assert last > first
    assert resets == 1
    assert grown == pytest.approx(COUNT, rel=0.01)


def refuse(place: Place, times: int) -> None:
    """Make so many times as many refused attempts as are usual."""
    for _ in range(times):
        place.run(partial(attempts.failing, socket.AF_INET, attempts.REFUSED_PORT))
