"""The API says what is known, null with a reason for what is not, and obeys its own name only."""

import asyncio
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from netsre import clock
from netsre.alerting.describe import Links
from netsre.alerting.notify import Pace
from netsre.app.control import api, wire
from netsre.app.control.drill_api import Gamedays
from netsre.app.control.drill_world import Ground
from netsre.app.control.drills import Drills
from netsre.app.control.hook import Door
from netsre.app.control.intake import Intake
from netsre.app.control.leading import Only
from netsre.app.control.pager import Pager, Telling
from netsre.app.control.snapshot import Counts, Snapshot
from netsre.app.control.world import World
from netsre.app.numbers import number
from netsre.clock import Timestamp
from netsre.gameday.decide import Gate
from netsre.model.alerts import AlertState
from netsre.slo.engine import Engine
from tests import slack_server
from tests.unit import burning
from tests.unit.app.fakes import Machine
from tests.unit.slo import given

SHOWN = "what-the-tests-show"


def door(world: World) -> Door:
    """Return a door for alerts behind which nobody waits."""
    intake = Intake(world.store, world.clock, (), lambda: None)
    telling = Telling(world.store, world.clock, Pace(15 * clock.SECOND), Links("http://a"), intake.offer)
    return Door(SHOWN, intake, Pager((), telling))


def gamedays(world: World) -> Gamedays:
    """Return what is told of game days where there are none."""
    ground = Ground(
        store=world.store, gamedays={}, lab=None, sight=world.sight, slos={}, rules={},
        switch=lambda: Gate.ACCEPTED, refusal=lambda *_: "", alertmanagers=False, interval=15 * clock.SECOND,
        clock=world.clock,
    )  # fmt: skip
    return Gamedays(Drills(ground, lambda: None), ground, dict)


