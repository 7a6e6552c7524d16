"""People announce deploys: a real Alertmanager keeps their tickets back, and nothing else."""

import json
import pathlib
import sqlite3
import sys
from contextlib import closing

import httpx
import pytest

from netsre.app import database
from netsre.app.control import deploy_api
from netsre.cli.main import run
from netsre.store.sqlite import FILE_NAME
from tests.alertmanager import BadPeer, alertmanager
from tests.machine import wait_until
from tests.system.test_controller import BLIND, Agent, agent, home, ready, running  # noqa: F401

pytestmark = pytest.mark.requires("prometheus-alertmanager")


def test_an_announced_deploy_mutes_the_tickets_of_its_services_and_no_page(
    home: pathlib.Path,  # noqa: F811 - the fixture
    agent: Agent,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends by itself, and is on record; an Alertmanager that is broken keeps nobody from it."""
    bad = BadPeer("fails")
    data = home / "data"
    alerts = [
        {"labels": {"alertname": name, "severity": severity, "service": service}}
        for name, severity, service in (
            ("Muted", "ticket", "shop"),
            ("Paged", "page", "shop"),
            ("Another", "ticket", "shop-2"),
        )
    ]
    try:
        with alertmanager(home / "am", "http://127.0.0.1:9/") as real:
            peers = ("--alertmanager", real.url, "--alertmanager", bad.url)
            blind = (sys.executable, "-P", "-c", BLIND)
            with running(data, agent.url, *peers, program=blind) as controller:
                controller.until(ready)
                where = ["--controller", f"http://127.0.0.1:{controller.port}", "--data-dir", str(data)]
                told = ["deploy", "announce", "--service", "shop", "--comment", "rollout 41", *where]
                assert run([*told, "--for", "5h"]) != 0
                assert "announce it again then" in capsys.readouterr().err
                assert run([*told, "--for", "20m", "--json"]) == 0
                announced = json.loads(capsys.readouterr().out)
                assert "IMPORTED LATE" not in controller.log.read_text()
            real.post(*alerts)
            assert wait_until(lambda: _states(real.url).keys() == {"Muted", "Paged", "Another"})
            states = _states(real.url)
            [silence] = httpx.get(f"{real.url}/api/v2/silences").json()
    finally:
        bad.close()

    assert states == {"Muted": "suppressed", "Paged": "active", "Another": "active"}
    # Somebody else's, of which nothing was heard here so far: it is muted, and said.
    assert ({peer["result"] for peer in announced["peers"]}, len(announced["warnings"])) == (
        {"accepted", "failed"},
        1,
    )
    assert silence["createdBy"] == announced["by"]
    assert silence["comment"] == f"rollout 41 (deploy {announced['id']})"
    assert silence["endsAt"] == announced["until"]
    with closing(sqlite3.connect(f"file:{data / FILE_NAME}?mode=ro", uri=True)) as kept:
        verbs = kept.execute("SELECT verb FROM audit WHERE verb LIKE 'deploy.%' ORDER BY seq").fetchall()
        events = kept.execute("SELECT id, kind, text FROM event").fetchall()
    assert verbs == [("deploy.announced",), ("deploy.silenced",)]
    assert events == [(announced["id"], "deploy", "shop: rollout 41")]
    assert database.check(data).broken_seq is None


def test_a_misspelt_service_is_told_with_the_nearest_one() -> None:
    """A silence of it would mute nothing, and nobody would see that."""
    told = deploy_api.unknown(["node-conntrack", "node-polcy"], {"node-conntrack", "node-policy"})

    assert told == [
        "no service level and no alert here is of the service 'node-polcy'; did you mean 'node-policy'?"
    ]


def test_a_controller_without_an_alertmanager_says_so(
    home: pathlib.Path,  # noqa: F811 - the fixture
    agent: Agent,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody believes that tickets are muted which are not."""
    data = home / "data"
    with running(data, agent.url) as controller:
        controller.until(ready)
        where = ["--controller", f"http://127.0.0.1:{controller.port}", "--data-dir", str(data)]
        code = run(["deploy", "announce", "--service", "shop", "--for", "1m", "--comment", "x", *where])
    assert code != 0
    assert "name one with --alertmanager" in capsys.readouterr().err


def _states(url: str) -> dict[str, str]:
    """Return the state of every alert that an Alertmanager has judged."""
    found = httpx.get(f"{url}/api/v2/alerts").json()
    states = {one["labels"]["alertname"]: one["status"]["state"] for one in found}
    return {name: state for name, state in states.items() if state != "unprocessed"}
