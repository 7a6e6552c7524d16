"""Incidents of many alerts: what matters is told, however late it began."""

import pathlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netsre.alerting.describe import Links
from netsre.app.control import incidents
from netsre.app.control.incidents import facts, lanes, view
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.incidents.shapes import IncidentView
from netsre.app.control.slack import talk
from netsre.model.alerts import Alert, AlertState, fingerprint
from netsre.model.runbooks import RunState
from netsre.model.samples import labels
from netsre.store.database import Store
from netsre.store.slack import PARENT
from tests import slack_rules
from tests.unit import burning
from tests.unit.app import incident_story as told


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def known(store: Store, seconds: float = 300) -> Facts:
    """Return what is on record about the one incident."""
    with store.read() as transaction:
        (found,) = transaction.incidents.newest(10)
        return facts.read(transaction, found, told.at(seconds))


def incident(store: Store, seconds: float = 300) -> IncidentView:
    """Return the one incident of a store."""
    return view.build(known(store, seconds))


def parent(store: Store) -> str:
    """Return what the first message in Slack reads."""
    of = known(store)
    said = talk.say(talk.Known(of, None, Links("https://netsre.example")), dict.fromkeys(talk.keys(of), "0"))
    one = said[PARENT]
    return "\n".join(text for _, text in slack_rules.texts({"text": one.text, "blocks": list(one.blocks)}))


def fires(store: Store, seconds: float, alert: Alert, *, ended: bool = False) -> Alert:
    """Let an alert begin, and end a second later where that is said."""
    one = replace(alert, fired_at=told.at(seconds))
    over = replace(one, state=AlertState.RESOLVED, resolved_at=told.at(seconds + 1))
    with store.write() as transaction:
        transaction.alerts.save(one)
        incidents.note(transaction, [one], told.at(seconds))
        if ended:
            transaction.alerts.save(over)
    return one


def burn(slo: str, severity: str = "page") -> Alert:
    """Return the alert about a level."""
    pairs = {"alertname": "ErrorBudgetBurn", "severity": severity, "node": "worker-17", "slo": slo}
    identity = labels(pairs)
    said = {
        "summary": f"{slo} burns",
        "budget_remaining": "-12%",
        "time_to_exhaustion": "exhausted",
        "runbook_url": "http://127.0.0.1:8600/runbooks/network-evidence",
    }
    alert = told.alert()
    return replace(alert, fingerprint=fingerprint(identity), labels=identity, annotations=said)


def lasting_ticket(store: Store, many: int) -> None:
    """Have one ticket fire all the time, and another one come and go so many times."""
    fires(store, 0, told.alert("MapExhaustion", "ticket"))
    for number in range(many):
        fires(store, 60 * (number + 1), told.alert("Flaps", "ticket"), ended=True)


def test_a_page_after_twenty_tickets_makes_the_line_of_the_list_a_page(store: Store) -> None:
    """Whoever reads the list sees that somebody was woken."""
    lasting_ticket(store, view.TITLED)
    fires(store, 7200, told.alert())

    with store.read() as transaction:
        (found,) = transaction.incidents.newest(1)
        first = transaction.incidents.alerts(found.id, view.TITLED)
        line = view.summary(found, first, transaction.incidents.count(found.id))

    assert line.severity == "page"


def test_a_page_after_two_hundred_tickets_is_told(store: Store) -> None:
    """A ticket that comes and goes hides no page: not its severity, not itself, not what is to be done."""
    lasting_ticket(store, facts.MOST_ALERTS)
    fires(store, 80_000, told.alert())

    found = incident(store, 80_010)

    assert found.severity == "page"
    assert "ConntrackUtilization" in {alert.labels["alertname"] for alert in found.alerts}
    assert any("ConntrackUtilization" in todo.text for todo in found.left)


def test_the_picture_has_the_page_among_many_alerts(store: Store) -> None:
    """What somebody was woken for is a lane of its own, whatever began before it."""
    for number in range(6):
        fires(store, number, told.alert(f"Ticket{number}", "ticket"))
    fires(store, 10, told.alert())

    drawn = lanes.draw(incident(store), told.at(300))

    assert "ConntrackUtilization" in [lane.name for lane in drawn.lanes]


