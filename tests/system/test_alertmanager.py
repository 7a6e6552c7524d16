"""The way to a real Alertmanager and back: each alert is told, comes back and runs once, whatever dies."""

import dataclasses
import json
import pathlib
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import httpx
import pytest

from netsre import clock
from netsre.adapters.alertmanager import Alertmanager as Client
from netsre.adapters.alertmanager import Bounds
from netsre.alerting.describe import Links
from netsre.alerting.notify import Pace
from netsre.app.control.pager import Pager, Telling
from netsre.clock import SystemClock, Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.store.database import Store
from netsre.store.sqlite import FILE_NAME
from tests.alertmanager import Alertmanager, BadPeer, Sink, alertmanager
from tests.machine import PATIENCE, free_port, open_directory, wait_until
from tests.system.test_controller import BLIND, NETSRE, Agent, Controller, ready, running
from tests.unit import burning

pytestmark = pytest.mark.requires("prometheus-alertmanager")

PACE: Final = Pace(interval=250, resend=500, timeout=2_000)
"""Everything sooner; an alert that is not told again ends by itself after 5 s."""


def begin(store: Store, name: str = "A") -> Alert:
    """Have an alert of ours begin now."""
    alert = burning.fired().alert
    now = SystemClock().now()
    named = tuple((key, name if key == "alertname" else value) for key, value in alert.labels)
    alert = dataclasses.replace(alert, labels=named, fingerprint=name, fired_at=now, updated_at=now)
    with store.write() as transaction:
        transaction.alerts.save(alert)
    return alert


def end(store: Store, alert: Alert) -> None:
    """Have it end now."""
    over = dataclasses.replace(alert, state=AlertState.RESOLVED, resolved_at=SystemClock().now())
    with store.write() as transaction:
        transaction.alerts.save(over)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Return a webhook that keeps what it is sent."""
    made = Sink()
    yield made
    made.close()


@contextmanager
def telling(store: Store, *urls: str) -> Iterator[Pager]:
    """Tell peers of what is in a store."""
    clients = [Client(url, Bounds(total_seconds=PACE.timeout / clock.SECOND)) for url in urls]
    pager = Pager(clients, Telling(store, SystemClock(), PACE, Links("http://a:8600"), lambda _: None))
    pager.start()
    try:
        yield pager
    finally:
        pager.stop(10)


def test_an_alert_that_goes_on_does_not_flap_and_its_end_is_told(
    store: Store, sink: Sink, tmp_path: pathlib.Path
) -> None:
    """Over twice its own validity; then it fires again, while its first end is still being told."""
    with (
        alertmanager(tmp_path / "am", sink.url, group_interval="500ms") as real,
        telling(store, real.url) as us,
    ):
        first = begin(store)
        us.wake()
        assert wait_until(lambda: sink.sent == [("A", "firing")])
        time.sleep(2 * PACE.valid / clock.SECOND)
        assert sink.sent == [("A", "firing")]
        assert [alert["startsAt"] for alert in real.alerts()] == [clock.rfc3339(first.fired_at)]

        end(store, first)
        us.wake()
        assert wait_until(lambda: sink.sent == [("A", "firing"), ("A", "resolved")])
        begin(store)
        us.wake()
        assert wait_until(lambda: sink.sent[2:] == [("A", "firing")])
        time.sleep(1.2 * PACE.valid / clock.SECOND)
        assert len(sink.sent) == 3


def test_an_alert_that_nobody_tells_any_more_ends_by_itself(
    store: Store, sink: Sink, tmp_path: pathlib.Path
) -> None:
    """That is what the resending is for, and shows that the test before could fail."""
    with alertmanager(tmp_path / "am", sink.url, group_interval="500ms") as real:
        with telling(store, real.url) as us:
            begin(store)
            us.wake()
            assert wait_until(lambda: sink.sent == [("A", "firing")])
        assert wait_until(lambda: sink.sent == [("A", "firing"), ("A", "resolved")])


def test_a_restart_tells_the_same_firing(store: Store, sink: Sink, tmp_path: pathlib.Path) -> None:
    """To Alertmanager nothing happened: the beginning is that of before."""
    with alertmanager(tmp_path / "am", sink.url, group_interval="500ms") as real:
        begin(store)
        for _ in range(3):
            with telling(store, real.url) as us:
                assert wait_until(lambda us=us: us.states()[0].last_accepted_at is not None)  # type: ignore[misc]
        time.sleep(1)
        assert sink.sent == [("A", "firing")]


@pytest.mark.parametrize("how", ["hangs", "drips", "fails", "floods", "lies", "greets", "breaks", "absent"])
def test_a_bad_peer_keeps_no_other_waiting(
    store: Store, sink: Sink, tmp_path: pathlib.Path, how: str
) -> None:
    """The good one of a pair hears of three alerts, one after the other, while the bad one has taken none."""
    bad = BadPeer(how)
    try:
        with (
            alertmanager(tmp_path / "am", sink.url) as real,
            telling(store, bad.url, real.url) as us,
        ):
            for number, name in enumerate("ABC"):
                assert how == "absent" or bad.asked.wait(PATIENCE)
                begin(store, name)
                us.wake()
                assert wait_until(lambda number=number: len(sink.sent) == number + 1)  # type: ignore[misc]
            assert wait_until(lambda: us.states()[0].up is False)
            one, other = us.states()
    finally:
        bad.close()

    assert (one.up, one.last_accepted_at) == (False, None)
    assert one.reason
    assert (other.up, other.reason) == (True, None)
    with store.read() as transaction:
        pages = transaction.pages.of(transaction.alerts.active().values())
    assert [page.peer for page in pages] == [other.name] * 3


NOW: Final = "2026-01-01T00:00:00Z"
SPECS: Final = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: headroom}
spec:
  service: node-conntrack
  description: Room is left.
  objective: 99
  window: 7d
  groupBy: [node]
  indicator: {threshold: {metric: netsre_conntrack_utilization_ratio, op: '<', value: 0.5}}
  alerting: {policy: none}
---
apiVersion: netsre.dev/v1
kind: Alert
metadata: {name: TableFills}
spec:
  service: node-conntrack
  description: Soon there is no room.
  metric: netsre_conntrack_utilization_ratio
  groupBy: [node]
  op: '>'
  value: 0.8
  for: 0s
  clear: {below: 0.7, for: 1s}
  severity: page
  runbook: network-evidence
"""
RUNBOOK: Final = """
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: network-evidence}
spec:
  on:
    - {alert: TableFills, transition: firing}
    - {alert: ConntrackUtilization, transition: firing}
    - {alert: PodNetworkDown, from: alertmanager, transition: firing}
  lock: '{alertname}/{node}'
  limits: {cooldown: 1s, perHour: 100, maxTargets: 10}
  approval: {mode: observe}
  steps: [{action: evidence.collect, with: {what: [conntrack]}}]
"""