class Client:
    """Asks an application in this process."""

    def __init__(self, machine: Machine, listen: str = "127.0.0.1", *, stands_by: bool = False) -> None:
        """Serve what a machine knows."""
        served = api.Served(
            board=machine.board,
            store=machine.store,
            clock=machine.clock,
            node="a",
            interval=15 * clock.SECOND,
            runbooks=1,
            pages=MappingProxyType({"network-evidence": "# network-evidence"}),
            hosts=api.allowed_hosts(listen, f"http://{listen}:8600"),
            data_dir=pathlib.Path("/var/lib/netsre"),
            api_token=SHOWN,
            world=machine.world,
            door=door(machine.world),
            gamedays=gamedays(machine.world),
            office=Only("a", clock.boottime),
            stands_by=stands_by,
            wake=lambda: None,
        )
        self._application = api.create(served)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Return the answer to one request."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._application)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8600") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(ask())

    def post(self, path: str, content: str | bytes, **more: str) -> httpx.Response:
        """Return the answer to one request of somebody who has the token."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._application)
            headers = {"Authorization": f"Bearer {SHOWN}", "Content-Type": "application/json", **more}
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8600") as client:
                return await client.post(path, content=content, headers=headers)

        return asyncio.run(ask())

    def json(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of a good answer."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Iterator[Machine]:
    """Return a controller that took no turn yet."""
    store = burning.store(tmp_path)
    yield Machine(store, tmp_path)
    store.close()


def test_an_slo_that_burns_is_told_with_exact_counts(machine: Machine) -> None:
    """Counts are whole numbers, ratios are numbers, and the recent minutes add up."""
    machine.burn()

    (slo,) = Client(machine).json("/api/v1/slos")["slos"]

    assert (slo["name"], slo["group"], slo["objective"], slo["window"]) == (
        "flow-success",
        {"node": "a"},
        0.999,
        "30d",
    )
    assert (slo["good"], slo["bad"], slo["total"], slo["sli"]) == (100, 100, 200, 0.5)
    assert slo["firing"] == ["page", "ticket"]
    assert slo["burn"]["5m"] == 500
    assert slo["reasons"] == {}
    assert sum(bad for _, bad, _ in slo["recent"]) == 100


def test_an_slo_that_was_never_measured_is_null_with_reasons(machine: Machine) -> None:
    """Silence is not health: no number is made up."""
    machine.source.down = "agent does not answer"
    machine.turn()

    (slo,) = Client(machine).json("/api/v1/slos")["slos"]

    assert (slo["sli"], slo["total"], slo["budget_remaining"], slo["burn"]["5m"]) == (None, None, None, None)
    assert (slo["reasons"]["sli"], slo["reasons"]["burn.5m"]) == ("no_history", "no_history")
    nulls = {name for name, value in slo.items() if value is None}
    assert nulls == {name for name in slo["reasons"] if not name.startswith("burn.")}
    assert "coverage" in nulls


@pytest.mark.parametrize(("prometheus", "reason"), [(False, "needs_prometheus"), (True, "no_history")])
def test_an_slo_that_only_a_prometheus_can_answer_says_so(*, prometheus: bool, reason: str) -> None:
    """Where none is asked it is shown, without a number; the others go on."""
    asked = dataclasses.replace(burning.slo(), indicator=given.PROMQL, group_by=("team",))
    engine = Engine([asked], prometheus=prometheus)
    snapshot = Snapshot(
        at=burning.T0, seconds=0.1, slos=(asked,), evaluations=engine.evaluate(burning.T0), recent={},
        sources=(), counts=Counts(), failures=0, problem=None, prometheus=prometheus,
    )  # fmt: skip

    (view,) = wire.slos(snapshot).slos

    assert (view.sli, view.budget_remaining, view.reasons["sli"]) == (None, None, reason)


def test_the_labels_of_an_slo_are_told_measured_or_not() -> None:
    """A team or a tier that a file names is there to be filtered by."""
    slo = dataclasses.replace(burning.slo(), labels=(("team", "network"),))
    measured = burning.evaluation({}, of=slo)
    other = dataclasses.replace(slo, name="other")
    snapshot = Snapshot(
        at=burning.T0, seconds=0.1, slos=(slo, other), evaluations=(measured,), recent={}, sources=(),
        counts=Counts(), failures=0, problem=None,
    )  # fmt: skip

    assert [view.labels for view in wire.slos(snapshot).slos] == [{"team": "network"}] * 2


@pytest.mark.parametrize(
    ("exact", "written"),
    [
        (Fraction(1, 43_200), "2.31481481481e-05"),
        (Fraction(3), "3"),
        (Decimal("7.0"), "7"),
        (Decimal(10) ** 30, "1" + "0" * 30),
        (Fraction(1, 3), "0.333333333333"),
        (Fraction(-1, 3), "-0.333333333334"),
        (Fraction(999, 1000), "0.999"),
        (1 - Fraction(1, 10**15), "0.999999999999"),
        (Fraction(144, 10), "14.4"),
    ],
)
def test_numbers_are_written_as_short_decimals(exact: Fraction | Decimal, written: str) -> None:
    """No binary noise, whole numbers whole, and never up."""
    assert json.dumps(number(exact)) == written


def test_alerts_and_runs_are_listed_newest_first_within_a_limit(machine: Machine) -> None:
    """With times as text and journals in order."""
    machine.burn()
    client = Client(machine)

    alerts = client.json("/api/v1/alerts")["alerts"]
    (run,) = client.json("/api/v1/runs?limit=1")["runs"]

    assert client.json(f"/api/v1/runs?run={run['id']}")["runs"] == [run]
    assert client.json("/api/v1/runs?run=unknown")["runs"] == []
    assert {alert["labels"]["severity"] for alert in alerts} == {"page", "ticket"}
    assert {alert["state"] for alert in alerts} == {"firing"}
    assert alerts[0]["fired_at"] == "2026-01-01T00:00:30.000Z"
    assert (run["state"], run["result"], run["reason"]) == ("succeeded", "succeeded", "steps_done")
    assert [entry["kind"] for entry in run["journal"]] == ["gates", "intent", "outcome"]
    assert set(run["journal"][2]["data"]["evidence"]) == {"read_at", "slo", "flows", "conntrack", "agent"}


def test_an_old_alert_that_fires_is_listed_before_any_that_ended(machine: Machine) -> None:
    """However many others began and ended since."""
    old = burning.fired().alert
    later = [
        dataclasses.replace(
            old,
            fingerprint=f"{number:016x}",
            state=AlertState.RESOLVED,
            fired_at=Timestamp(burning.T0 + number),
            resolved_at=Timestamp(burning.T0 + 1000 - number),
        )
        for number in range(1, 5)
    ]
    with machine.store.write() as transaction:
        for alert in (old, *later):
            transaction.alerts.save(alert)
    client = Client(machine)

    found = [alert["fingerprint"] for alert in client.json("/api/v1/alerts?limit=3")["alerts"]]
    least = [alert["state"] for alert in client.json("/api/v1/alerts?limit=1")["alerts"]]

    assert found == [old.fingerprint, f"{1:016x}", f"{2:016x}"]
    assert least == ["firing"]


def test_the_history_of_a_runbook_that_never_was_is_not_found(machine: Machine) -> None:
    """One that has not run yet has an empty history, and one that is no more keeps its own."""
    (known, *_) = machine.world.runbooks
    before = Client(machine).json(f"/api/v1/runs?runbook={known}")
    answer = Client(machine).get(f"/api/v1/runs?runbook={known[:-1]}")
    machine.burn()
    with machine.store.write() as transaction:
        (run,) = transaction.runs.newest(1)
        transaction.runs.add(dataclasses.replace(run, id="of-before", runbook="gone"))

    assert before == {"runs": []}
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"runbook {known[:-1]!r} does not exist; did you mean {known!r}?"
    assert [one["id"] for one in Client(machine).json("/api/v1/runs?runbook=gone")["runs"]] == ["of-before"]
    assert Client(machine).json("/api/v1/runs?runbook=gone&waiting=true") == {"runs": []}


@pytest.mark.parametrize(
    "path", ["/api/v1/alerts?limit=0", "/api/v1/runs?limit=x", "/api/v1/runs?limit=99999"]
)
def test_an_impossible_limit_is_refused(machine: Machine, path: str) -> None:
    """And not quietly cut."""
    assert Client(machine).get(path).status_code == 422


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "'name': Field required"),
        ('{"name": "x", "by": "\\u001b[31m"}', "'by': has control characters"),
        ('{"name": "x", "by": "a\\nb"}', "'by': has control characters"),
        ('{"name": "\\ud800"}', "'name': Input should be a valid string"),
        ('{"name": "x", "extra": "\\u001b"}', "'extra': Extra inputs are not permitted"),
        ("{", "the body is no JSON"),
    ],
)
def test_a_request_that_is_malformed_is_one_line(machine: Machine, content: str, said: str) -> None:
    """Where, what and the value; whatever is in it, the answer can be written and read."""
    answer = Client(machine).post("/api/v1/gamedays", content)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)
    assert answer.json()["detail"].isprintable()


@pytest.mark.parametrize("path", ["/api/v1/gamedays", "/api/v1/gamedays/x/abort"])
@pytest.mark.parametrize(
    "content",
    [b"NaN", b'{"name": "x", "by": "\\ud800"}', b'{"\\ud800\\u001b[31m": 1}', b"{", b'{"name": 1e999}'],
)
def test_a_body_that_is_not_understood_is_one_sentence(machine: Machine, path: str, content: bytes) -> None:
    """Also where what was sent cannot be written back as JSON."""
    answer = Client(machine).post(path, content)

    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    assert detail.isprintable()


def test_ready_is_said_after_the_first_turn_and_unsaid_when_turns_stop(machine: Machine) -> None:
    """503 with the reasons, before and after."""
    client = Client(machine)
    before = client.get("/readyz")
    machine.turn()
    after = client.get("/readyz")
    machine.clock.at = Timestamp(machine.clock.at + 5 * clock.MINUTE)
    late = client.get("/readyz")

    assert (before.status_code, before.json()) == (
        503,
        {"ready": False, "reasons": ["no evaluation yet"], "role": "leader"},
    )
    assert (after.status_code, after.json()) == (200, {"ready": True, "reasons": [], "role": "leader"})
    assert (late.status_code, late.json()["reasons"]) == (503, ["last evaluation was 5m ago"])


def test_the_status_names_the_source_that_is_down(machine: Machine) -> None:
    """With its reason and the last good reading."""
    machine.turn()
    machine.source.down = "agent does not answer"
    machine.turn()

    status = Client(machine).json("/api/v1/status")

    assert status["sources"] == [
        {
            "name": "agent",
            "up": False,
            "reason": "agent does not answer",
            "last_at": "2026-01-01T00:00:15.000Z",
        }
    ]
    assert (status["node"], status["interval_seconds"], status["specs"]) == (
        "a",
        15,
        {"slos": 1, "runbooks": 1},
    )
    assert status["outbox"] == {"log": 0, "runbook": 0}


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/slos", "/", "/healthz"])
def test_another_name_is_refused_on_every_path(machine: Machine, path: str) -> None:
    """A stranger's page whose name points to 127.0.0.1 learns nothing."""
    client = Client(machine)

    assert client.get(path, host="evil.example:8600").status_code == 421
    assert client.get(path, host="10.0.0.7:8600").status_code == 421
    for name in ("localhost:8600", "127.0.0.1:8600", "[::1]:8600", "LOCALHOST"):
        assert client.get(path, host=name).status_code == 200


