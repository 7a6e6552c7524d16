"""Slack is brought to what is on record: each message once, over crashes, limits and outages."""

import pathlib
from collections.abc import Iterator

import pytest

from netsre import clock
from netsre.adapters.slack.api import Result
from netsre.app.control.slack.teller import SETTLES
from netsre.clock import Timestamp
from netsre.metrics.readings import Readings
from netsre.model.runbooks import RunState
from tests import slack_server
from tests.slack_server import Slack, Trouble
from tests.unit.app.crashing import BOOK, Killed
from tests.unit.app.slack_desk import ANN, Station, station


@pytest.fixture
def slack() -> Iterator[Slack]:
    """Run a Slack."""
    with slack_server.slack() as running:
        yield running


@pytest.fixture
def auto(tmp_path: pathlib.Path, slack: Slack) -> Station:
    """Return a station whose runbook acts by itself."""
    return station(tmp_path, slack, BOOK)


def settle(at: Station) -> None:
    """Let so much time pass that what is under way to Slack is there or lost."""
    at.lab.clock.at = Timestamp(at.lab.clock.at + SETTLES)


def test_an_incident_is_one_message_that_changes_and_a_thread_with_the_details(
    auto: Station, slack: Slack
) -> None:
    """From the alert to the end: nothing is posted twice, and the last state is the last that is shown."""
    for _ in range(200):
        auto.turn()
        with auto.lab.store.read() as transaction:
            (incident,) = transaction.incidents.newest(5)
        if incident.closed_at is not None:
            break

    (parent,) = slack.parents()
    (run,) = slack.replies()
    assert run.thread == parent.ts
    assert "closed page: ConntrackUtilization" in parent.shown
    assert "*succeeded* (verified)" in parent.shown
    assert "*succeeded* (verified)" in run.shown
    assert parent.edits > 0
    assert not parent.buttons()
    before = list(slack.calls)
    auto.tell()
    assert slack.calls == before  # nothing is left to say
    with auto.lab.store.read() as transaction:
        assert {row.done_at is not None for row in transaction.slack.of(incident.id).values()} == {True}


def test_what_changed_often_while_slack_was_away_is_told_once(auto: Station, slack: Slack) -> None:
    """Automation goes on meanwhile; states in between are gone, the last one is not."""
    slack.down = True
    while not auto.run.ended:
        auto.turn()
    assert auto.run.state is RunState.SUCCEEDED
    assert auto.teller.problem == "Slack answered 503"
    assert slack.parents()[0].edits == 0

    slack.down = False
    settle(auto)
    auto.lab.pass_time(clock.MINUTE)
    auto.tell()

    (parent,) = slack.parents()
    assert (parent.edits, "*succeeded*" in parent.shown) == (1, True)
    assert auto.teller.problem is None


def test_a_limit_of_slack_is_waited_for(auto: Station, slack: Slack) -> None:
    """Not one request before the time is over."""
    slack.messages.clear()
    auto.start()
    slack.troubles.append(Trouble("chat.update", "limit"))
    auto.turn()
    calls = len(slack.calls)

    auto.tell()
    assert len(slack.calls) == calls
    assert auto.teller.held()
    auto.ticks += 1000
    auto.tell()

    assert len(slack.calls) > calls
    assert auto.teller.results[Result.LIMITED] == 1
    assert auto.teller.problem is None