class FillingAgent(Agent):
    """An agent whose table a test fills."""

    used = 0.1

    def text(self) -> str:
        """Return the counters, and the gauge."""
        table = '{table="kernel",netns="host"}'
        return f"{super().text()}netsre_conntrack_utilization_ratio{table} {self.used}\n"


@pytest.fixture
def agent() -> Iterator[FillingAgent]:
    """Return an agent with an empty table."""
    made = FillingAgent()
    yield made
    made.close()


class House:
    """A home with specs, and the ports of a controller and its Alertmanager, which outlive both."""

    def __init__(self, home: pathlib.Path, agent: Agent) -> None:
        """Write the specs."""
        self.home = home
        self.data = home / "data"
        self.agent = agent
        self.port, self.peer = free_port(), free_port()
        for name, text in (("slos", SPECS), ("runbooks", RUNBOOK)):
            (home / name).mkdir()
            (home / name / "given.yaml").write_text(text)
        self.specs = ("--slos", str(home / "slos"), "--runbooks", str(home / "runbooks"))

    @contextmanager
    def controller(self, program: tuple[str, ...] = NETSRE) -> Iterator[Controller]:
        """Run the controller."""
        told = ("--alertmanager", f"http://127.0.0.1:{self.peer}")
        made = running(self.data, self.agent.url, *self.specs, *told, program=program, port=self.port)
        with made as controller:
            controller.until(ready)
            yield controller

    @contextmanager
    def alertmanager(self) -> Iterator[Alertmanager]:
        """Run its Alertmanager, with the token that the controller has made."""
        token = (self.data / "webhook.token").read_text().strip()
        hook = f"http://127.0.0.1:{self.port}/api/v1/alerts"
        with alertmanager(self.home / "am", hook, token, self.peer, group_interval="1s") as real:
            yield real

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database."""
        with closing(sqlite3.connect(f"file:{self.data / FILE_NAME}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    def received(self) -> list[tuple[Any, ...]]:
        """Return what was received, in order."""
        return self.rows("SELECT status, disposition, times FROM received ORDER BY received_at, status")


@pytest.fixture
def house(agent: FillingAgent) -> Iterator[House]:
    """Return a house that the unprivileged user can reach."""
    with open_directory() as path:
        yield House(path, agent)


def foreign(status: str = "firing") -> dict[str, Any]:
    """Return an alert of somebody else, as Alertmanager is told of it."""
    now = SystemClock().now()
    starts = {"labels": {"alertname": "ConntrackUtilization", "node": "a"}, "annotations": {"summary": "s"}}
    return starts | ({"endsAt": clock.rfc3339(now)} if status == "resolved" else {})


def test_an_alert_of_ours_goes_the_whole_way_round_exactly_once(house: House, agent: FillingAgent) -> None:
    """It fires, is told, comes back, goes on and ends: one alert, one run, one page; the metrics say so."""
    with house.controller() as controller, house.alertmanager() as real:
        controller.until(lambda c: bool(c.get("/api/v1/status")["alertmanagers"][0]["up"]))
        agent.used = 0.9
        controller.until(lambda _: house.received() == [("firing", "own", 1)])
        time.sleep(3)
        assert len(real.alerts()) == 1
        agent.used = 0.1
        controller.until(lambda _: len(house.received()) == 2)
        metrics = httpx.get(f"http://127.0.0.1:{controller.port}/metrics").text
        runs = controller.get("/api/v1/runs")["runs"]

    assert house.received() == [("firing", "own", 1), ("resolved", "own", 1)]
    assert [run["runbook"] for run in runs] == ["network-evidence"]
    [(state, source)] = house.rows("SELECT state, source FROM alert")
    assert (state, source) == ("resolved", "condition")
    [(accepted, resolved)] = house.rows("SELECT accepted_at, resolved_at FROM page")
    assert accepted < resolved
    assert f'netsre_alertmanager_up{{peer="127.0.0.1:{house.peer}"}} 1.0' in metrics
    assert "Traceback" not in controller.log.read_text()


def test_an_alert_of_somebody_else_runs_once_and_ends(house: House) -> None:
    """Through Alertmanager, which sends it again when it likes."""
    with house.controller() as controller, house.alertmanager() as real:
        real.post(foreign())
        controller.until(lambda c: [run["result"] for run in c.get("/api/v1/runs")["runs"]] == ["succeeded"])
        [(state, source)] = house.rows("SELECT state, source FROM alert")
        assert (state, source) == ("firing", "webhook")
        real.post(foreign("resolved"))
        controller.until(lambda _: house.rows("SELECT state FROM alert") == [("resolved",)])

    assert house.received() == [("firing", "new", 1), ("resolved", "new", 1)]
    assert len(house.rows("SELECT id FROM run")) == 1


def test_an_alert_of_somebody_else_is_a_trigger_by_its_name_here_and_with_its_label(house: House) -> None:
    """Of three alerts, that of this node runs, that of another starts nothing, that of none is refused."""
    with house.controller() as controller, house.alertmanager() as real:
        for node in ("a", "b", ""):
            real.post({"labels": {"alertname": "PodNetworkDown", "node": node, "team": "x"}})
        controller.until(lambda _: len(house.received()) == 3)
        controller.until(lambda c: len(c.get("/api/v1/runs")["runs"]) == 2)
        time.sleep(1)
        runs = controller.get("/api/v1/runs")["runs"]

    ended = {(run["target"], run["state"], run["reason"]) for run in runs}
    assert ended == {("PodNetworkDown/a", "succeeded", "steps_done"), ("", "refused", "no_target")}


DIES: Final = """
import os, signal, sys
from netsre.app.control.intake import Intake
real = Intake._keep

