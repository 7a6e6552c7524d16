"""Words about runs over HTTP: who says something is known by a token, and each answer has its word."""

import asyncio
import hashlib
import pathlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from netsre import clock
from netsre.alerting import describe
from netsre.app.control import metrics, run_api
from netsre.app.control.incidents import facts, page, view
from netsre.app.control.incidents.shapes import IncidentView
from netsre.app.control.snapshot import Counts, Snapshot
from netsre.model.alerts import Alert, AlertState, fingerprint
from netsre.model.directory import Directory, Person
from netsre.model.runbooks import Approval
from netsre.model.samples import labels
from netsre.runbook import parsing
from netsre.runbook.actions.catalogue import ACTIONS
from tests.unit import burning
from tests.unit.app.crashing import BOOK, Controller, Host, Lab
from tests.unit.app.fakes import SetClock

EMPTY = Snapshot(burning.T0, 0.0, (), (), {}, (), Counts(), 0, None)
TOKEN = "what-the-tests-show"  # noqa: S105
OWN = {name: f"the-token-of-{name}" for name in ("ann", "ben", "dee")}
PEOPLE = Directory(
    tuple(Person(name, hashlib.sha256(token.encode()).hexdigest()) for name, token in OWN.items()),
    {"sre": ("ann", "ben")},
)
TWO = replace(BOOK, mode="propose", approval=Approval(("sre",), 2, 10 * clock.MINUTE))


class Desk:
    """A controller with its routes, whose turns a test takes."""

    def __init__(self, lab: Lab) -> None:
        """Begin with a run that waits."""
        self.lab = lab
        self.woken = 0
        self.controller = Controller(lab)
        self._app = FastAPI()
        self._app.include_router(run_api.router(self.controller.world, TOKEN, self._wake))
        self.turn()

    def _wake(self) -> None:
        self.woken += 1

    def turn(self) -> None:
        """Let time pass, and take a turn."""
        self.lab.pass_time(5 * clock.SECOND)
        self.controller.turn()

    @property
    def run(self) -> Any:  # noqa: ANN401 - JSON
        """Return the newest run, as the API tells it."""
        return self.send("GET", f"/api/v1/runs/{self.lab.runs()[-1][0].id}").json()

    def say(self, who: str, verb: str, document: object = None, **headers: str) -> httpx.Response:
        """Say something about the newest run."""
        path = f"/api/v1/runs/{self.lab.runs()[-1][0].id}/{verb}"
        return self.send("POST", path, document, OWN.get(who, TOKEN), **headers)

    def send(
        self, method: str, path: str, document: object = None, token: str = TOKEN, **headers: str
    ) -> httpx.Response:
        """Return the answer to one request."""
        shown = {"Authorization": f"Bearer {token}"} | {k.replace("_", "-"): v for k, v in headers.items()}

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, json=document, headers=shown)

        return asyncio.run(ask())


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Iterator[Lab]:
    """Return a flooded node."""
    directory = tmp_path / "data"
    directory.mkdir()
    made = Lab(directory, Host(SetClock()))
    made.books, made.directory_of = (TWO,), PEOPLE
    yield made
    made.store.close()


@pytest.fixture
def desk(lab: Lab) -> Desk:
    """Return a desk with a run that waits for two of the group."""
    return Desk(lab)


def test_two_approve_and_it_acts(desk: Desk) -> None:
    """From the question to the effect, with who was asked and said what."""
    waiting = desk.run
    first, second = desk.say("ann", "approve"), desk.say("ben", "approve")
    desk.turn()

    assert waiting["state"] == "awaiting_approval"
    assert (waiting["approval"]["by"], waiting["approval"]["quorum"]) == (["sre"], 2)
    assert first.json()["detail"].startswith("1 of 2 approvals; 1 more until ")
    assert (first.json()["decision"], second.json()["decision"]) == ("waiting", "approved")
    assert second.json()["detail"] == "it acts now, if its gates still say yes"
    assert desk.woken == 2
    told = desk.run
    assert [(word["person"], word["verdict"], word["via"]) for word in told["approval"]["words"]] == [
        ("ann", "approve", "api"),
        ("ben", "approve", "api"),
    ]
    assert desk.lab.host.blocked
    late = desk.say("dee", "deny")
    assert (late.status_code, late.json()["reason"], late.json()["by"]) == (
        409,
        "already_decided",
        ["ann", "ben"],
    )
    assert late.json()["detail"] == "already approved by ann and ben"


