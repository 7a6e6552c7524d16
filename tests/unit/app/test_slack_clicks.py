"""Clicks in Slack: each goes through the one decision of all words, counts once, or is told why not."""

import contextlib
import json
import pathlib
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsre import clock
from netsre.app.control import pausing
from netsre.app.control.slack import clicks, talk
from netsre.errors import BadInput, StoreUnusable
from netsre.model.holds import Scope
from netsre.model.runbooks import RunState
from tests import slack_server, thorough
from tests.slack_server import Kept, Slack
from tests.unit.app.crashing import BOOK, Killed
from tests.unit.app.slack_desk import ANN, ASKS, BEN, CAL, STRANGER, TWO, Station, station
from tests.unit.runbook import test_loops

YES, NO = "netsre.approve", "netsre.deny"


@pytest.fixture
def slack() -> Iterator[Slack]:
    """Run a Slack."""
    with slack_server.slack() as running:
        yield running


@pytest.fixture
def at(tmp_path: pathlib.Path, slack: Slack) -> Station:
    """Return a station whose run asks for one approval of sre."""
    return station(tmp_path, slack)


def question(slack: Slack) -> Kept:
    """Return the question that waits."""
    found = slack.question()
    assert found is not None
    return found


def said(at: Station) -> list[tuple[str, str]]:
    """Return who said what about the newest run, as its journal has it."""
    entries = at.lab.runs()[-1][1]
    kinds = ("approval", "cancel")
    return [(e.data["person"], str(e.data.get("verdict", "cancel"))) for e in entries if e.kind in kinds]  # type: ignore[misc]


def test_an_approval_is_on_disk_before_its_answer_and_the_buttons_become_a_stamp(
    at: Station, slack: Slack
) -> None:
    """The run acts with the next turn; the audit has who said so, and which way."""
    asked = question(slack)

    answer = at.press(asked, YES, ANN)

    assert (answer.status_code, answer.content) == (200, b"")
    assert said(at) == [("ann", "approve")]
    assert at.woken == 1
    with at.lab.store.read() as transaction:
        (row,) = (row for row in transaction.audit.rows() if row.verb == "run.approved_by")
    assert (row.actor, '"via":"slack"' in row.details) == ("ann", True)
    at.turn()
    assert at.lab.host.applied
    assert not asked.buttons()
    assert "*Approved* by ann" in asked.shown


def test_a_question_tells_of_the_rounds_that_may_follow(tmp_path: pathlib.Path, slack: Slack) -> None:
    """Whoever says yes says it to all of them, as whoever is asked by an alert."""
    book = replace(BOOK, mode="propose", approval=ASKS.approval, steps=test_loops.BOOK.steps)
    station(tmp_path, slack, book)

    assert "again from step 0, up to 3 rounds, 10s apart, until not still(alert)" in question(slack).shown


def test_a_second_click_is_told_who_decided(at: Station, slack: Slack) -> None:
    """Two people press at the same moment: one decides, the other one learns it."""
    asked = question(slack)
    at.press(asked, YES, ANN)

    assert at.press(asked, NO, BEN).status_code == 200

    assert said(at) == [("ann", "approve")]
    assert at.whisper() == "Not counted: already approved by ann."
    assert slack.whispers[-1]["user"] == BEN


@pytest.mark.parametrize(
    ("account", "action", "answer", "told"),
    [
        (
            STRANGER,
            YES,
            "unknown_person",
            "netsre does not know you: `slack: U0NOONE` must stand beside your",
        ),
        (CAL, YES, "not_an_approver", "Not counted: your word does not count for it; ask sre."),
        (ANN, talk.TAKE_OVER, "unknown_button", "netsre does not know this button"),
    ],
)
def test_who_may_not_is_told_why_and_leaves_no_trace(
    at: Station, slack: Slack, account: str, action: str, answer: str, told: str
) -> None:
    """A stranger, somebody of another group, a button that is not there."""
    asked = question(slack)
    pressed = slack.payload(asked, action, account, asked.buttons()[YES]["value"])

    assert at.send(slack_server.form(pressed)).status_code == 200

    assert said(at) == []
    assert told in at.whisper()
    assert at.desk.answers == {answer: 1}


def test_a_no_is_heard_from_everybody_who_is_known(at: Station, slack: Slack) -> None:
    """Whoever sees the trouble coming may stop it."""
    at.press(question(slack), NO, CAL)
    at.turn()

    assert (at.run.state, at.run.reason) == (RunState.REFUSED, "denied")
    assert at.lab.host.applied == []


