"""What keeps automation from acting outlives restarts, is asked before each change, and calls people."""

import asyncio
import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from netsre import clock
from netsre.alerting import transitions
from netsre.app.control import access, holding, pause_api, pausing, tick
from netsre.app.control.rehearsal import rehearse
from netsre.app.control.world import World
from netsre.clock import HOUR, MINUTE, Timestamp
from netsre.errors import BadInput, StoreUnusable
from netsre.metrics.readings import Readings
from netsre.model.alerts import Alert, AlertSource, fingerprint
from netsre.model.directory import Directory, Person
from netsre.model.effects import Effect, Limit, PolicyRevision
from netsre.model.holds import Bounds, Pause, Released, Scope
from netsre.model.maintenance import Maintenance, Span
from netsre.model.runbooks import JournalEntry, Run, RunState, Veto
from netsre.model.samples import labels
from netsre.runbook import journal
from netsre.runbook.gates import values
from netsre.runbook.gates.values import Past
from tests.unit import burning
from tests.unit.app.crashing import BOOK, Lab, begun_lab

SHOWN = "what-the-tests-show"
PAUSE = Pause("p1", Scope.ALL, "", "ada", "switches", burning.T0, Timestamp(burning.T0 + HOUR))


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Iterator[Lab]:
    """Return a lab with a controller that took one reading."""
    with begun_lab(tmp_path) as made:
        yield made


def world(lab: Lab) -> World:
    """Return what the present controller knows."""
    assert lab.current is not None
    return lab.current.world


def changed(lab: Lab, state: RunState, ago: int, runbook: str = BOOK.name, reason: str = "word") -> None:
    """Put a run on record that changed something and ended so many milliseconds ago."""
    at = Timestamp(lab.clock.at - ago)
    with lab.store.write() as transaction:
        transaction.runs.add(
            Run(f"{runbook}{ago}", runbook, f"a{ago}", at, "conntrack/z", state, reason, at, at, at)
        )


def reasons(lab: Lab) -> list[tuple[str, str]]:
    """Return state and word of every run for the lab's own alert, oldest first."""
    return [(run.state.value, run.reason) for run, _ in lab.runs() if run.target == "conntrack/a"]


def test_a_pause_is_on_disk_and_the_next_controller_keeps_it(lab: Lab) -> None:
    """The run is refused, people are called, nothing is touched; resumed, the next alert is acted upon."""
    pausing.pause(world(lab), PAUSE)

    lab.live()
    ended = pausing.resume(world(lab), Scope.ALL, "", "bob")

    assert reasons(lab) == [("refused", "paused")]
    assert lab.host.applied == []
    assert [call.annotations["reason"] for call in lab.calls()] == ["paused"]
    assert [one.id for one in ended] == ["p1"]
    assert pausing.resume(world(lab), Scope.ALL, "", "bob") == []
    with lab.store.read() as transaction:
        told = [(row.actor, row.verb) for row in transaction.audit.rows() if row.subject == "p1"]
    assert told == [("ada", "automation.paused"), ("bob", "automation.resumed")]


def test_a_pause_in_the_middle_of_a_run_stops_the_next_change(lab: Lab) -> None:
    """The gates are asked before each: what was done is taken back."""

    def pause(name: str) -> None:
        if name == "apply" and not lab.host.applied:
            pausing.pause(world(lab), PAUSE)

    lab.wire.before_call = pause
    lab.begin()
    lab.live()

    assert reasons(lab) == [("undone", "paused")]
    assert [key.rpartition("/")[2] for key in lab.host.applied] == ["1"]
    assert lab.host.effects() == ()


def test_what_people_stopped_hides_no_failure_before_it(lab: Lab) -> None:
    """However often: the row of failures goes on behind it."""
    for age in (9, 8, 7):
        changed(lab, RunState.UNDONE, age * 10 * HOUR)
    for age in range(30):
        changed(lab, RunState.UNDONE, 30 * HOUR + age, reason="cancelled")

    assert [one.failures for one in pausing.held(world(lab)).circuits] == [3]