@pytest.mark.parametrize(
    ("who", "verb", "document", "reason", "detail"),
    [
        ("dee", "approve", None, "not_an_approver", "your word does not count for it; ask sre"),
        ("operator", "approve", None, "not_an_approver", "your word does not count for it; ask sre"),
        ("ann", "approve", {"plan": "0" * 12}, "other_plan", "it asks about another plan: "),
    ],
)
def test_a_word_that_does_not_count_changes_nothing(
    desk: Desk, who: str, verb: str, document: object, reason: str, detail: str
) -> None:
    """409 with the reason, and no line in the journal."""
    before = desk.run
    answer = desk.say(who, verb, document)

    assert (answer.status_code, answer.json()["reason"]) == (409, reason)
    assert answer.json()["detail"].startswith(detail)
    assert desk.run == before
    assert desk.woken == 0


def test_one_request_twice_is_one_word(desk: Desk) -> None:
    """The key is the word's; another word under it is refused, and a second yes of one person counts once."""
    once = desk.say("ann", "approve", idempotency_key="k1")
    again = desk.say("ann", "approve", idempotency_key="k1")
    other = desk.say("ann", "deny", idempotency_key="k1")
    more = desk.say("ann", "approve")

    assert [answer.status_code for answer in (once, again, other, more)] == [200, 200, 409, 409]
    assert [answer.json().get("answer") for answer in (once, again)] == ["recorded", "repeated"]
    assert (other.json()["reason"], more.json()["reason"]) == ("key_reused", "said_before")
    assert len(desk.run["approval"]["words"]) == 1


def test_who_shows_no_token_learns_nothing(desk: Desk) -> None:
    """Whatever the run, and whatever the token was; and a run that is not there is a 404 for who may ask."""
    unknown = desk.send("POST", "/api/v1/runs/none/approve", token="x" * 30)
    known = desk.send("POST", f"/api/v1/runs/{desk.run['id']}/approve", token="the-token-of-eve")  # noqa: S106
    missing = desk.send("POST", "/api/v1/runs/none/approve")

    assert (unknown.status_code, known.status_code, missing.status_code) == (401, 401, 404)
    assert unknown.json() == known.json()
    assert desk.send("GET", "/api/v1/runs/none").status_code == 404
    assert desk.send("POST", f"/api/v1/runs/{desk.run['id']}/approve", {"x": 1}).status_code == 422


def test_every_word_is_in_the_audit_with_its_person(desk: Desk) -> None:
    """Who, what, about which plan, and by which way; the chain holds."""
    desk.say("ann", "approve", idempotency_key="k1")
    desk.say("operator", "cancel")
    desk.turn()

    with desk.lab.store.read() as transaction:
        rows = [row for row in transaction.audit.rows() if row.actor in ("ann", "operator")]
        assert transaction.audit.first_broken() is None
    assert [(row.actor, row.verb, row.subject) for row in rows] == [
        ("ann", "run.approved_by", desk.run["id"]),
        ("operator", "run.cancelled_by", desk.run["id"]),
    ]
    assert '"id":"k1"' in rows[0].details
    assert desk.run["approval"]["plan"] in rows[0].details
    assert (desk.run["state"], desk.run["reason"]) == ("refused", "cancelled")
    again = desk.say("ann", "approve").json()
    assert again["detail"] == "already cancelled by operator; the run is over: refused (cancelled)"


def test_people_hear_of_the_question_until_it_is_answered(desk: Desk) -> None:
    """As urgent as the alert, with the effects, the way to answer and its page; it starts no run itself."""
    (question,) = desk.lab.alerts(describe.AWAITS_APPROVAL)
    desk.say("ann", "deny")
    desk.turn()
    (answered,) = desk.lab.alerts(describe.AWAITS_APPROVAL)

    labels = dict(question.labels)
    assert (labels["severity"], labels["runbook"], labels["target"]) == ("page", BOOK.name, "conntrack/a")
    summary, description = (question.annotations[key] for key in ("summary", "description"))
    assert summary.startswith(
        f"runbook {BOOK.name} wants to act on conntrack/a: drop packets of 10.0.0.9 at eth0 in lab for 10m; "
    )
    assert "=" not in summary
    assert "(exactly: block netns=lab interface=eth0 source=10.0.0.9 ttl=10m; " in description
    assert f"netsre runbook approve {desk.run['id']}" in question.annotations["description"]
    assert "2 approvals of sre" in question.annotations["description"]
    assert question.annotations["runbook_url"].endswith("/runbooks/approvals")
    assert (question.state, answered.state) == (AlertState.FIRING, AlertState.RESOLVED)
    assert len(desk.lab.runs()) == 1
    assert desk.lab.calls() == [], "who denied it knows"


