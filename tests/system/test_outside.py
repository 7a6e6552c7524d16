"""A controller silences, calls and tells, at a real Alertmanager and a real server; it is killed, too."""

import json
import pathlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import httpx
import pytest

from netsre import clock
from netsre.adapters.alertmanager import Alertmanager as Client
from netsre.adapters.alertmanager import Result
from netsre.alerting import silences
from netsre.alerting.silences import Matcher
from netsre.app.control.silencing import Silencer, maker
from netsre.clock import SystemClock, Timestamp
from netsre.model.deeds import Silence
from netsre.model.effects import Standing
from netsre.runbook.actions.contract import LeftOut, NodeUnreachable
from netsre.store.sqlite import FILE_NAME
from tests.alertmanager import Alertmanager, BadPeer, alertmanager
from tests.machine import PATIENCE, free_port, open_directory, wait_until
from tests.system.test_alertmanager import SPECS, FillingAgent
from tests.system.test_controller import BLIND, NETSRE, Controller, ready, running
from tests.system.test_http_calls import Server, serving

pytestmark = pytest.mark.requires("prometheus-alertmanager")

KEY: Final = "run1/3"
SILENCE: Final = Silence((("alertname", "Slow"), ("node", "a")), 20 * clock.MINUTE, "it follows")


@pytest.fixture
def real(tmp_path: pathlib.Path) -> Iterator[Alertmanager]:
    """Return an Alertmanager that tells nobody."""
    with alertmanager(tmp_path / "am", "http://127.0.0.1:9/") as made:
        yield made


def silencer(*urls: str) -> Silencer:
    """Return who silences at these."""
    return Silencer(tuple(Client(url) for url in urls), SystemClock())


def states(url: str) -> dict[str, str]:
    """Return how every alert stands there."""
    alerts = httpx.get(f"{url}/api/v2/alerts", timeout=PATIENCE).json()
    return {
        f"{one['labels']['alertname']}/{one['labels']['severity']}": one["status"]["state"] for one in alerts
    }


def test_a_silence_is_made_found_again_and_ended(real: Alertmanager) -> None:
    """Tickets with its labels are kept back while it lasts, and pages come all the same."""
    us = silencer(real.url)
    assert us.look(KEY) is Standing.ABSENT
    figures = us.apply(KEY, SILENCE)
    for name, node, severity in (("Slow", "a", "ticket"), ("Slow", "a", "page"), ("Slower", "a", "ticket")):
        real.post({"labels": {"alertname": name, "node": node, "severity": severity}})
    wanted = {"Slow/ticket": "suppressed", "Slow/page": "active", "Slower/ticket": "active"}

    assert wait_until(lambda: states(real.url) == wanted)
    assert us.look(KEY) is Standing.APPLIED
    assert us.look("run1/4") is Standing.ABSENT
    [kept] = httpx.get(f"{real.url}/api/v2/silences").json()
    assert (kept["createdBy"], kept["comment"]) == ("netsre/run1/3", "it follows (run run1)")
    assert clock.parse_rfc3339(kept["endsAt"]) == figures["until"]

    assert us.undo(KEY) == {"peers": {Client(real.url).name: "accepted"}}
    assert us.look(KEY) is Standing.ENDED
    assert wait_until(lambda: set(states(real.url).values()) == {"active"})
    assert us.undo(KEY) == us.undo("run1/4"), "what is over, or never was, is no error"


@pytest.mark.parametrize("how", ["absent", "fails", "greets", "breaks"])
def test_one_alertmanager_of_two_is_enough(real: Alertmanager, how: str) -> None:
    """The other is named; and what it did is not known for certain."""
    bad = BadPeer(how)
    try:
        us = silencer(bad.url, real.url)
        peers = us.apply(KEY, SILENCE)["peers"]
        standing, alone = us.look(KEY), silencer(bad.url)
        with pytest.raises(NodeUnreachable):
            us.look("run1/4")
        with pytest.raises(LeftOut) as left:
            alone.apply(KEY, SILENCE)
        with pytest.raises(NodeUnreachable):
            alone.undo(KEY)
        us.undo(KEY)
        over = us.look(KEY)
    finally:
        bad.close()

    assert isinstance(peers, dict)
    assert (peers[Client(real.url).name], len(peers)) == ("accepted", 2)
    assert (standing, over, left.value.reason) == (Standing.APPLIED, Standing.ENDED, "unreachable")