@pytest.mark.parametrize("table", ["pause", "release", "run"])
def test_who_cannot_read_what_holds_him_does_not_act(lab: Lab, table: str) -> None:
    """A store that cannot be read means no, when the alert comes and before each change."""

    def lose(name: str) -> None:
        if name == "apply" and not lab.host.applied:
            with lab.store._engine.begin() as connection:
                connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO lost")

    lab.wire.before_call = lose
    with pytest.raises(StoreUnusable):
        lab.live()
    assert [key.rpartition("/")[2] for key in lab.host.applied] == ["1"]


def measured(lab: Lab) -> dict[tuple[str, str], float]:
    """Return what the metrics say of pauses and circuits, by name and label."""
    found = Readings()
    pausing.readings(world(lab), found)
    return {
        (name, next(iter(labels.values()))): value
        for name, rows in found.numbers.items()
        for labels, value in rows
    }


def test_open_circuits_and_pauses_are_metrics(lab: Lab) -> None:
    """Those that stand now; of a database that does not answer nothing is known."""
    for age in (5, 4, 3):
        changed(lab, RunState.UNDONE, age * HOUR)
    pausing.pause(world(lab), PAUSE)
    standing = measured(lab)
    pausing.resume(world(lab), Scope.ALL, "", "bob")
    pausing.release(world(lab), Released.BREAKER, BOOK.name, "ada", "mended")
    free = measured(lab)
    with lab.store._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE pause RENAME TO lost")

    pauses, circuit = "netsre_automation_pauses", "netsre_runbook_circuit_open"
    assert [standing[pauses, scope] for scope in Scope] == [1.0, 0.0, 0.0]
    assert (standing[circuit, BOOK.name], free[circuit, BOOK.name], free[pauses, "all"]) == (1.0, 0.0, 0.0)
    assert measured(lab) == {}


def test_a_circuit_that_failures_opened_stays_open_until_a_person_closes_it(lab: Lab) -> None:
    """Counted from the runs on record: a new controller knows it too, and people are called."""
    for age in (5, 4, 3):
        changed(lab, RunState.UNDONE, age * HOUR)

    lab.live()
    held = pausing.held(world(lab))
    pausing.release(world(lab), Released.BREAKER, BOOK.name, "ada", "mended")

    assert reasons(lab) == [("refused", "circuit_open")]
    assert [call.annotations["reason"] for call in lab.calls()] == ["circuit_open"]
    assert [(one.runbook, one.failures, one.retry_at) for one in held.circuits] == [(BOOK.name, 3, None)]
    assert pausing.held(world(lab)).circuits == ()
    assert rehearse(world(lab), BOOK, firing(lab))["reason"] == "accepted"
    with pytest.raises(BadInput, match="is not held"):
        pausing.release(world(lab), Released.BREAKER, BOOK.name, "ada", "again")


def firing(lab: Lab) -> Alert:
    """Return the alert of the lab."""
    return lab.alerts("ConntrackUtilization")[0]


def test_a_value_that_did_not_help_is_refused_from_then_on(lab: Lab) -> None:
    """The limit was raised, did not help, and was taken back: not again, and not to and fro either."""
    lab.host.others = (90,) * 20

    lab.live()
    plan: Any = rehearse(world(lab), BOOK, firing(lab))
    gates = {gate["gate"]: gate["passed"] for gate in plan["gates"]}
    held = pausing.held(world(lab))

    assert reasons(lab) == [("undone", "verify_failed")]
    assert [one.key for one in held.quarantined] == ["conntrack.limit=2000"]
    assert (gates["quarantined"], gates["oscillation"], gates["storm"]) == (False, False, True)
    pausing.release(world(lab), Released.QUARANTINE, "conntrack.limit=2000", "ada", "other cause")
    assert pausing.held(world(lab)).quarantined == ()