def test_a_run_by_hand_needs_an_alert_that_fires_and_passes_all_gates(desk: Desk) -> None:
    """The refused one is on record too; the same request is the same run."""
    desk.say("ann", "deny")
    desk.turn()
    path = f"/api/v1/runbooks/{BOOK.name}/run"
    cooled = desk.send("POST", path, {"node": "a"}, OWN["ann"], idempotency_key="r1")
    elsewhere = desk.send("POST", path, {"node": "b"})
    unknown = desk.send("POST", "/api/v1/runbooks/conntrack/run")
    desk.lab.pass_time(clock.HOUR)
    desk.controller.read()
    begun = desk.send("POST", path, {}, OWN["ann"], idempotency_key="r2")
    same = desk.send("POST", path, {}, OWN["ann"], idempotency_key="r2")

    assert (cooled.status_code, cooled.json()["reason"]) == (409, "cooldown")
    assert (elsewhere.status_code, elsewhere.json()["reason"]) == (409, "alert_not_firing")
    assert unknown.status_code == 404
    assert (begun.status_code, begun.json()["state"]) == (202, "gated")
    assert same.json() == begun.json()
    assert [run.reason for run, _ in desk.lab.runs()] == ["denied", "cooldown", "accepted"]


def test_who_began_a_run_does_not_approve_it(desk: Desk) -> None:
    """With a quorum of two of two, nobody could: the run ends, and is not asked about."""
    desk.say("ann", "deny")
    desk.turn()
    desk.lab.pass_time(clock.HOUR)
    desk.controller.read()
    desk.send("POST", f"/api/v1/runbooks/{BOOK.name}/run", {}, OWN["ann"])
    desk.turn()
    assert (desk.run["state"], desk.run["reason"]) == ("refused", "no_approver")

    desk.lab.pass_time(clock.HOUR)
    desk.controller.read()
    desk.send("POST", f"/api/v1/runbooks/{BOOK.name}/run", {}, OWN["dee"])
    desk.turn()
    assert (desk.run["state"], desk.run["requested_by"]) == ("awaiting_approval", "dee")
    assert desk.say("dee", "approve").json()["reason"] == "self_approval"
    assert desk.say("ben", "approve").status_code == 200


def incident(desk: Desk) -> tuple[IncidentView, str]:
    """Return the incident as JSON and as a page."""
    with desk.lab.store.read() as transaction:
        (found,) = transaction.incidents.newest(5)
        known = facts.read(transaction, found, desk.lab.clock.at)
    told = view.build(known)
    return told, page.render(told, desk.lab.clock.at)


def test_the_incident_says_what_waits_until_when_and_who_decided(desk: Desk) -> None:
    """First of all to do while it waits; afterwards it is in the timeline."""
    waiting, shown = incident(desk)
    name = desk.run["id"]
    desk.say("dee", "deny")
    desk.turn()
    denied, after = incident(desk)

    assert waiting.left[0].text.startswith(f"Decide about run {name} of {BOOK.name}, which waits until ")
    assert waiting.title == "ConntrackUtilization on a", "a question is no cause"
    assert f"netsre runbook approve {name}" in shown
    assert "2 approvals of sre until" in shown
    assert [event.text for event in denied.timeline if event.kind == "decision"] == [
        f"run of {BOOK.name} began",
        f"run of {BOOK.name} asks people, until {desk.run['approval']['until']}",
        f"dee said deny to run of {BOOK.name}",
        f"run of {BOOK.name} refused (denied)",
    ]
    assert "dee" in after
    assert "It waits for people" not in after
    assert not any("Decide about" in todo.text for todo in denied.left)


def test_a_run_that_waits_is_counted_and_listed(desk: Desk) -> None:
    """While it waits, and no longer."""

    def counted() -> bytes:
        with desk.lab.store.read() as transaction:
            counts = Counts(runs=transaction.runs.counts())
        return metrics.render(replace(EMPTY, counts=counts), "")[0]

    def listed() -> list[str]:
        with desk.lab.store.read() as transaction:
            return [run.state.value for run in transaction.runs.newest(10, waiting=True)]

    name = f'netsre_runs_awaiting_approval{{runbook="{BOOK.name}"}} 1.0'
    assert name in counted().decode()
    assert listed() == ["awaiting_approval"]
    desk.say("ann", "deny")
    desk.turn()
    assert name.replace("1.0", "0.0") in counted().decode()
    assert listed() == []