def test_a_silence_that_is_no_silence_is_a_rejection(real: Alertmanager) -> None:
    """Said by Alertmanager itself: nothing was done, and nobody need look."""
    begin = SystemClock().now()
    document = silences.document([Matcher("", "x")], maker(KEY), "c", begin, Timestamp(begin + clock.HOUR))
    client = Client(real.url)

    assert client.silence(document).result is Result.REJECTED
    assert client.expire("00000000-0000-0000-0000-000000000000").result is not Result.ACCEPTED
    with pytest.raises(LeftOut) as left:
        silencer(real.url).apply(KEY, Silence((("1 x", "y"),), clock.MINUTE, "c"))
    assert left.value.reason == "rejected"


BOOK: Final = """
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {{name: network-evidence}}
spec:
  on: [{{alert: TableFills, transition: firing}}]
  lock: 'table/{{node}}'
  limits: {{cooldown: 1s, perHour: 100}}
  approval: {{mode: auto}}
  steps:
    - {{action: evidence.collect, with: {{what: [conntrack, changes, drops]}}}}
    - action: alertmanager.silence
      with: {{matchers: {{alertname: Slow, node: '${{labels.node}}'}}, ttl: 20m}}
    - action: http.call
      with:
        url: {url}/drains
        body: {{node: '${{labels.node}}', hard: false}}
        look: {{url: {url}/drains/mine}}
        undo: {{url: {url}/drains/mine, method: DELETE}}
    - {{action: notify, with: {{text: 'the table on {{node}} fills'}}}}
  verify: {{slo: headroom, window: 1s, samples: 1, within: {within}}}
"""


class House:
    """Specs, and the ports of a controller and what is beside it."""

    def __init__(self, home: pathlib.Path, agent: FillingAgent, server: Server, within: str) -> None:
        """Write the specs and the settings."""
        self.home, self.data, self.agent, self.server = home, home / "data", agent, server
        self.peer = free_port()
        self.settings = home / "controller.yaml"
        (home / "slos").mkdir()
        (home / "runbooks").mkdir()
        (home / "slos" / "given.yaml").write_text(SPECS)
        (home / "runbooks" / "given.yaml").write_text(BOOK.format(url=server.url, within=within))
        self.allow(server.url)

    def allow(self, *prefixes: str) -> None:
        """Write the settings."""
        spec = {"automation": {"http": {"allow": list(prefixes)}}}
        document = {
            "apiVersion": "netsre.dev/v1",
            "kind": "Controller",
            "metadata": {"name": "a"},
            "spec": spec,
        }
        self.settings.write_text(json.dumps(document))

    @contextmanager
    def controller(self, program: tuple[str, ...] = NETSRE) -> Iterator[Controller]:
        """Run the controller."""
        specs = ("--slos", str(self.home / "slos"), "--runbooks", str(self.home / "runbooks"))
        told = ("--alertmanager", f"http://127.0.0.1:{self.peer}", "--config", str(self.settings))
        with running(self.data, self.agent.url, *specs, *told, program=program) as controller:
            controller.until(ready)
            yield controller

    @contextmanager
    def alertmanager(self) -> Iterator[Alertmanager]:
        """Run its Alertmanager, which tells nobody."""
        with alertmanager(self.home / "am", "http://127.0.0.1:9/", port=self.peer) as real:
            yield real

    def audited(self) -> list[str]:
        """Return what the audit has of effects and notices."""
        with closing(sqlite3.connect(f"file:{self.data / FILE_NAME}?mode=ro", uri=True)) as database:
            query = "SELECT verb FROM audit WHERE verb LIKE 'effect.%' OR verb LIKE 'notice.%' ORDER BY seq"
            return [verb for (verb,) in database.execute(query)]

    def notices(self) -> list[str]:
        """Return the notices of the alert log."""
        lines = (self.data / "alerts.jsonl").read_text().splitlines()
        return [line["notice"] for line in map(json.loads, lines) if "notice" in line]

    def posts(self) -> list[dict[str, Any]]:
        """Return what was sent to the server with POST."""
        return [json.loads(body) for method, _, _, body in self.server.asked if method == "POST"]


MakeHouse = Callable[[str], House]