@pytest.mark.parametrize("method", ["chat.postMessage"])
@pytest.mark.parametrize("kind", ["hang_up", "nonsense", "fatal_error", "away"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_message_whose_answer_never_came_is_looked_for_and_not_sent_twice(
    tmp_path: pathlib.Path, slack: Slack, method: str, kind: str, which: int
) -> None:
    """Whether Slack had taken it or not: first message and reply alike."""
    # The first message goes well where the second is the one in doubt.
    slack.troubles += [Trouble("chat.postMessage", "")] * which + [Trouble(method, kind)]
    slack.troubles = [one for one in slack.troubles if one.kind] if which == 0 else slack.troubles
    auto = station(tmp_path, slack, BOOK)
    auto.ticks += clock.MINUTE
    auto.tell()
    assert auto.teller.results[Result.IN_DOUBT] == 1
    there = len(slack.messages)

    auto.tell()
    assert len(slack.messages) == there  # it may still be on its way
    settle(auto)
    auto.ticks += clock.MINUTE
    auto.tell()

    assert len(slack.parents()) == 1
    assert len(slack.replies()) == 1
    assert {"conversations.history", "conversations.replies"} & set(slack.calls)


@pytest.mark.parametrize("point", range(1, 9))
def test_a_kill_at_any_moment_makes_no_second_message(
    tmp_path: pathlib.Path, slack: Slack, point: int
) -> None:
    """Before and after every commit around the first messages; another controller goes on from the disk."""
    auto = station(tmp_path, slack, BOOK)
    slack.messages.clear()
    with auto.lab.store.write() as transaction:
        (incident,) = transaction.incidents.newest(5)
        for row in transaction.slack.of(incident.id).values():
            transaction.slack.told(row.token, "", "", "")
    fate = auto.lab.store.fate
    fate.dies_at = frozenset({len(fate.points) + point})
    with pytest.raises(Killed):
        auto.tell()

    auto.start()
    settle(auto)
    auto.tell()

    assert len(slack.parents()) == 1
    assert len(slack.replies()) == 1


def test_without_the_scope_to_look_a_message_may_come_twice_but_comes(auto: Station, slack: Slack) -> None:
    """A page that is told twice is better than one that is not."""
    slack.messages.clear()
    with auto.lab.store.write() as transaction:
        (incident,) = transaction.incidents.newest(5)
        first = transaction.slack.of(incident.id)[""]
        transaction.slack.told(first.token, "", "", "")
        transaction.slack.tried(first.token, auto.lab.clock.at)
    settle(auto)
    slack.troubles.append(Trouble("conversations.history", "missing_scope"))

    auto.tell()

    assert len(slack.parents()) == 1


def test_a_message_that_somebody_removed_comes_again_with_its_next_change(
    auto: Station, slack: Slack
) -> None:
    """What is in the thread follows it."""
    slack.messages.clear()
    for _ in range(4):
        auto.turn()

    (parent,) = slack.parents()
    assert {reply.thread for reply in slack.replies()} == {parent.ts}


def test_blocks_that_slack_refuses_are_left_out(auto: Station, slack: Slack) -> None:
    """What is said must come through, however it looks."""
    slack.troubles.append(Trouble("chat.update", "invalid_blocks"))
    while not slack.parents()[0].edits:
        auto.turn()

    assert slack.parents()[0].said["text"].startswith("🔴 OPEN page: ConntrackUtilization")
    assert auto.teller.results[Result.REJECTED] == 1


def test_a_token_that_counts_no_more_is_told_and_waited_for(auto: Station, slack: Slack) -> None:
    """One line says what is wrong; what is to be said waits."""
    slack.troubles += [Trouble("chat.update", "token_revoked")]
    while not auto.teller.held():
        auto.turn()
    assert auto.teller.problem == "token_revoked"
    auto.ticks += clock.MINUTE
    auto.tell()

    assert not auto.teller.held()
    readings = Readings()
    auto.teller.readings(readings)
    assert ({"result": "refused"}, 1.0) in readings.numbers["netsre_slack_messages_total"]
    assert readings.numbers["netsre_slack_messages_waiting"] == [({}, 0.0)]


def test_who_stands_by_tells_nothing(tmp_path: pathlib.Path, slack: Slack) -> None:
    """Of several controllers one does."""
    at = station(tmp_path, slack, BOOK)
    at.leading = False
    calls = len(slack.calls)
    at.turn()

    assert len(slack.calls) == calls


def test_an_incident_that_came_and_went_between_two_looks_is_told(
    tmp_path: pathlib.Path, slack: Slack
) -> None:
    """It is looked for among those that closed lately."""
    slack.down = True
    at = station(tmp_path, slack, BOOK)
    while at.lab.runs() and not at.run.ended:
        at.turn(tell=False)
    at.lab.resolve()
    with at.lab.store.write() as transaction:
        (incident,) = transaction.incidents.newest(5)
        assert incident.closed_at is not None
        transaction.slack.done(incident.id, at.lab.clock.at)
        transaction.slack.prune(Timestamp(at.lab.clock.at + 1))
    slack.down = False
    at.start()
    at.tell()

    (parent,) = slack.parents()
    assert "closed page" in parent.shown


def test_a_question_is_told_before_all_else_and_is_seen_in_the_channel(
    tmp_path: pathlib.Path, slack: Slack
) -> None:
    """People wait for nothing that is less urgent."""
    at = station(tmp_path, slack)
    question = slack.question()
    assert question is not None
    assert question.said["reply_broadcast"] is True
    assert slack.calls[:2] == ["chat.postMessage"] * 2
    assert list(slack.messages.values())[1] is question

    at.press(question, "netsre.approve", ANN)
    at.turn()

    assert slack.question() is None
    assert "*Approved* by ann" in question.shown


def test_an_incident_that_goes_on_is_told_in_its_old_message(auto: Station, slack: Slack) -> None:
    """An alert that comes back soon opens no other incident, and no other message."""
    while not auto.run.ended:
        auto.turn()
    auto.lab.resolve()
    auto.tell()
    (parent,) = slack.parents()
    assert "closed page" in parent.shown

    auto.lab.host.held = 0
    auto.lab.host.others = (990,)
    auto.turn()

    assert "OPEN page" in parent.shown
    assert slack.parents() == [parent]