def test_where_more_than_loopback_is_served_addresses_are_accepted_and_names_are_not(
    machine: Machine,
) -> None:
    """An address cannot be made to point elsewhere."""
    client = Client(machine, listen="0.0.0.0")

    assert client.get("/healthz", host="10.0.0.7:8600").status_code == 200
    assert client.get("/healthz", host="evil.example").status_code == 421


def test_every_answer_tells_browsers_how_little_they_may_do(machine: Machine) -> None:
    """Also refusals and pages that do not exist; the page's own policy is not overwritten."""
    client = Client(machine)

    for answer in (client.get("/healthz"), client.get("/no"), client.get("/metrics", host="evil.example")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src 'self'" in client.get("/").headers["content-security-policy"]


def test_metrics_are_named_by_the_registry_and_absent_without_data(machine: Machine) -> None:
    """No burn rate is exposed where nothing was measured, in both formats."""
    machine.turn()
    client = Client(machine)
    silent = client.get("/metrics").text
    machine.turn(failed=100)
    # Runs go on after a turn, and the next one counts them.
    machine.turn(delivered=0)
    text = client.get("/metrics").text
    open_metrics = client.get("/metrics", accept="application/openmetrics-text; version=1.0.0")

    assert "netsre_slo_burn_rate{" not in silent
    assert (
        'netsre_slo_burn_rate{node="a",service="node-datapath",slo="flow-success",window="5m"} 500.0' in text
    )
    assert 'netsre_alerts_active{severity="page"} 1.0' in text
    assert 'netsre_runs_total{result="succeeded",runbook="network-evidence"} 2.0' in text
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


def test_the_page_of_a_runbook_is_where_its_alert_points(machine: Machine) -> None:
    """An unknown one is a 404 that names those there are."""
    client = Client(machine)

    assert client.get("/runbooks/network-evidence").text == "# network-evidence"
    missing = client.get("/runbooks/nothing")
    assert (missing.status_code, missing.json()["detail"]) == (
        404,
        "no page for runbook 'nothing'; there is: network-evidence",
    )


def test_the_api_is_described_and_brings_nothing_from_elsewhere(machine: Machine) -> None:
    """OpenAPI names the routes; the interactive pages, which load scripts of others, are off."""
    client = Client(machine)

    paths = client.json("/openapi.json")["paths"]

    assert {"/metrics", "/healthz", "/readyz", "/api/v1/slos", "/api/v1/alerts", "/api/v1/runs"} <= set(paths)
    assert client.get("/docs").status_code == 404
    assert "cdn" not in json.dumps(paths)


def test_a_database_that_fails_is_503_with_its_line(machine: Machine) -> None:
    """The rest of the API goes on."""
    machine.turn()
    with machine.store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alert")
    client = Client(machine)

    answer = client.get("/api/v1/alerts")

    assert (answer.status_code, client.get("/api/v1/slos").status_code) == (503, 200)
    assert "no such table: alert" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("header", "host"), [("a:1", "a"), ("[::1]:8600", "::1"), ("[::1]", "::1"), ("A.b", "a.b"), ("", "")]
)
def test_the_host_of_a_header_is_found(header: str, host: str) -> None:
    """With and without port and brackets."""
    assert api.host_of(header) == host