@pytest.mark.parametrize(
    ("state", "reason", "bad"),
    [
        (RunState.SUCCEEDED, "verified", "policy.revision=7777aaaa"),
        (RunState.UNDONE, "verify_failed", "policy.revision=5555aaaa"),
        (RunState.UNDONE, "cancelled", None),
    ],
)
def test_a_revision_that_was_left_with_success_is_not_gone_back_to(
    lab: Lab, state: RunState, reason: str, bad: str | None
) -> None:
    """As little as one that did not help; a limit that was left is no bad value for that."""
    way = PolicyRevision(7, "7777aaaa", 5, "5555aaaa")
    effects: tuple[Effect, ...] = (way, Limit(1000, 2000, HOUR)) if state is RunState.SUCCEEDED else (way,)
    lines = [
        line
        for step, effect in enumerate(effects)
        for line in (journal.applying(step, "x", f"run1/{step}", effect), journal.applied(step, "x", {}))
    ]
    now = lab.clock.now()
    run = Run("run1", "back", "f", now, "policies/a", state, reason, now, now, now)
    entries = [
        JournalEntry("run1", number, now, line.kind, line.step, line.action, line.data)
        for number, line in enumerate(lines, 1)
    ]
    with lab.store.write() as transaction:
        holding.quarantine(transaction, run, entries, Bounds(), now)

    assert [one.key for one in pausing.held(world(lab)).quarantined] == ([bad] if bad else [])
    past = Past(quarantined=tuple(pausing.held(world(lab)).quarantined))
    back = PolicyRevision(8, "8888aaaa", 7, "7777aaaa")
    _, answer = values.answers(back, past, Bounds(), now)
    assert answer.passed is (bad != "policy.revision=7777aaaa")


def test_a_storm_stops_everything_new_with_one_page(lab: Lab) -> None:
    """Other alerts of the minute want changes too, whatever became of them; all runbooks share one call."""
    second = replace(BOOK, name="second", lock="other/{node}")
    lab.books = (BOOK, second)
    for number in range(12):
        at = Timestamp(lab.clock.at - number)
        refused = Run(f"r{number}", "second", f"f{number}", at, f"t{number}", RunState.REFUSED, "x", at, at)
        with lab.store.write() as transaction:
            transaction.runs.add(refused)

    lab.live()

    new = [(run.runbook, run.reason) for run, _ in lab.runs() if run.target.endswith("/a")]
    assert sorted(new) == [(BOOK.name, "storm"), ("second", "storm")]
    (call,) = lab.calls()
    assert (call.annotations["reason"], dict(call.labels).get("runbook")) == ("storm", None)
    assert len(call.annotations["runs"].split()) == 2
    assert lab.host.applied == []
    assert [stop.gate for stop in pausing.held(world(lab)).stops] == ["storm"]


def test_all_runbooks_together_stop_at_their_limit(lab: Lab) -> None:
    """Five changes within ten minutes by others: the sixth is for people."""
    for number in range(5):
        changed(lab, RunState.SUCCEEDED, MINUTE + number, f"other{number}")

    lab.live()

    assert reasons(lab) == [("refused", "global_limited")]
    assert [call.annotations["reason"] for call in lab.calls()] == ["global_limited"]
    (stop,) = send(lab, "GET", "/api/v1/pauses")[1]["stops"]
    assert stop["gate"] == "global_limited"


def test_an_alert_that_forbids_it_is_looked_up_when_it_is_asked(lab: Lab) -> None:
    """Somebody else's, for the same node; while it fires, nothing acts."""
    lab.books = (replace(BOOK, unless=(Veto("PolicyRollout"),)),)
    pairs = labels({"alertname": "PolicyRollout", "node": "a"})
    started = transitions.Reason.CONDITION_STARTED
    begun = transitions.begin(pairs, {}, lab.clock.at, started, AlertSource.CONDITION)
    foreign = replace(begun.alert, source=AlertSource.WEBHOOK, fingerprint=fingerprint(pairs))
    with lab.store.write() as transaction:
        transaction.alerts.save_all([foreign], [])

    lab.live()

    assert reasons(lab) == [("refused", "vetoed")]
    assert lab.host.applied == []


def announced(lab: Lab) -> Alert:
    """Return an alert that fires and that nobody acted upon."""
    pairs = {"alertname": "ConntrackUtilization", "severity": "page", "node": "a", "netns": "lab"}
    started = transitions.Reason.CONDITION_STARTED
    begun = transitions.begin(labels(pairs), {}, lab.clock.at, started, AlertSource.CONDITION)
    with lab.store.write() as transaction:
        tick.record(transaction, begun, lab.clock.at)
    return begun.alert


