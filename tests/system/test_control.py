"""Commands over a unix socket: who is heard, what is answered, and what a client makes of an answer."""

import contextlib
import pathlib
import socket
import threading
from collections.abc import Iterator

import pytest

from netsre.adapters.control import ControlRefused, ControlServer, ControlUnreachable, Handler, call, listen
from netsre.adapters.control.node import AgentNode, NoNode
from netsre.adapters.privileges import as_group
from netsre.clock import Timestamp, boottime
from netsre.errors import EnvironmentUnfit
from netsre.model.documents import Document
from netsre.model.effects import (
    Block,
    Enforcement,
    InForce,
    Limit,
    LimitFacts,
    ModeFacts,
    RevisionFacts,
    Route,
    SourceCount,
    Standing,
    StateCount,
    Table,
)
from netsre.runbook.actions.contract import Node, NodeRefused, NodeUnreachable
from tests.machine import wait_until

LIMIT = Limit(1, 2, 1000)


@contextlib.contextmanager
def serving(path: pathlib.Path, **handlers: Handler) -> Iterator[pathlib.Path]:
    """Serve commands as the user who runs the test."""
    server = ControlServer(path, handlers, {pathlib.Path("/proc/self").stat().st_uid})
    try:
        yield path
    finally:
        server.close()


def test_an_answer_comes_back_and_a_refusal_with_its_word(tmp_path: pathlib.Path) -> None:
    """What a handler returns or refuses is what the caller gets; its mistake is told and ends nothing."""

    def refuse(command: Document) -> Document:
        raise ControlRefused("no", f"not {command['what']}")

    def fail(command: Document) -> Document:
        raise ZeroDivisionError(str(command))

    with serving(tmp_path / "s", echo=lambda command: command, refuse=refuse, fail=fail) as path:
        assert call(path, {"do": "echo", "ä": [1, None]}, 5) == {"do": "echo", "ä": [1, None]}
        for command, reason in (("refuse", "no"), ("fail", "internal_error"), ("nothing", "unknown_command")):
            with pytest.raises(ControlRefused) as refusal:
                call(path, {"do": command, "what": "that"}, 5)
            assert refusal.value.reason == reason
        assert call(path, {"do": "echo"}, 5) == {"do": "echo"}
    assert not (tmp_path / "s").exists()


def test_who_is_not_allowed_is_not_heard(tmp_path: pathlib.Path) -> None:
    """The kernel says who asks; no command is even read."""
    asked: list[Document] = []

    def note(command: Document) -> Document:
        asked.append(command)
        return {}

    server = ControlServer(tmp_path / "s", {"do": note}, {4294967294})
    try:
        with pytest.raises(ControlRefused) as refusal:
            call(tmp_path / "s", {"do": "do"}, 5)
    finally:
        server.close()
    assert (refusal.value.reason, asked) == ("not_allowed", [])


