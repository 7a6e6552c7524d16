"""Socket Mode: clicks come over a connection that is opened anew, and are answered once they are kept."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from netsre.adapters.slack.socket_mode import SocketMode
from tests import slack_server
from tests.machine import wait_until
from tests.slack_server import APP, APP_TOKEN, Slack, Trouble


@pytest.fixture
def slack() -> Iterator[Slack]:
    """Run a Slack."""
    with slack_server.slack() as running:
        yield running


@contextlib.contextmanager
def connected(slack: Slack, taken: list[Mapping[str, Any]], *keeps: bool) -> Iterator[SocketMode]:
    """Open a socket; what comes is taken as often as `keeps` says so, and then always."""
    answers = iter(keeps)

    def take(payload: Mapping[str, Any]) -> bool:
        taken.append(payload)
        return next(answers, True)

    mode = SocketMode(APP_TOKEN, slack.url, take, ping_seconds=0.1)
    mode.start()
    try:
        yield mode
    finally:
        mode.stop(5.0)


def test_what_is_kept_is_answered_and_what_is_not_comes_again(slack: Slack) -> None:
    """An envelope without an answer is Slack's to send again, with the same click in it."""
    taken: list[Mapping[str, Any]] = []
    with connected(slack, taken, False) as mode:
        assert wait_until(lambda: slack.connected() and mode.connected())
        payload = {"api_app_id": APP, "type": "block_actions", "long": "x" * 20_000}
        slack.send(payload, "one")
        assert wait_until(lambda: len(taken) == 1)
        slack.send(payload, "two")
        assert wait_until(lambda: slack.acknowledged == ["two"])
        assert taken == [payload, payload]
    assert not mode.connected()


def test_what_is_of_another_app_is_answered_and_not_taken(slack: Slack) -> None:
    """Nothing over a socket is signed."""
    taken: list[Mapping[str, Any]] = []
    with connected(slack, taken):
        assert wait_until(slack.connected)
        for name, app in (("a", "A0OTHER"), ("b", None), ("c", "")):
            slack.send({"api_app_id": app}, name)
        assert wait_until(lambda: sorted(slack.acknowledged) == ["a", "b", "c"])
        assert taken == []


def test_a_socket_that_breaks_and_a_slack_that_is_away_are_waited_for(slack: Slack) -> None:
    """As long as it takes."""
    slack.troubles.append(Trouble("apps.connections.open", "internal_error"))
    taken: list[Mapping[str, Any]] = []
    with connected(slack, taken):
        assert wait_until(slack.connected)
        slack.sockets[-1].close()
        assert wait_until(lambda: len(slack.sockets) > 1 and slack.connected())
        slack.send({"api_app_id": APP}, "after")
        assert wait_until(lambda: slack.acknowledged == ["after"])
        assert len(taken) == 1