def test_maintenance_is_shown_and_calls_nobody(lab: Lab) -> None:
    """People are there already."""
    lab.begin()
    window = Span(Timestamp(burning.T0 - HOUR), Timestamp(burning.T0 + HOUR))
    calendar = Maintenance("switches", "row 1", (window,), frozenset(), (), BOOK.origin)
    known = replace(world(lab), calendars=(calendar,))
    alert = announced(lab)

    assert rehearse(known, BOOK, alert)["reason"] == "maintenance"
    assert pausing.held(known).maintenance == ((calendar, window.end),)


def send(lab: Lab, method: str, path: str, body: Mapping[str, Any] | None = None, token: str = SHOWN) -> Any:  # noqa: ANN401 - JSON
    """Return status and JSON of an answer of the API."""
    app = FastAPI()
    app.include_router(pause_api.router(replace(world(lab), directory=PEOPLE), SHOWN))
    app.add_exception_handler(RequestValidationError, access.not_understood)

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})

    answer = asyncio.run(asked())
    return answer.status_code, answer.json()


PEOPLE = Directory((Person("ann", hashlib.sha256(b"anns own token").hexdigest()),))
WISH = {"runbook": BOOK.name, "for": "2h", "reason": "switches\x1b[31m", "by": "ada"}


def test_who_asks_for_too_long_is_told_in_one_line(lab: Lab) -> None:
    """By the name of what was written, in our words."""
    long = send(lab, "POST", "/api/v1/pauses", {**WISH, "for": "8d"})
    both = send(lab, "POST", "/api/v1/pauses", {**WISH, "all": True})

    assert long == (422, {"detail": "'for': is longer than 7d; ask again then"})
    assert both == (422, {"detail": "body: name one of all, runbook and target"})


def test_the_api_pauses_shows_and_resumes(lab: Lab) -> None:
    """Owner, reason and end are there; the same id is the same pause; no word obeys a terminal."""
    status, made = send(lab, "POST", "/api/v1/pauses", {**WISH, "id": "k1"})
    again = send(lab, "POST", "/api/v1/pauses", {**WISH, "id": "k1", "for": "5h"})
    held = send(lab, "GET", "/api/v1/pauses", token="")
    ended = send(lab, "POST", "/api/v1/pauses/resume", {"runbook": BOOK.name, "by": "bob"})

    assert (status, again) == (201, (201, made))
    assert made == {
        "id": "k1",
        "scope": "runbook",
        "name": BOOK.name,
        "owner": "ada",
        "reason": "switches\\x1b[31m",
        "created_at": clock.rfc3339(lab.clock.at),
        "until": clock.rfc3339(Timestamp(lab.clock.at + 2 * HOUR)),
    }
    assert held == (
        200,
        {"stops": [], "pauses": [made], "circuits": [], "quarantined": [], "maintenance": []},
    )
    assert ended == (200, {"resumed": [made]})
    assert send(lab, "GET", "/api/v1/pauses")[1]["pauses"] == []


def test_people_pause_resume_and_release_in_their_own_name_with_their_own_token(lab: Lab) -> None:
    """Whatever else they say that they are; who has the token of the controller alone must say who it is."""
    own = "anns own token"
    status, made = send(lab, "POST", "/api/v1/pauses", WISH, own)
    assert (status, made["owner"]) == (201, "ann")
    assert send(lab, "POST", "/api/v1/pauses/resume", {"runbook": BOOK.name}, own)[0] == 200
    value = {"key": "x=1", "reason": "y"}
    assert send(lab, "POST", "/api/v1/quarantine/release", value, own)[0] == 409
    assert send(lab, "POST", f"/api/v1/runbooks/{BOOK.name}/close", {"reason": "y"}, own)[0] == 409

    unnamed = {key: what for key, what in WISH.items() if key != "by"}
    status, refused = send(lab, "POST", "/api/v1/pauses", unnamed)
    assert (status, "write who asks" in refused["detail"]) == (400, True)
    with lab.store.read() as transaction:
        said = [(row.verb, row.actor) for row in transaction.audit.rows() if "automation." in row.verb]
    paused, resumed = "automation.paused", "automation.resumed"
    assert said == [(paused, "ann"), (resumed, "ann")]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("conntrack/other-node", 201),
        ("conntrack/", 404),
        ("conntrak/a", 404),
        ("a", 404),
        ("conntrack/a\n", 404),
    ],
)
def test_a_target_that_no_runbook_has_is_not_paused(lab: Lab, target: str, status: int) -> None:
    """Whoever asked would believe that it is left alone; the answer says which targets there are."""
    wish = {"target": target, "for": "2h", "reason": "switches", "by": "ada"}
    answer = send(lab, "POST", "/api/v1/pauses", wish)

    assert answer[0] == status
    assert status == 201 or "conntrack/{node}" in answer[1]["detail"]
    assert len(send(lab, "GET", "/api/v1/pauses")[1]["pauses"]) == (status == 201)