def test_a_refusal_that_came_first_is_heard(tmp_path: pathlib.Path) -> None:
    """Who may not ask is told so before the command is read: the other end may be gone when it is sent."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def refuse() -> None:
        channel, _ = listener.accept()
        channel.sendall(b'{"refused": "not_allowed", "message": "no"}\n')
        channel.close()

    with listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        # More than a socket takes at once: some of it is sent when the other end is gone for certain.
        with pytest.raises(ControlRefused, match="no"):
            call(tmp_path / "s", {"do": "x" * 1_000_000}, 5)
        thread.join()


def test_nobody_there_and_no_answer_are_told_apart(tmp_path: pathlib.Path) -> None:
    """A command that never left is known not to be carried out."""
    with pytest.raises(ControlUnreachable) as absent:
        call(tmp_path / "s", {"do": "x"}, 5)
    released = threading.Event()
    with serving(tmp_path / "s", wait=lambda _: {"waited": released.wait(10)}) as path:
        with pytest.raises(ControlUnreachable) as silent:
            call(path, {"do": "wait"}, 0.1)
        released.set()
    assert (absent.value.sent, silent.value.sent) == (False, True)


def test_a_crowd_is_turned_away_and_leaves_room_when_it_goes(tmp_path: pathlib.Path) -> None:
    """Clients that say nothing take every place; the next is cut off at once, and served after them."""
    with serving(tmp_path / "s", echo=lambda command: command) as path:
        with contextlib.ExitStack() as stack:
            for _ in range(16):
                stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
            with pytest.raises(ControlUnreachable):
                call(path, {"do": "echo"}, 5)

        def answered() -> bool:
            with contextlib.suppress(ControlUnreachable):
                return call(path, {"do": "echo"}, 5) == {"do": "echo"}
            return False

        assert wait_until(answered)


@pytest.mark.requires("root")
def test_a_socket_is_made_with_its_rights_and_takes_a_dead_ones_place(tmp_path: pathlib.Path) -> None:
    """For its owner, or for a group as well, whatever the mask; and nothing else is touched."""
    for group, mode in ((None, 0o600), (65534, 0o660)):
        with as_group(group), listen(tmp_path / "s", shared=group is not None):
            status = (tmp_path / "s").stat()
            assert (status.st_mode & 0o777, status.st_gid) == (mode, group or 0)
    (tmp_path / "precious").write_text("secret")
    (tmp_path / "s").unlink()
    (tmp_path / "s").symlink_to(tmp_path / "precious")
    with (
        as_group(65534),
        pytest.raises(EnvironmentUnfit, match="something else has that name"),
    ):
        listen(tmp_path / "s", shared=True)
    assert (tmp_path / "precious").stat().st_gid == 0
    assert (tmp_path / "precious").read_text() == "secret"
    with pytest.raises(EnvironmentUnfit, match="too long"):
        listen(tmp_path / ("x" * 200))


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_keeps_its_place(tmp_path: pathlib.Path, kind: str) -> None:
    """A slip of the pen must not cost a file."""
    path, kept = tmp_path / "s", tmp_path / "kept"
    kept.write_text("precious")
    match kind:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to(kept)

    with pytest.raises(EnvironmentUnfit, match="something else has that name; choose another"):
        listen(path)

    assert path.is_dir() or path.read_text() == "precious"


def test_a_socket_that_is_served_is_not_taken_away(tmp_path: pathlib.Path) -> None:
    """A second agent by mistake leaves the first one its commands."""
    with serving(tmp_path / "s", echo=lambda command: command) as path:
        with pytest.raises(EnvironmentUnfit, match="is served by another process"):
            listen(path)
        assert call(path, {"do": "echo"}, 5) == {"do": "echo"}


def test_the_node_says_what_the_agent_says(tmp_path: pathlib.Path) -> None:
    """Every question arrives with what it is about, and its answer comes back as a value."""
    asked: list[Document] = []

    def answering(answer: Document) -> Handler:
        def handler(command: Document) -> Document:
            asked.append(command)
            return answer

        return handler

    source: Document = {"source": "192.0.2.1", "entries": 7}
    state: Document = {"state": "tcp_syn_sent", "entries": 8}
    strict: Document = {"now": "enforce", "lasting": "enforce", "ends": False, "enforced": True}
    block = Block("srv", "eth0", "192.0.2.1", 1000)
    written: Document = {"kind": "limit", "before": 1, "after": 2, "ttl": 1000}
    answers: dict[str, Document] = {
        "table": {"netns": "srv", "entries": 9, "limit": 10, "sources": [source], "states": [state]},
        "route": {"interface": "eth0", "protected": ""},
        "limit": {"limit": 10, "most": 20},
        "enforcement": {
            "mode": strict,
            "revision": {"number": 7, "digest": "a"},
            "earlier": None,
            "on_trial": False,
            "stricter": "",
            "programs": "b",
            "kept_programs": "c",
            "programs_age": 60_000,
        },
        "prefilter": strict,
        "apply": {"until": 5},
        "look": {"standing": "ended"},
        "undo": {"undone": True},
        "effects": {"effects": [{"key": "r/1", "effect": written, "until": 5}]},
    }
    began = boottime()
    with serving(tmp_path / "s", **{name: answering(answer) for name, answer in answers.items()}) as path:
        node: Node = AgentNode(path)
        counts = (SourceCount("192.0.2.1", 7),), (StateCount("tcp_syn_sent", 8),)
        assert node.table("srv") == Table("srv", 9, 10, *counts)
        assert node.route("srv", "192.0.2.1") == Route("eth0", "")
        assert node.limit() == LimitFacts(10, 20)
        mode = ModeFacts("enforce", "enforce", ends=False, enforced=True)
        expected = Enforcement(
            mode,
            RevisionFacts(7, "a"),
            None,
            on_trial=False,
            programs="b",
            kept_programs="c",
            programs_age=60_000,
        )
        assert node.enforcement("a/b") == expected
        assert node.prefilter() == mode
        assert node.apply("r/1", block) == {"until": 5}
        assert node.look("r/1", LIMIT) is Standing.ENDED
        assert node.undo("r/1", LIMIT) == {"undone": True}
        assert node.effects() == (InForce("r/1", LIMIT, Timestamp(5)),)
    assert asked[1] == {"do": "route", "netns": "srv", "source": "192.0.2.1"}
    assert asked[3] == {"do": "enforcement", "endpoint": "a/b"}
    assert asked[6] == {"do": "look", "key": "r/1", "effect": written, "deadline": asked[6]["deadline"]}
    deadlines = [int(str(command["deadline"])) for command in asked if "key" in command]
    assert deadlines == sorted(deadlines), "what is asked later has the later deadline"
    assert all(began < at < boottime() + 6 * 10**9 for at in deadlines)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"standing": "perhaps"},
        {"netns": "srv", "entries": True, "limit": 1, "sources": [], "states": []},
        {"netns": "srv", "entries": 1, "limit": 1, "sources": [7], "states": []},
        {"netns": "srv", "entries": 1, "limit": 1, "sources": [], "states": [{"state": 7, "entries": 1}]},
        {"limit": "7", "most": 1},
        {"effects": [{"key": "r/1", "effect": {"kind": "rm"}, "until": 1}]},
        {"effects": {}},
        {"now": "enforce", "lasting": "enforce", "ends": 0, "enforced": True},
        {"mode": [], "revision": {"number": 7, "digest": "a"}, "earlier": None, "on_trial": False},
    ],
)
def test_an_answer_that_is_nonsense_is_none(tmp_path: pathlib.Path, answer: Document) -> None:
    """Whether anything was done is then not known, and that is what the caller hears."""
    names = ("table", "route", "limit", "enforcement", "prefilter", "look", "effects")
    with serving(tmp_path / "s", **dict.fromkeys(names, lambda _: answer)) as path:
        node = AgentNode(path)
        for ask in (
            lambda: node.table("srv"),
            lambda: node.route("srv", "x"),
            node.limit,
            lambda: node.enforcement("a/b"),
            node.prefilter,
            lambda: node.look("r/1", LIMIT),
            node.effects,
        ):
            with pytest.raises(NodeUnreachable):
                ask()


def test_a_refusal_and_a_silence_of_the_agent_are_the_nodes(tmp_path: pathlib.Path) -> None:
    """The word of a refusal stays; without an agent the node cannot be reached."""

    def refuse(command: Document) -> Document:
        raise ControlRefused("changed", str(command))

    with serving(tmp_path / "s", apply=refuse) as path, pytest.raises(NodeRefused) as refusal:
        AgentNode(path).apply("r/1", LIMIT)
    assert refusal.value.reason == "changed"
    with pytest.raises(NodeUnreachable, match="does not answer"):
        AgentNode(tmp_path / "s").limit()


@pytest.mark.parametrize("word", ["too_late", "busy"])
def test_a_command_that_came_at_a_bad_time_is_as_good_as_unheard(tmp_path: pathlib.Path, word: str) -> None:
    """The agent did nothing, and nobody decided against it: whoever asked looks, and may ask again."""

    def refuse(command: Document) -> Document:
        raise ControlRefused(word, str(command["key"]))

    with serving(tmp_path / "s", apply=refuse, undo=refuse) as path:
        for ask in (AgentNode(path).apply, AgentNode(path).undo):
            with pytest.raises(NodeUnreachable, match="r/1"):
                ask("r/1", LIMIT)


def test_without_an_agent_everything_is_refused() -> None:
    """With one word, and the option that would change it."""
    node: Node = NoNode()
    for ask in (
        lambda: node.table("srv"),
        lambda: node.route("srv", "x"),
        node.limit,
        lambda: node.enforcement("a/b"),
        node.prefilter,
        lambda: node.apply("r/1", LIMIT),
        lambda: node.look("r/1", LIMIT),
        lambda: node.undo("r/1", LIMIT),
        node.effects,
    ):
        with pytest.raises(NodeRefused, match="--control") as refusal:
            ask()
        assert refusal.value.reason == "no_agent_control"