def test_slack_names_the_page_among_many_tickets(store: Store) -> None:
    """The first message says what it is about."""
    for number in range(6):
        fires(store, number, told.alert(f"Ticket{number}", "ticket"))
    fires(store, 10, told.alert())

    lines = [line for line in parent(store).splitlines() if line.startswith("• *")]

    assert any("ConntrackUtilization" in line for line in lines)


def test_a_run_is_not_said_to_have_helped_against_what_began_after_it(store: Store) -> None:
    """The same alert again is not helped: the run was for the firing before."""
    story = told.told(store)
    story.begin()
    story.page(0.4)
    run = story.act(story.run())
    fires(store, 1, told.alert("MapExhaustion", "ticket"))
    with store.write() as transaction:
        done = replace(run, state=RunState.SUCCEEDED, reason="verified", ended_at=told.at(25))
        transaction.runs.change(done)
        transaction.alerts.save(replace(story.about, state=AlertState.RESOLVED, resolved_at=told.at(40)))
    fires(store, 7200, story.about)

    texts = [todo.text for todo in incident(store, 7210).left]

    assert not any("helped" in text for text in texts if text.startswith("ConntrackUtilization"))


def test_a_run_is_not_said_to_have_helped_another_namespace(store: Store) -> None:
    """An alert of the same name about another table is not helped by it."""
    story = told.told(store)
    story.begin()
    story.page(0.4)
    run = story.act(story.run())
    with store.write() as transaction:
        done = replace(run, state=RunState.SUCCEEDED, reason="verified", ended_at=told.at(25))
        transaction.runs.change(done)
        transaction.alerts.save(replace(story.about, state=AlertState.RESOLVED, resolved_at=told.at(40)))
    fires(store, 30, told.alert(netns="another"))

    texts = [todo.text for todo in incident(store, 60).left]

    assert not any("helped" in text for text in texts if text.startswith("ConntrackUtilization"))


def test_each_level_that_burns_is_something_to_do_by_its_name(store: Store) -> None:
    """`ErrorBudgetBurn` alone says nothing: every level has an alert of that name."""
    fires(store, 0, burn("flow-success"))
    fires(store, 1, burn("connect-latency"))

    texts = [todo.text for todo in incident(store).left]

    assert any("flow-success" in text for text in texts)
    assert any("connect-latency" in text for text in texts)


def test_the_timeline_names_the_level_of_a_burn(store: Store) -> None:
    """Whoever reads it later has only these lines."""
    fires(store, 0, burn("flow-success"))
    fires(store, 1, burn("connect-latency"))

    began = [event.text for event in incident(store).timeline if event.kind == "alert"]

    assert len(set(began)) == 2


def test_the_words_about_a_budget_that_is_spent_are_words(store: Store) -> None:
    """Somebody reads them at night."""
    fires(store, 0, burn("flow-success"))

    assert "spent in exhausted" not in parent(store)


def test_the_words_about_one_more_alert_are_words(store: Store) -> None:
    """The call of a runbook is counted among them, so that this is the usual case."""
    fires(store, 0, told.alert())
    fires(store, 1, told.alert("RunbookAwaitsApproval"))

    assert "1 more alerts" not in parent(store)


def test_what_was_done_about_a_page_is_timed_from_that_page(store: Store) -> None:
    """A ticket that has fired for three days is not when the page began that automation dealt with."""
    began = 3 * 86_400
    story = told.told(store)
    fires(store, -began, told.alert("MapExhaustion", "ticket"))
    story.begin()
    story.act(story.run())

    found = incident(store)

    assert found.seconds["first_effect"] == 0.45


def test_a_page_that_joins_an_old_incident_is_said_in_the_channel(store: Store) -> None:
    """An edit of a message of three days ago rings nowhere, and stands where nobody looks."""
    fires(store, -3 * 86_400, told.alert("MapExhaustion", "ticket"))
    before = set(talk.keys(known(store)))
    fires(store, 0, told.alert())

    of = known(store)
    said = talk.say(talk.Known(of, None, Links("https://netsre.example")), dict.fromkeys(talk.keys(of), "0"))

    assert any(one.broadcast for key, one in said.items() if key not in before)