def test_who_stands_by_tells_what_is_on_record_takes_alerts_and_does_nothing_else(machine: Machine) -> None:
    """It is ready without an evaluation of its own; a wish is for whoever leads."""
    machine.burn()
    machine.board.current = None
    client = Client(machine, stands_by=True)

    assert client.json("/readyz") == {"ready": True, "reasons": [], "role": "standby"}
    status = client.json("/api/v1/status")
    assert (status["role"], status["leader"]) == ("standby", "a")
    assert len(client.json("/api/v1/alerts")["alerts"]) == 2
    assert client.json("/api/v1/slos") == {"slos": []}
    wished = client.post("/api/v1/gamedays", b"{}")
    assert (wished.status_code, wished.json()) == (
        503,
        {"detail": "this controller stands by; ask the one that leads: a"},
    )
    assert client.post("/api/v1/alerts", b"{").status_code == 400


@pytest.mark.parametrize("stands_by", [False, True])
def test_without_a_slack_nothing_is_signed_right(tmp_path: pathlib.Path, stands_by: bool) -> None:
    """An empty secret is none: its signature is easily made."""
    store = burning.store(tmp_path)
    site = Client(Machine(store, tmp_path), stands_by=stands_by)
    body = slack_server.form({"type": "block_actions"})

    for headers in ({}, slack_server.headers(body, burning.T0 // 1000, secret="")):
        assert site.post("/api/v1/slack/interactions", body, **headers).status_code == 401
    assert site.json("/api/v1/status")["slack"] is None
    store.close()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/runs/a%00b",
        "/api/v1/incidents/%00",
        "/incidents/%00",
        "/runbooks/%00",
        "/api/v1/runs?limit=%00",
    ],
)
def test_no_name_has_a_nul(machine: Machine, path: str) -> None:
    """No database is asked for it: one of them could not even be."""
    answer = Client(machine).get(path)

    assert answer.status_code == 400
    assert "NUL" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("text", "status"), [("a\\u0000b", 400), ("a\\\\u0000b", 201), ("a\\\\\\u0000", 400)]
)
def test_no_text_of_a_person_has_a_nul(machine: Machine, text: str, status: int) -> None:
    """Whoever writes one is told so; a backslash that stands for itself is none."""
    body = f'{{"kind": "deploy", "text": "{text}"}}'
    client = Client(machine)
    assert client.post("/api/v1/events", body).status_code == status
    # Read as JSON they could have one that nobody looked for.
    for encoding in ("utf-16", "utf-32"):
        assert client.post("/api/v1/events", body.encode(encoding)).status_code == 400