def test_nobody_is_known_by_no_token(lab: Lab) -> None:
    """Also where a directory has the hash of nothing: the variable was empty when it was made."""
    lab.books = (replace(TWO, approval=Approval((), 1, 10 * clock.MINUTE)),)
    lab.directory_of = Directory((Person("eve", hashlib.sha256(b"").hexdigest()),))
    desk = Desk(lab)
    run = lab.runs()[-1][0].id

    answers = [desk.send("POST", f"/api/v1/runs/{run}/cancel", token=token) for token in ("", "  ")]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert desk.run["state"] == "awaiting_approval"


def test_a_key_that_began_a_run_begins_none_for_another_alert(desk: Desk) -> None:
    """Who is told that a run has begun is told of one for the alert that was meant."""
    desk.say("ann", "deny")
    desk.turn()
    desk.lab.pass_time(clock.HOUR)
    desk.controller.read()
    (known,) = desk.lab.alerts("ConntrackUtilization")
    elsewhere = labels({**dict(known.labels), "netns": "elsewhere"})
    other = replace(known, labels=elsewhere, fingerprint=fingerprint(elsewhere))
    with desk.lab.store.write() as transaction:
        transaction.alerts.save(other)
    path = f"/api/v1/runbooks/{BOOK.name}/run"
    wish = {"alert": {"status": "firing", "startsAt": clock.rfc3339(known.fired_at)}}

    def ask(alert: Alert) -> httpx.Response:
        body = {"alert": {**wish["alert"], "labels": dict(alert.labels)}}
        return desk.send("POST", path, body, OWN["ann"], idempotency_key="r1")

    begun, same, reused = ask(known), ask(known), ask(other)

    assert (begun.status_code, same.json()) == (202, begun.json())
    assert (reused.status_code, reused.json()["reason"]) == (409, "key_reused")
    assert reused.json()["run"] == begun.json()["run"]


def test_a_question_takes_no_target_from_a_mitigation(lab: Lab) -> None:
    """Not even before it is asked: both are for one alert, and begin in one moment."""
    lab.books = (replace(TWO, name="asks"), BOOK)
    desk = Desk(lab)
    for _ in range(8):
        desk.turn()

    (mitigation,) = (run for run, _ in lab.runs() if run.runbook == BOOK.name)
    assert (mitigation.state.value, mitigation.reason) == ("succeeded", "verified")


PARAMETERS = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: conntrack-exhaustion}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  parameters: [{name: ttl, type: duration, default: 10m, min: 1m, max: 30m}]
  approval: {mode: propose}
  steps:
    - {action: evidence.collect, with: {what: [top-sources]}}
    - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: '${param.ttl}'}}
  verify: {slo: conntrack-headroom, window: 15s, samples: 3}
"""


def test_who_begins_a_run_chooses_within_bounds_and_the_plan_says_what(lab: Lab) -> None:
    """A value beyond them is a 400; the same key with another value is another request."""
    lab.books = parsing.parse({"x.yaml": PARAMETERS}, ACTIONS, parsing.Known({"ConntrackUtilization"}))
    lab.directory_of = PEOPLE
    desk = Desk(lab)
    desk.say("ann", "deny")
    desk.turn()
    lab.pass_time(clock.HOUR)
    desk.controller.read()
    path = f"/api/v1/runbooks/{BOOK.name}/run"

    def begin(text: str) -> httpx.Response:
        return desk.send("POST", path, {"set": {"ttl": text}}, OWN["dee"], idempotency_key="r1")

    refused, begun, same, other = begin("31m"), begin("5m"), begin("5m"), begin("6m")
    desk.turn()

    assert (refused.status_code, refused.json()["detail"]) == (
        400,
        "parameter ttl: 31m is more than max, which is 30m",
    )
    assert (begun.status_code, same.json()) == (202, begun.json())
    assert (other.status_code, other.json()["reason"]) == (409, "key_reused")
    (made,) = [line["data"] for line in desk.run["journal"] if line["kind"] == "plan"]
    assert made["parameters"] == {"ttl": "5m"}
    assert made["steps"][1]["effect"]["ttl"] == 5 * clock.MINUTE
    assert desk.say("ann", "approve").status_code == 200
    desk.turn()
    assert [held.until - lab.clock.at for held in lab.host.effects()] == [5 * clock.MINUTE]
