"""The flow log of an agent: every line of a failure, what it says it meant and lost, and what it survives."""

import functools
import json
import os
import pathlib
import signal
import socket
from collections import Counter
from typing import Any

import jsonschema
import pytest

from netsre import conventions as c
from netsre.app.schemas import published
from netsre.datapath.flow_log import KINDS
from netsre.metrics.registry import REGISTRY
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


def lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return every line of a log."""
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def total(agent: Running, metric: str) -> dict[str, int]:
    """Return a metric of the log by kind."""
    samples = agent.samples()
    return {kind: int(samples[(metric, (("kind", kind),))]) for kind in KINDS}


def test_every_failure_is_a_line_and_the_agent_says_how_many(tmp_path: pathlib.Path) -> None:
    """Refused and stalled, in both families, against the count of attempts; of what was answered nothing."""
    path = tmp_path / "log" / "flows.jsonl"
    options = ("--flow-log", str(path), "--flow-log-sampling", "0")
    with attempts.place() as place, running(*options) as agent:
        for family in (socket.AF_INET, socket.AF_INET6):
            place.run(functools.partial(attempts.accepted, family))
            place.run(functools.partial(attempts.failing, family, attempts.REFUSED_PORT))
        with attempts.waiting(place, socket.AF_INET), attempts.waiting(place, socket.AF_INET6):
            stalled = ("failed", "stalled")
            assert wait_until(lambda: agent.outcomes(place.name).get(stalled, 0) >= 2 * COUNT)
        assert total(agent, c.FLOW_LOG_LOST) == dict.fromkeys(KINDS, 0)
        at_least = total(agent, c.FLOW_LOG_EVENTS)
        assert agent.stop(signal.SIGTERM) == 0
    found = lines(path)
    ours = [line for line in found if line["src"]["name"] == place.name]

    for line in found:
        jsonschema.validate(line, published.record_schemas()["flow.json"])
    assert Counter((line["outcome"], line["reason"], line["dst"]["ip"]) for line in ours) == {
        ("failed", reason, address): COUNT
        for reason in ("refused", "stalled")
        for address in ("127.0.0.1", "::1")
    }
    assert {line["dst"]["port"] for line in ours} == {attempts.REFUSED_PORT, attempts.DROPPED_PORT}
    assert Counter(line["outcome"] for line in found)["failed"] >= at_least["failed"] >= 4 * COUNT
    assert at_least["delivered"] == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_meant_is_written_or_lost_and_both_begin_at_zero(tmp_path: pathlib.Path) -> None:
    """With everything logged: as many lines as events, to the last, when the agent has ended."""
    path = tmp_path / "flows.jsonl"
    with attempts.place() as place, running("--flow-log", str(path), "--flow-log-sampling", "1") as agent:
        begun = agent.samples()
        place.run(lambda: attempts.accepted(socket.AF_INET, 500))
        events, lost = total(agent, c.FLOW_LOG_EVENTS), total(agent, c.FLOW_LOG_LOST)
        assert agent.stop(signal.SIGTERM) == 0
    ours = [line for line in lines(path) if line["src"]["name"] == place.name]

    assert begun[(c.FLOW_LOG_EVENTS, (("kind", "denied"),))] == 0
    assert begun[(c.FLOW_LOG_SAMPLING, (("kind", "delivered"),))] == 1
    assert (len(ours), {line["sampling"] for line in ours}) == (500, {1})
    assert lost == dict.fromkeys(KINDS, 0)
    assert 500 <= events["delivered"] <= len(lines(path))


def test_the_metrics_of_the_log_are_there_where_one_is_kept_and_nowhere_else(tmp_path: pathlib.Path) -> None:
    """A service level about the log waits for a node that shows them."""
    names = {c.FLOW_LOG_EVENTS, c.FLOW_LOG_LOST, c.FLOW_LOG_SAMPLING}
    with running() as without:
        none = {name for name, _ in without.samples()}
    with running("--flow-log", str(tmp_path / "flows.jsonl")) as agent:
        found = agent.samples()

    assert not names & none
    assert {name for name, _ in found if name in names} == names
    assert {labels for name, labels in found if name in names} == {(("kind", kind),) for kind in KINDS}
    assert found[(c.FLOW_LOG_SAMPLING, (("kind", "delivered"),))] == 0.01
    assert {REGISTRY[name].exporter for name in names} == {"datapath"}


def test_a_log_that_cannot_be_written_is_said_and_counted_and_nothing_else(tmp_path: pathlib.Path) -> None:
    """The agent is ready, counts as ever, and shows every line as lost."""
    path = tmp_path / "missing" / "missing" / "flows.jsonl"
    with attempts.place() as place, running("--flow-log", str(path)) as agent:
        place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT))
        assert agent.get("/readyz")[0] == 200
        assert wait_until(lambda: total(agent, c.FLOW_LOG_LOST)["failed"] >= COUNT)
        assert agent.outcomes(place.name) == {("failed", "refused"): COUNT}

    assert not path.exists()


def test_the_agent_writes_with_the_capabilities_that_it_kept(tmp_path: pathlib.Path) -> None:
    """Below a directory that is another user's, as netsre up has it, and on after it was killed."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "flow-log").mkdir(mode=0o700)
    home.chmod(0o700)
    os.chown(home, 65_534, 65_534)
    path = home / "flow-log" / "flows.jsonl"
    with attempts.place() as place:
        for number in (signal.SIGKILL, signal.SIGTERM):
            with running("--flow-log", str(path)) as agent:
                place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT))
                assert wait_until(lambda: total(agent, c.FLOW_LOG_EVENTS)["failed"] >= COUNT)
                assert wait_until(lambda: path.exists() and path.read_bytes().endswith(b"\n"))
                written = len(lines(path))
                agent.stop(number)
    ours = [line for line in lines(path) if line["src"]["name"] == place.name]

    assert written >= COUNT
    assert COUNT <= len(ours) <= 2 * COUNT
    assert path.stat().st_uid == 0