@pytest.fixture
def house() -> Iterator[MakeHouse]:
    """Return what makes a house that the unprivileged user can reach."""
    agent = FillingAgent()
    with open_directory() as path, serving() as server:
        yield lambda within: House(path, agent, server, within)
    agent.close()


def ended(controller: Controller) -> list[tuple[str, str]]:
    """Return how the runs ended."""
    runs = controller.get("/api/v1/runs")["runs"]
    return [(run["state"], run["reason"]) for run in runs if run["ended_at"] is not None]


def silences_of(real: Alertmanager) -> list[str]:
    """Return how every silence stands."""
    return [one["status"]["state"] for one in httpx.get(f"{real.url}/api/v2/silences").json()]


def test_what_did_not_help_is_taken_back_everywhere(house: MakeHouse) -> None:
    """Silenced, called and told; the level says no. Nothing is imported after the privileges are gone."""
    home = house("3s")
    with home.alertmanager() as real, home.controller((sys.executable, "-P", "-c", BLIND)) as controller:
        home.agent.used = 0.9
        controller.until(lambda c: ended(c) == [("undone", "verify_failed")])
        controller.until(lambda _: (home.data / "alerts.jsonl").exists() and bool(home.notices()))
        [run] = controller.get("/api/v1/runs")["runs"]
        states_ = silences_of(real)
        assert "IMPORTED LATE" not in controller.log.read_text()
        assert "Traceback" not in controller.log.read_text()

    assert states_ == ["expired"]
    assert home.posts() == [{"node": "a", "hard": False}]
    assert [method for method, *_ in home.server.asked] == ["POST", "DELETE"]
    key = home.server.asked[0][2]["Idempotency-Key"]
    assert key == f"{run['id']}/2"
    assert home.notices() == ["the table on a fills"]
    applied, undone = ["effect.applied"] * 2, ["effect.undone"] * 2
    assert home.audited() == [*applied, "notice.told", *undone]


DIES: Final = """
import os, signal, sys
from netsre.adapters import {module}
real = {module}.{name}.{method}

def asked(self, *given):
    '''Done, and nobody here knows: the worst moment to die in.'''
    answer = real(self, *given)
    os.kill(os.getpid(), signal.SIGKILL)
    return answer

{module}.{name}.{method} = asked
from netsre.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("module", "name", "method"),
    [("alertmanager", "Alertmanager", "silence"), ("http_calls", "HttpCaller", "send")],
)
def test_killed_after_it_was_done_it_is_looked_for_and_not_done_again(
    house: MakeHouse, module: str, name: str, method: str
) -> None:
    """By a controller that knows nothing but the journal."""
    home = house("1m")
    dies = DIES.format(module=module, name=name, method=method)
    with home.alertmanager() as real:
        with home.controller((sys.executable, "-P", "-c", dies)) as first:
            home.agent.used = 0.9
            assert first.process.wait(PATIENCE) == -9
        with home.controller() as again:
            again.until(lambda c: len(silences_of(real)) == 1 and len(home.posts()) == 1 and bool(c))
            # What verifies it must be a reading that was made after all of it.
            again.until(lambda _: home.audited().count("effect.applied") == 2)
            home.agent.used = 0.1
            again.until(lambda c: ended(c) == [("succeeded", "verified")])
        assert silences_of(real) == ["active"]

    assert len(home.posts()) == 1
    assert home.audited() == ["effect.applied", "effect.applied", "notice.told"]


def test_what_the_settings_do_not_allow_is_refused_before_anything_is_done(house: MakeHouse) -> None:
    """The run says so."""
    home = house("3s")
    home.allow("https://tools.example/")
    with home.alertmanager() as real, home.controller() as controller:
        home.agent.used = 0.9
        controller.until(lambda c: ended(c) == [("refused", "not_allowed")])
        assert silences_of(real) == []

    assert home.server.asked == []


def test_without_an_alertmanager_and_with_a_server_that_says_no(house: MakeHouse) -> None:
    """The silence is left out; the call fails the run."""
    home = house("3s")
    home.server.statuses["POST /drains"] = 409
    with home.controller() as controller:
        home.agent.used = 0.9
        controller.until(lambda c: ended(c) == [("failed", "peer_refused")])
        [run] = controller.get("/api/v1/runs")["runs"]

    (left_out,) = [entry["data"] for entry in run["journal"] if "skipped" in entry["data"]]
    assert (left_out["skipped"], home.audited()) == ("unreachable", [])