def test_a_key_pauses_nothing_but_what_it_paused_first(lab: Lab) -> None:
    """Who is told 201 has a pause that stands, and for what was asked; a new key is another request."""
    send(lab, "POST", "/api/v1/pauses", {**WISH, "id": "k1"})

    other = {"target": "conntrack/a", "for": "2h", "reason": "switches", "by": "ada"}
    elsewhere = send(lab, "POST", "/api/v1/pauses", {**other, "id": "k1"})
    send(lab, "POST", "/api/v1/pauses/resume", {"runbook": BOOK.name, "by": "bob"})
    ended = send(lab, "POST", "/api/v1/pauses", {**WISH, "id": "k1"})
    lab.clock.at = Timestamp(lab.clock.at + 3 * HOUR)

    assert (elsewhere[0], ended[0]) == (409, 409)
    assert "another pause already" in elsewhere[1]["detail"]
    assert "ended already" in ended[1]["detail"]
    assert send(lab, "POST", "/api/v1/pauses", {**WISH, "id": "k2"})[0] == 201


@pytest.mark.parametrize(
    ("path", "body", "token", "expected"),
    [
        ("/api/v1/pauses", WISH, "guessed", 401),
        ("/api/v1/pauses/resume", {"all": True, "by": "eve"}, "", 401),
        ("/api/v1/quarantine/release", {"key": "x=1", "reason": "y", "by": "eve"}, "", 401),
        (f"/api/v1/runbooks/{BOOK.name}/close", {"reason": "y", "by": "eve"}, "", 401),
        ("/api/v1/pauses", {**WISH, "for": "8d"}, SHOWN, 422),
        ("/api/v1/pauses", {**WISH, "for": "-2h"}, SHOWN, 422),
        ("/api/v1/pauses", {**WISH, "reason": ""}, SHOWN, 422),
        ("/api/v1/pauses", {**WISH, "by": ""}, SHOWN, 422),
        ("/api/v1/pauses", {**WISH, "all": True}, SHOWN, 422),
        ("/api/v1/pauses", {"for": "2h", "reason": "x", "by": "ada"}, SHOWN, 422),
        ("/api/v1/pauses", {**WISH, "unknown": 1}, SHOWN, 422),
        ("/api/v1/pauses", {**WISH, "runbook": "conntrack-exhaustio"}, SHOWN, 404),
        (f"/api/v1/runbooks/{BOOK.name}/close", {"reason": "y", "by": "ada"}, SHOWN, 409),
        ("/api/v1/runbooks/other/close", {"reason": "y", "by": "ada"}, SHOWN, 404),
        ("/api/v1/quarantine/release", {"key": "x=1", "reason": "y", "by": "ada"}, SHOWN, 409),
    ],
)
def test_what_the_api_does_not_take_changes_nothing(
    lab: Lab, path: str, body: dict[str, Any], token: str, expected: int
) -> None:
    """Without the token, an end, a bound, an owner or a reason, or about what is not there."""
    status, _ = send(lab, "POST", path, body, token)

    assert status == expected
    with lab.store.read() as transaction:
        assert transaction.holds.pauses(lab.clock.at) == []
        assert transaction.holds.closed() == {}


def test_the_bounds_of_all_are_the_controllers(lab: Lab) -> None:
    """What its settings say."""
    changed(lab, RunState.SUCCEEDED, MINUTE, "other")
    alert = announced(lab)

    assert rehearse(world(lab), BOOK, alert)["reason"] == "accepted"
    strict = replace(world(lab), bounds=Bounds(per_hour=1))
    assert rehearse(strict, BOOK, alert)["reason"] == "global_limited"
