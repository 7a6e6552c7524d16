"""What a run tells people, and what others did for it, where people read it."""

import json
import pathlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netsre import clock
from netsre.adapters.alert_log import AlertLog
from netsre.app import run_lines
from netsre.app.control import notices, runs
from netsre.app.control.dispatch import Dispatcher, LogChannel
from netsre.app.control.incidents import facts, steps, view
from netsre.app.control.incidents.shapes import IncidentView
from netsre.model import deeds
from netsre.model.deeds import Call, Request, Silence
from netsre.model.documents import Document
from netsre.model.runbooks import Run
from netsre.runbook import journal
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app import incident_story as told

SILENCE = Silence((("alertname", "Slow"), ("node", "a\x1b[2J")), 30 * clock.MINUTE, "c")
CALL = Call(Request("POST", "https://tools.example/drains", body='{"node":"a"}'), 5_000)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def acted(store: Store) -> Run:
    """Let a run silence, call, block and tell."""
    story = told.Story(store, told.alert())
    story.begin()
    run = story.run()
    evidence: Document = {"notice": "full on a"}
    figures: Document = {"until": told.at(1800)}
    with store.write() as transaction:
        lines = (
            (1, journal.applying(0, "alertmanager.silence", f"{run.id}/0", SILENCE)),
            (2, journal.applied(0, "alertmanager.silence", figures)),
            (3, journal.applying(1, "http.call", f"{run.id}/1", CALL)),
            (4, journal.applied(1, "http.call", {"status": 200})),
            (5, journal.observing(2, "notify", {})),
            (6, journal.observed(2, "notify", evidence)),
            (7, journal.left_out(3, "alertmanager.silence", "unreachable", "no Alertmanager took it")),
        )
        for at, line in lines:
            runs.write(transaction, run, line, told.at(at))
            notices.tell(transaction, run, story.about, line, told.at(at))
    return run


def incident(store: Store) -> IncidentView:
    """Return the incident as it stands after a minute."""
    with store.read() as transaction:
        (found,) = transaction.incidents.newest(1)
        return view.build(facts.read(transaction, found, told.at(60)))


def test_an_incident_has_what_others_did_and_what_was_told(store: Store) -> None:
    """A silence lasts, a call does not, and only the call may have mitigated anything."""
    acted(store)
    shown = incident(store)
    silence, call, notice, left_out = shown.runs[0].steps

    assert silence.said == r"silence alerts of alertname=Slow, node=a\x1b[2J, but no page, for 30m"
    assert (silence.in_force, silence.until) == (True, clock.rfc3339(told.at(1800)))
    assert call.said == 'POST https://tools.example/drains {"node":"a"} (cannot be undone)'
    assert (call.in_force, call.until) == (False, None)
    assert (notice.state, notice.said, notice.effect) == ("done", "full on a", None)
    assert (left_out.state, left_out.said) == ("skipped", "left out: unreachable (no Alertmanager took it)")
    assert shown.times.first_effect == clock.rfc3339(told.at(4))
    assert ("notice", "full on a") in [(event.kind, event.text) for event in shown.timeline]


def test_a_notice_is_on_the_alert_log_once(store: Store, tmp_path: pathlib.Path) -> None:
    """However often it is delivered; with what it is about."""
    run = acted(store)
    path = tmp_path / "alerts.jsonl"
    for _ in range(2):
        Dispatcher(store, [LogChannel(AlertLog(path))]).deliver(told.at(60))

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (notice,) = [line for line in lines if "notice" in line]
    assert (notice["notice"], notice["run"], notice["key"]) == ("full on a", run.id, f"{run.id}/2")
    assert notice["labels"]["alertname"] == "ConntrackUtilization"
    assert notice["at"] == clock.rfc3339(told.at(6))


def test_a_plan_says_whether_a_call_can_be_undone() -> None:
    """In the words of the terminal and of the incident."""
    back = replace(CALL, undo=Request("DELETE", "https://tools.example/drains/a"))
    lines = [run_lines.effect_text(dict(deeds.write(call))) for call in (CALL, back)]
    sent = 'http_call POST https://tools.example/drains {"node":"a"}'

    assert lines[0] == f"{sent} (cannot be undone)"
    assert lines[1] == f"{sent} (undone by DELETE https://tools.example/drains/a)"
    assert steps.words(back).endswith("(undone by DELETE https://tools.example/drains/a)")
    assert "matchers=" in run_lines.effect_text(dict(deeds.write(SILENCE)))
