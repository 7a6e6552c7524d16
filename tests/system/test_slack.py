"""A real controller with a Slack beside it: people decide there, and nothing waits for it."""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests import slack_server
from tests.machine import PATIENCE, wait_until
from tests.slack_server import Kept, Slack
from tests.system.test_approvals import RUNBOOK, FullAgent, Node, state
from tests.system.test_controller import BLIND, NETSRE, Controller, running
from tests.system.test_controller import home as home  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.timeout(300)

PEOPLE = """\
apiVersion: netsre.dev/v1
kind: People
metadata: {name: on-call}
spec:
  people: [{name: ann, slack: U0ANN00}, {name: ben, slack: U0BEN00}]
  groups: [{name: sre, members: [ann]}]
"""
SETTINGS = """\
apiVersion: netsre.dev/v1
kind: Controller
metadata: {name: here}
spec:
  slack: {channel: C0NETSRE, apiUrl: '%s', tokenFile: '%s/token', mode: %s,
          signingSecretFile: '%s/secret', appTokenFile: '%s/app'}
"""


@pytest.fixture
def slack() -> Iterator[Slack]:
    """Run a Slack."""
    with slack_server.slack() as made:
        yield made


@pytest.fixture
def place(home: pathlib.Path) -> pathlib.Path:
    """Return a directory with the files that people write."""
    (home / "books").mkdir()
    (home / "books" / "asks.yaml").write_text(RUNBOOK)
    (home / "people.yaml").write_text(PEOPLE)
    (home / "token").write_text(f"{slack_server.TOKEN}\n")
    (home / "secret").write_text(f"{slack_server.SECRET}\n")
    (home / "app").write_text(f"{slack_server.APP_TOKEN}\n")
    # What root alone can read is read before the controller stops being root.
    for name in ("token", "secret", "app"):
        (home / name).chmod(0o600)
    return home


class Scene:
    """An agent with a full table, a node, and the files of a controller."""

    def __init__(self, place: pathlib.Path, slack: Slack, mode: str) -> None:
        """Prepare."""
        self.place, self.slack = place, slack
        (place / "controller.yaml").write_text(SETTINGS % (slack.url, place, mode, place, place))
        self.agent, self.node = FullAgent(), Node(place / "control")

    @contextlib.contextmanager
    def controller(self, data: str = "data", *more: str) -> Iterator[Controller]:
        """Run one."""
        options = (
            *("--control", str(self.place / "control"), "--people", str(self.place / "people.yaml")),
            *("--runbooks", str(self.place / "books"), "--config", str(self.place / "controller.yaml")),
        )
        program = (sys.executable, "-P", "-c", BLIND)
        with running(self.place / data, self.agent.url, *options, *more, program=program) as found:
            yield found
        assert "IMPORTED LATE" not in found.log.read_text()

    def question(self, at: Controller) -> Kept:
        """Wait for the question."""
        at.until(lambda _: self.slack.question() is not None, 90)
        found = self.slack.question()
        assert found is not None
        return found

    def close(self) -> None:
        """End."""
        self.agent.close()
        self.node.server.close()


def status(at: Controller) -> Any:  # noqa: ANN401 - JSON
    """Return how Slack fares."""
    return at.get("/api/v1/status")["slack"]


def numbers(at: Controller) -> str:
    """Return the metrics."""
    import httpx  # noqa: PLC0415

    return httpx.get(f"http://127.0.0.1:{at.port}/metrics", timeout=PATIENCE).text


def test_a_run_is_approved_in_slack_over_a_kill_and_taken_over_there(
    place: pathlib.Path, slack: Slack
) -> None:
    """Signed clicks; one message from the alert to the end, whatever dies on the way."""
    scene = Scene(place, slack, "http")
    try:
        with scene.controller() as first:
            scene.question(first)
            first.stop(signal.SIGKILL)
        with scene.controller() as at:
            url = f"http://127.0.0.1:{at.port}"
            at.until(lambda found: status(found)["last_success_at"] is not None, 90)
            asked = scene.question(at)
            assert (len(slack.parents()), scene.node.done) == (1, [])

            stranger = slack_server.press(url, slack.payload(asked, "netsre.approve", "U0NOONE"))
            assert stranger.status_code == 200
            assert wait_until(lambda: len(slack.whispers) == 1)
            assert slack_server.press(url, slack.payload(asked, "netsre.approve", "U0ANN00")).content == b""
            at.until(lambda _: bool(scene.node.done) and "*Approved* by ann" in asked.shown, 90)

            late = slack_server.press(url, slack.payload(asked, "netsre.deny", "U0BEN00", "0" * 32))
            assert late.status_code == 200
            (parent,) = slack.parents()
            slack_server.press(url, slack.payload(parent, "netsre.take_over", "U0BEN00"))
            at.until(lambda found: state(found) == "undone", 90)
            at.until(lambda _: "*Taken over by ben*" in parent.shown, 90)
            assert [what for what, _ in scene.node.done] == ["apply", "undo"]

            told = numbers(at)
            assert 'netsre_slack_clicks_total{answer="unknown_person"} 1' in told
            assert 'netsre_slack_messages_total{result="done"}' in told
            logs = "".join(one.read_text() for one in place.glob("*.log"))
            secrets = (slack_server.TOKEN, slack_server.SECRET)
            assert not [secret for secret in secrets if secret in logs]
    finally:
        scene.close()