def kept(self, taken):
    '''On disk, and not answered yet: the worst moment to die in.'''
    real(self, taken)
    os.kill(os.getpid(), signal.SIGKILL)

Intake._keep = kept
from netsre.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_killed_between_commit_and_answer_the_retry_is_a_duplicate(house: House) -> None:
    """Alertmanager heard nothing and sends it again; there is one alert and one run of it."""
    with house.controller((sys.executable, "-P", "-c", DIES)) as controller, house.alertmanager() as real:
        real.post(foreign())
        assert controller.process.wait(PATIENCE) == -9
        assert house.received() == [("firing", "new", 1)]
        with house.controller() as again:
            again.until(lambda _: house.received()[0][2] >= 2)
            again.until(lambda c: [run["result"] for run in c.get("/api/v1/runs")["runs"]] == ["succeeded"])
            time.sleep(1)
            assert len(house.rows("SELECT id FROM run")) == 1

    assert [row[:2] for row in house.received()] == [("firing", "new")]


def test_nothing_is_imported_for_all_this_after_the_privileges_are_gone(
    house: House, agent: FillingAgent
) -> None:
    """Telling, being told, and a large body, from a checkout that the controller may not read."""
    with house.controller((sys.executable, "-P", "-c", BLIND)) as controller, house.alertmanager() as real:
        agent.used = 0.9
        controller.until(lambda _: bool(house.received()))
        many = [{"labels": {"alertname": "Many", "n": str(number)}} for number in range(600)]
        body = json.dumps(
            {"version": "4", "alerts": [{**a, "status": "firing", "startsAt": NOW} for a in many]}
        )
        token = (house.data / "webhook.token").read_text().strip()
        for shown in (token, "wrong"):
            headers = {"Authorization": f"Bearer {shown}"}
            httpx.post(
                f"http://127.0.0.1:{house.port}/api/v1/alerts",
                content=body,
                headers=headers,
                timeout=PATIENCE,
            )
        assert real.alerts()
        assert controller.stop() == 0

    late = {line for line in controller.log.read_text().splitlines() if "IMPORTED LATE" in line}
    assert late == set()


