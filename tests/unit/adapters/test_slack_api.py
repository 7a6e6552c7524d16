"""The client of Slack: every answer, and every one that is none, is a value with a line for people."""

from collections.abc import Iterator

import pytest

from netsre.adapters.slack import api
from netsre.adapters.slack.api import Message, Result
from netsre.adapters.slack.api import Slack as Client
from tests import slack_server
from tests.machine import free_port
from tests.slack_server import CHANNEL, Slack, Trouble

MESSAGE = Message("text", [], "0" * 32)


@pytest.fixture
def slack() -> Iterator[Slack]:
    """Run a Slack."""
    with slack_server.slack() as running:
        yield running


def test_whose_token_it_is_and_what_it_may(slack: Slack) -> None:
    """The scopes are in a header."""
    who = Client(slack_server.TOKEN, slack.url).who()

    assert (who.result, who.text("team_id"), who.scopes) == (
        Result.DONE,
        slack_server.TEAM,
        ("chat:write", "channels:history"),
    )


@pytest.mark.parametrize(
    ("kind", "result", "reason"),
    [
        ("limit", Result.LIMITED, "Slack asks us to wait 1 s"),
        ("hang_up", Result.IN_DOUBT, "Remote end closed connection without response"),
        ("nonsense", Result.IN_DOUBT, "answered 200, and not as Slack does"),
        ("away", Result.IN_DOUBT, "Slack answered 503"),
        ("internal_error", Result.IN_DOUBT, "Slack answered 200 internal_error"),
        ("invalid_auth", Result.REFUSED, "invalid_auth"),
        ("a_word_of_tomorrow", Result.REFUSED, "a_word_of_tomorrow"),
        ("invalid_blocks", Result.REJECTED, "invalid_blocks"),
        ("edit_window_closed", Result.REJECTED, "edit_window_closed"),
        ("message_not_found", Result.GONE, "message_not_found"),
    ],
)
def test_every_refusal_has_its_meaning(slack: Slack, kind: str, result: Result, reason: str) -> None:
    """What may be there, what is not, and what nothing can be said to."""
    slack.troubles.append(Trouble("chat.postMessage", kind))

    answer = Client(slack_server.TOKEN, slack.url).post(CHANNEL, MESSAGE)

    assert (answer.result, answer.reason) == (result, reason)
    assert answer.wait == (1000 if kind == "limit" else 0)
    assert slack_server.TOKEN not in answer.reason


def test_where_nobody_listens_nothing_was_sent() -> None:
    """So that it can be sent again without a doubt."""
    answer = Client(slack_server.TOKEN, f"http://127.0.0.1:{free_port()}/api/").post(CHANNEL, MESSAGE)

    assert answer.result is Result.UNREACHABLE


def test_a_message_is_found_by_its_token_page_by_page(slack: Slack) -> None:
    """What others wrote, and what has no metadata, is none of ours."""
    client = Client(slack_server.TOKEN, slack.url)
    ours = client.post(CHANNEL, Message("ours", [], "a" * 32)).text("ts")
    client.post(CHANNEL, Message("another", [], "b" * 32))

    first = client.history(CHANNEL, "0")
    second = client.history(CHANNEL, "0", api.next_page(first))

    pages = [(page.data or {})["messages"] for page in (first, second)]
    assert [api.found(page, "a" * 32) for page in pages] == ["", ours]
    assert api.next_page(second) == ""
    for nothing in (None, "x", [None], [{"metadata": "x"}], [{"metadata": {"event_payload": {"id": "x"}}}]):
        assert api.found(nothing, "x") == ""


@pytest.mark.parametrize(
    ("said", "wait"),
    [("7", 7000), ("0", 1000), ("-1", 30_000), ("x", 30_000), ("9" * 9, 30_000), ("9999", 600_000)],
)
def test_how_long_to_wait_is_within_reason(said: str, wait: int) -> None:
    """A header that says nonsense must not hold up messages for a year."""
    assert api._wait({"retry-after": said}) == wait
