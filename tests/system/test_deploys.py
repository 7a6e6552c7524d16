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
from tests import slack_server
from tests.alertmanager import BadPeer, alertmanager
from tests.machine import wait_until
from tests.system.test_controller import BLIND, Agent, agent, home, ready, running  # noqa: F401

pytestmark = pytest.mark.requires("prometheus-alertmanager")
SETTINGS = """
apiVersion: netsre.dev/v1
kind: Controller
metadata: {{name: here}}
spec:
  alertmanager: ['{peer}']
  slack: {{channel: C0NETSRE, apiUrl: '{slack}', tokenFile: {home}/token, signingSecretFile: {home}/secret}}
"""
MUTED_EVENTS = "SELECT id, kind, text FROM event, meta WHERE key = 'announced_deploy/' || id"
"""Deploys that are on record, and muted for Slack as well."""


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
        events = kept.execute(MUTED_EVENTS).fetchall()
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


def test_a_muted_ticket_opens_no_message_in_slack_until_a_page_joins_it(
    home: pathlib.Path,  # noqa: F811 - the fixture
    agent: Agent,  # noqa: F811 - the fixture
) -> None:
    """A ticket of another service, which came after it, is told meanwhile; the list says which is muted."""
    data = home / "data"
    for name, secret in (("token", slack_server.TOKEN), ("secret", slack_server.SECRET)):
        (home / name).write_text(secret)
        (home / name).chmod(0o600)
    with slack_server.slack() as slack, alertmanager(home / "am", "http://127.0.0.1:9/") as real:
        (home / "controller.yaml").write_text(SETTINGS.format(slack=slack.url, home=home, peer=real.url))
        with running(data, agent.url, "--config", str(home / "controller.yaml")) as controller:
            controller.until(ready)
            where = ["--controller", f"http://127.0.0.1:{controller.port}", "--data-dir", str(data)]
            told = ["deploy", "announce", "--service", "shop", "--comment", "rollout 41", "--for", "20m"]
            assert run([*told, *where]) == 0
            _post(controller.port, data, "Muted", "ticket", "shop", "a")
            _post(controller.port, data, "Another", "ticket", "gate", "b")
            controller.until(lambda _: len(slack.parents()) == 1, 90)
            assert "Another" in slack.parents()[0].shown
            listed = controller.get("/api/v1/incidents")["incidents"]
            assert {one["node"]: one["muted"] for one in listed} == {"a": True, "b": False}

            _post(controller.port, data, "Paged", "page", "shop", "a")
            controller.until(lambda _: len(slack.parents()) == 2, 90)
            assert "Paged" in slack.parents()[1].shown


def _post(port: int, data: pathlib.Path, name: str, severity: str, service: str, node: str) -> None:
    """Send an alert as Alertmanager does."""
    named = {"alertname": name, "severity": severity, "service": service, "node": node}
    begun = {"startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}
    one = {"status": "firing", "labels": named, "annotations": {}, **begun}
    body = {"version": "4", "receiver": "netsre", "status": "firing", "truncatedAlerts": 0, "alerts": [one]}
    token = (data / "webhook.token").read_text().strip()
    shown = {"Authorization": f"Bearer {token}"}
    httpx.post(f"http://127.0.0.1:{port}/api/v1/alerts", json=body, headers=shown).raise_for_status()


def _states(url: str) -> dict[str, str]:
    """Return the state of every alert that an Alertmanager has judged."""
    found = httpx.get(f"{url}/api/v2/alerts").json()
    states = {one["labels"]["alertname"]: one["status"]["state"] for one in found}
    return {name: state for name, state in states.items() if state != "unprocessed"}