def test_what_a_webhook_left_out_is_fetched_from_the_peer_that_we_know(house: House) -> None:
    """An alert that it sent already comes again, as a duplicate; nobody asks where the body says."""
    evil = BadPeer("hangs")
    try:
        with house.controller() as controller, house.alertmanager() as real:
            real.post(foreign())
            controller.until(lambda _: len(house.received()) == 1)
            before = real.alerts()
            body = {
                "version": "4",
                "alerts": [],
                "truncatedAlerts": 1,
                "receiver": "netsre",
                "externalURL": evil.url,
            }
            token = (house.data / "webhook.token").read_text().strip()
            answer = httpx.post(
                f"http://127.0.0.1:{controller.port}/api/v1/alerts",
                content=json.dumps(body),
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.json() == {"kept": {}}
            controller.until(lambda _: house.received() == [("firing", "new", 2)])
            assert len(before) == 1
            assert not evil.asked.is_set()
    finally:
        evil.close()


def test_a_flood_does_not_stop_the_turns(house: House) -> None:
    """While four senders send new alerts as fast as they can, every turn succeeds, and our own alert runs."""
    with house.controller() as controller:
        token = (house.data / "webhook.token").read_text().strip()
        stop, sent = threading.Event(), [0] * 4

        def flood(sender: int) -> None:
            with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as client:
                while not stop.is_set():
                    sent[sender] += 1
                    alerts = [
                        {
                            "status": "firing",
                            "labels": {"alertname": "Storm", "n": f"{sender}/{sent[sender]}/{number}"},
                            "startsAt": clock.rfc3339(Timestamp(SystemClock().now())),
                        }
                        for number in range(64)
                    ]
                    body = json.dumps({"version": "4", "alerts": alerts})
                    client.post(f"http://127.0.0.1:{controller.port}/api/v1/alerts", content=body)

        threads = [threading.Thread(target=flood, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            assert isinstance(house.agent, FillingAgent)
            house.agent.used = 0.9
            controller.until(
                lambda c: [run["result"] for run in c.get("/api/v1/runs")["runs"]] == ["succeeded"]
            )
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert controller.get("/api/v1/status")["tick_failures"] == 0

    assert sum(sent) > 4
    [(kept,)] = house.rows("SELECT count(*) FROM received")
    assert kept == 64 * sum(sent)