def test_a_quorum_counts_people_and_not_clicks(tmp_path: pathlib.Path, slack: Slack) -> None:
    """The message shows how many there are so far."""
    at = station(tmp_path, slack, TWO)
    asked = question(slack)
    at.press(asked, YES, ANN)
    at.press(asked, YES, ANN)
    assert at.whisper() == "Not counted: you approved it before; each person counts once."
    at.turn()
    assert "1 of 2 so far" in asked.shown
    assert at.lab.host.applied == []

    at.press(asked, YES, BEN)
    at.turn()

    assert at.lab.host.applied
    assert "*Approved* by ann and ben" in asked.shown


def test_the_same_click_again_counts_once_also_after_a_start(at: Station, slack: Slack) -> None:
    """Slack sends it again, somebody replays it: its id is in the journal."""
    body = slack_server.form(slack.payload(question(slack), YES, ANN))
    shown = slack_server.headers(body, at.now)

    answers = [at.send(body, shown).status_code for _ in range(3)]
    at.start()
    answers.append(at.send(body, shown).status_code)

    assert answers == [200] * 4
    assert said(at) == [("ann", "approve")]
    assert at.desk.answers == {"repeated": 1}
    assert at.whisper() == ""


def test_a_click_on_a_plan_that_is_over_does_nothing(at: Station, slack: Slack) -> None:
    """The time is over; the stamp says so."""
    asked = question(slack)
    token = asked.buttons()[YES]["value"]
    at.lab.pass_time(11 * clock.MINUTE)
    late = slack.payload(asked, YES, ANN, token)
    assert at.send(slack_server.form(late)).status_code == 200
    assert said(at) == []
    assert "the time for a word is over" in at.whisper()


def test_a_button_is_good_in_its_own_message_only(at: Station, slack: Slack) -> None:
    """A token that was copied elsewhere stands for nothing."""
    pressed = slack.payload(question(slack), YES, ANN)
    pressed["container"]["message_ts"] = slack.parents()[0].ts

    assert at.send(slack_server.form(pressed)).status_code == 200

    assert (said(at), at.desk.answers) == ([], {"unknown_button": 1})


def test_who_takes_over_ends_what_goes_on_and_keeps_the_rest_away(
    tmp_path: pathlib.Path, slack: Slack
) -> None:
    """What was changed is taken back, nothing new begins, and the message names the owner."""
    at = station(tmp_path, slack, BOOK)
    (parent,) = slack.parents()
    assert at.lab.host.applied

    assert at.press(parent, talk.TAKE_OVER, CAL).status_code == 200
    at.press(parent, talk.TAKE_OVER, ANN)
    assert at.whisper().startswith("Already taken over by cal, until ")
    for _ in range(3):
        at.turn()

    assert at.run.state is RunState.UNDONE
    assert at.lab.host.effects() == ()
    (pause,) = pausing.held(at.world).pauses
    assert (pause.scope, pause.name, pause.owner) == (Scope.TARGET, "conntrack/a", "cal")
    assert "*Taken over by cal*" in parent.shown
    assert not parent.buttons()


@pytest.mark.parametrize(("point", "happened"), [(1, False), (2, True)])
def test_killed_anywhere_a_take_over_is_whole_or_did_not_happen(
    tmp_path: pathlib.Path, slack: Slack, point: int, *, happened: bool
) -> None:
    """Slack sends no click twice over HTTP, and whoever owns an incident finds no run that goes on."""
    at = station(tmp_path, slack, BOOK)
    (parent,) = slack.parents()
    # Right before the commit, and right after.
    at.lab.fate.dies_at = frozenset({len(at.lab.fate.points) + point})
    with contextlib.suppress(Killed):
        clicks.hear(at.world, clicks.read(slack.payload(parent, talk.TAKE_OVER, ANN)))

    taken = bool(pausing.held(at.world).pauses)
    cancelled = ("ann", "cancel") in said(at)
    assert (taken, cancelled) == (happened, happened)


def test_a_take_over_that_was_ended_is_not_begun_by_a_replay(tmp_path: pathlib.Path, slack: Slack) -> None:
    """The pause of a click is made once."""
    at = station(tmp_path, slack, BOOK)
    body = slack_server.form(slack.payload(slack.parents()[0], talk.TAKE_OVER, ANN))
    at.send(body)
    pausing.resume(at.world, Scope.TARGET, "conntrack/a", "ann")
    at.start()

    at.send(body)

    assert pausing.held(at.world).pauses == ()
    assert at.desk.answers == {"repeated": 1}