def test_a_run_is_approved_over_a_socket_that_breaks(place: pathlib.Path, slack: Slack) -> None:
    """Each envelope is answered; what is of another app does nothing; a new socket is opened by itself."""
    scene = Scene(place, slack, "socket")
    try:
        with scene.controller() as at:
            asked = scene.question(at)
            at.until(lambda _: slack.connected(), 90)
            slack.sockets[-1].close()
            at.until(lambda _: slack.connected() and len(slack.sockets) > 1, 90)

            foreign = slack.payload(asked, "netsre.approve", "U0ANN00") | {"api_app_id": "A0OTHER"}
            answered = slack.send(foreign, "of another app")
            assert wait_until(lambda: answered in slack.acknowledged)
            assert state(at) == "awaiting_approval"

            pressed = slack.payload(asked, "netsre.approve", "U0ANN00")
            for name in ("first", "again"):
                slack.send(pressed, name)
                assert wait_until(lambda name=name: name in slack.acknowledged)  # type: ignore[misc]
            at.until(lambda _: bool(scene.node.done) and "*Approved* by ann" in asked.shown, 90)
            assert "netsre_slack_socket_connected 1" in numbers(at)
    finally:
        scene.close()


@pytest.mark.parametrize("hangs", [False, True], ids=["away", "hangs"])
def test_an_outage_of_slack_keeps_nothing_else_waiting(
    place: pathlib.Path, slack: Slack, hangs: bool
) -> None:
    """The run acts, the controller is ready, and says what is wrong with Slack; then it is told, once."""
    book = (place / "books" / "asks.yaml").read_text()
    asks = "{mode: propose, by: [sre], timeout: 30m}"
    (place / "books" / "asks.yaml").write_text(book.replace(asks, "{mode: auto}"))
    scene = Scene(place, slack, "http")
    try:
        with scene.controller() as at:
            # Slack is there until it has said whose token it is.
            at.until(lambda _: "auth.test" in slack.calls, 90)
            slack.down = not hangs
            if hangs:
                slack.moving.clear()
            at.until(lambda _: bool(scene.node.done), 90)
            at.until(lambda found: status(found)["problem"] is not None, 90)
            assert at.get("/readyz")["ready"] is True
            slack.down = False
            slack.moving.set()
            at.until(lambda _: bool(slack.replies("verifying")), 180)
            at.until(lambda found: status(found)["problem"] is None, 90)
            assert len(slack.parents()) == 1
    finally:
        scene.close()


def test_the_check_says_what_is_missing(place: pathlib.Path, slack: Slack) -> None:
    """Each thing is tried, and has its next step."""
    scene = Scene(place, slack, "socket")
    scene.close()
    command = (*NETSRE, "slack", "check", "--config", str(place / "controller.yaml"), "--json")
    people = ("--people", str(place / "people.yaml"))

    def run(*more: str) -> tuple[int, dict[str, str]]:
        done = subprocess.run((*command, *more), capture_output=True, text=True, check=False, timeout=120)
        found = json.loads(done.stdout)["checks"]
        return done.returncode, {one["name"]: f"{one['ok']}: {one['detail']}" for one in found}

    code, found = run(*people)
    assert (code, found["token"], found["people"]) == (0, "True: netsre in tests", "True: ann, ben")
    assert found["secrets"] == "True: nobody but the owner of their files reads them"
    assert found["clicks"] == "True: come over a socket, which can be opened"
    assert slack.messages == {}

    slack.troubles += [
        slack_server.Trouble("conversations.history", "not_in_channel"),
        slack_server.Trouble("apps.connections.open", "invalid_auth"),
    ]
    (place / "token").chmod(0o644)
    code, found = run()
    assert code == 1
    assert found["secrets"].startswith(f"False: {place / 'token'} has mode 0644: its group and everybody")
    assert (
        found["channel"] == "False: C0NETSRE: not_in_channel; invite the bot: /invite @netsre in the channel"
    )
    assert found["clicks"].startswith("False: invalid_auth")
    assert found["people"].startswith("False: nobody has an account")