def test_a_click_that_cannot_be_kept_is_answered_with_503(
    at: Station, slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person sees that it failed, and presses again."""

    def full() -> None:
        raise StoreUnusable("disk is full")

    asked = question(slack)
    monkeypatch.setattr(at.lab.store, "before_write", full)
    assert at.press(asked, YES, ANN).status_code == 503
    monkeypatch.undo()
    assert at.press(asked, YES, ANN).status_code == 200
    assert said(at) == [("ann", "approve")]


def test_a_click_of_another_workspace_is_refused(at: Station, slack: Slack) -> None:
    """Once Slack has said which one is ours."""
    at.desk.team = "T0OTHER"
    assert at.press(question(slack), YES, ANN).status_code == 400
    assert said(at) == []


# What a request may be instead of one that Slack signed.

TIMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "abc", "1.5", "-1", "0", "9" * 400, "\uff11\uff17", "nan", "+1"]),
    st.integers(-(10**12), 10**12).map(str),
)
SIGNATURES = st.one_of(
    st.text(max_size=80), st.sampled_from(["", "v0=", "v0=" + "0" * 64, "v1=" + "a" * 64, "v0=" + "ä" * 64])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda deeper: st.lists(deeper, max_size=4) | st.dictionaries(st.text(max_size=12), deeper, max_size=4),
    max_leaves=20,
)
BODIES = st.one_of(
    st.binary(max_size=300),
    JSON.map(slack_server.form),
    st.text(max_size=50).map(lambda text: urllib.parse.urlencode({"payload": text}).encode(errors="replace")),
    st.sampled_from(
        [
            b"", b"payload=", b"payload=%7B%7D&payload=%7B%7D", b"payload=" + b"[" * 50_000, b"a=b",
            b"\xff\xfe", b"payload=%ED%A0%80", b"&".join([b"x=1"] * 500), b"payload=" + b"9" * 10_000,
        ]
    ),
)  # fmt: skip


def _latin(text: str) -> str:
    """Return a text that a header can carry."""
    return "".join(sign for sign in text if " " < sign < "\x7f")


@settings(max_examples=thorough.cases(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, at_time=TIMES, signature=SIGNATURES)
def test_whatever_slack_did_not_sign_is_401_and_leaves_no_trace(
    shared: Station, body: bytes, at_time: str, signature: str
) -> None:
    """Never an error of ours, never an answer that says more."""
    told = {"X-Slack-Request-Timestamp": _latin(at_time), "X-Slack-Signature": _latin(signature)}

    answer = shared.send(body, told)

    assert answer.status_code == 401
    assert answer.json() == {"detail": "a signature of Slack is needed"}
    assert said(shared) == []


@settings(max_examples=thorough.cases(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_what_is_signed_and_no_click_is_400_and_leaves_no_trace(shared: Station, body: bytes) -> None:
    """The secret does not make sense of what has none; a body that is no UTF-8 cannot be Slack's."""
    assert shared.send(body).status_code in (400, 401)
    assert said(shared) == []


@settings(max_examples=thorough.cases(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_click_with_anything_in_place_of_one_of_its_parts_does_nothing(
    shared: Station, data: st.DataObject
) -> None:
    """Every part that is read is looked at; none of them makes an action of what was not pressed."""
    asked = shared.slack.question()
    assert asked is not None
    payload: Any = shared.slack.payload(asked, YES, STRANGER)
    paths = [("type",), ("user", "id"), ("team", "id"), ("api_app_id",), ("container",), ("actions",),
             ("container", "message_ts"), ("container", "channel_id"), ("actions", 0), ("message",),
             ("actions", 0, "value"), ("actions", 0, "action_id"), ("actions", 0, "action_ts")]  # fmt: skip
    *way, last = data.draw(st.sampled_from(paths))
    part = payload
    for step in way:
        part = part[step]
    part[last] = data.draw(JSON)

    assert shared.send(slack_server.form(payload)).status_code in (200, 400)
    assert said(shared) == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Return a station that all requests of a property share."""
    with slack_server.slack() as running:
        yield station(tmp_path_factory.mktemp("shared"), running)


@pytest.mark.parametrize("late", [-301, 301, 10**9])
def test_a_signature_is_good_for_five_minutes(at: Station, slack: Slack, late: int) -> None:
    """An old request, and one from the future, are nobody's."""
    body = slack_server.form(slack.payload(question(slack), YES, ANN))
    assert at.send(body, slack_server.headers(body, at.now + late)).status_code == 401
    assert at.send(body, slack_server.headers(body, at.now + (299 if late > 0 else -299))).status_code == 200


def test_a_body_beyond_all_measure_is_not_read(at: Station) -> None:
    """Before its signature is looked at."""
    assert at.send(b"payload=" + b"x" * (1024 * 1024)).status_code == 413


def test_a_payload_that_is_no_json_is_bad_input() -> None:
    """So is one that nests without end."""
    for text in ("", "[" * 100_000, "{", json.dumps({"type": "view_submission"})):
        with pytest.raises(BadInput):
            clicks.parse(text)
