"""`netsre top` in a terminal and in a pipe: what is seen, what keys do, and how the terminal is left."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from rich.cells import cell_len

from netsre import conventions as c
from netsre.adapters import processes
from netsre.app.top.frame import MEASURING
from netsre.app.top.views import NAMES
from tests.machine import free_port, wait_until
from tests.system.top_terminal import Terminal, terminal
from tests.unit.app.top_readings import flow, histogram, line, probes

ENDS = {"direction": "egress", "src": "a", "dst": "b", "protocol": "tcp"}


def page(number: int) -> str:
    """Return the page that an agent serves when it is asked for the so manyth time."""
    text = line(c.PROCESS_START_TIME, 1_767_225_600) + line(c.PROCESS_CPU, 0.01 * number)
    text += line(c.PROCESS_RSS, 40 << 20) + probes(("flows", "tcp", "drops", "maps"))
    for index in range(40):
        text += flow("delivered", (index + 1) * number, src=f"client-{index:02}")
    text += flow("failed", 1_000 * number, "refused", src="client-39")
    text += histogram(c.FLOW_CONNECT_SECONDS, {"0.00025": 9 * number, "+Inf": 9 * number}, **ENDS)
    text += line(c.TCP_RETRANSMITS, number, kind="data", **ENDS)
    text += line(c.CONNTRACK_ENTRIES, 900, table="kernel", netns="host")
    text += line(c.DROPS, number, hook="kernel", reason="no_socket", rule="", netns="host\x1b[2J")
    text += line(c.BPF_MAP_MEMORY, 9_000, map="attempts", owner="netsre")
    return text + line(c.BPF_RUNS, number, program="netsre_flows")


@contextlib.contextmanager
def agent(port: int) -> Iterator[str]:
    """Serve such pages on a port; yields the address."""
    asked = 0

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal asked
            asked += 1
            body = page(asked).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def address() -> Iterator[str]:
    """Serve the pages of an agent for one test."""
    with agent(free_port()) as address:
        yield address


@pytest.fixture
def shown(address: str, tmp_path: pathlib.Path) -> Iterator[Terminal]:
    """Show them in a terminal, and wait until there are numbers."""
    with terminal(tmp_path, "--agent", address, "--interval", "1") as running:
        running.see_text(MEASURING)
        running.see_text("client-39 → b")
        yield running


def piped(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    command = [sys.executable, "-P", "-m", "netsre", "top", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_each_view_fits_a_usual_terminal(shown: Terminal) -> None:
    """Twenty-four lines of eighty columns, with the keys in the last one."""
    for key, text in zip("12345", ("att/s", "synack", "insf/s", "packets/s", "ns/run"), strict=True):
        shown.type(key)
        lines = shown.see_text(text)

        assert len(lines) == 24
        assert max(map(cell_len, lines)) <= 80
        assert f"[{key} {NAMES[int(key) - 1]}]" in lines[0]
        assert lines[-1].startswith("q quit")
    assert "\x1b[2J" not in shown.written


def test_keys_sort_filter_scroll_and_explain(shown: Terminal) -> None:
    """One after the other, as somebody types them."""
    assert "client-39" in shown.screen[4]
    shown.type("r")
    shown.see(lambda: "→" in shown.screen[4] and "client-39" not in shown.screen[4], "the other end")
    shown.type("\x1b[F")
    shown.see(lambda: "client-39" in shown.screen[-2], "the last row")
    shown.type("/client-07\r")
    shown.see(lambda: "client-07" in shown.screen[4] and shown.screen[5].strip() == "", "one row")
    shown.type("\x1b")
    shown.see_text("more below")
    shown.type("?")
    shown.see_text("scroll; Home and End too")
    shown.type(" p")
    shown.see_text("PAUSED")
    before = shown.screen[1]
    shown.type("p")
    shown.see(lambda: shown.screen[1] != before, "new numbers")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda shown: shown.type("q"), 0),
        (lambda shown: shown.type("\x03"), 0),
        (lambda shown: os.kill(shown.pid, signal.SIGTERM), 128 + signal.SIGTERM),
        (lambda shown: os.kill(shown.pid, signal.SIGHUP), 128 + signal.SIGHUP),
    ],
    ids=["q", "ctrl-c", "sigterm", "sighup"],
)
def test_the_terminal_is_left_as_it_was(shown: Terminal, end: Callable[[Terminal], None], code: int) -> None:
    """The shell has its own screen, cursor and modes again, and nothing is left on it."""
    shown.see(lambda: shown.is_taken, "its own screen")
    end(shown)

    result = shown.end()
    assert (result["code"], result["restored"]) == (code, True)
    assert not shown.is_taken
    assert shown.written.endswith("\x1b[?1049l")
    assert shown.written.rfind("\x1b[?25h") > shown.written.rfind("\x1b[?25l")


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(address: str, tmp_path: pathlib.Path) -> None:
    """A shell that is used meanwhile works as ever."""
    with terminal(tmp_path, "--agent", address, "--interval", "1") as shown:
        before = shown.modes
        shown.see_text("client-39 → b")
        assert shown.modes != before
        shown.type("\x1a")
        shown.see(lambda: not shown.is_taken, "the screen of the shell")
        assert wait_until(lambda: state_of(shown.pid) == "T")
        assert shown.modes == before

        os.kill(shown.pid, signal.SIGCONT)
        shown.see(lambda: shown.is_taken, "its own screen")
        shown.type("2")
        shown.see_text("[2 tcp]")
        shown.type("q")
        assert shown.end()["restored"]


def state_of(pid: int) -> str:
    """Return the letter of what a process does."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def test_another_size_is_drawn_at_once(shown: Terminal) -> None:
    """Fewer columns and lines, and more of them again."""
    for columns, lines in ((60, 12), (100, 30)):
        shown.resize(columns, lines)
        shown.see(lambda lines=lines: len(shown.screen) == lines, f"{lines} lines")  # type: ignore[misc]
        assert max(map(cell_len, shown.screen)) <= columns
        assert ("deny/s" in shown.screen[3]) is (columns > 60)


def test_an_agent_that_ends_is_waited_for(tmp_path: pathlib.Path) -> None:
    """The last numbers stay, as old ones, and give way to new ones."""
    port = free_port()
    with contextlib.ExitStack() as serving:
        address = serving.enter_context(agent(port))
        with terminal(tmp_path, "--agent", address, "--interval", "1") as shown:
            shown.see_text("client-39 → b")
            serving.close()
            lines = shown.see_text("OLD")
            assert re.match(
                r"agent does not answer since \d\d:\d\d:\d\d UTC; these numbers are OLD", lines[1]
            )
            # The head of a picture arrives before the rest of it.
            shown.see_text("client-39 → b")

            serving.enter_context(agent(port))
            shown.see(lambda: "probes up" in shown.screen[1], "an answer")
            shown.type("q")
            assert shown.end()["restored"]


def test_a_terminal_that_goes_away_takes_the_command_along(shown: Terminal) -> None:
    """A window that is closed leaves no process behind."""
    pid = shown.pid
    started = processes.start_time(pid)
    os.close(shown.descriptor)

    assert started is not None
    assert wait_until(lambda: processes.start_time(pid) != started)


def test_without_a_terminal_one_reading_is_printed(address: str) -> None:
    """For a pipe: every row, no colour, no control character."""
    done = piped("--agent", address, "--interval", "1s", "--filter", "client-3")

    assert done.returncode == 0, done.stderr
    assert done.stderr == "measuring for 1 s\n"
    assert len([row for row in done.stdout.splitlines() if "→ b" in row]) == 10
    assert all(character.isprintable() or character == "\n" for character in done.stdout)


@pytest.mark.parametrize("view", NAMES)
def test_a_program_gets_one_document(address: str, view: str) -> None:
    """And nothing else on its stdout."""
    done = piped("--agent", address, "--interval", "1", "--json", "--view", view)
    document = json.loads(done.stdout)

    assert (done.returncode, document["view"], document["agent"]) == (0, view, address)
    assert document["seconds"] >= 1
    if view == "flows":
        (busiest,) = [row for row in document["flows"] if row["src"] == "client-39"]
        assert (busiest["attempts"], busiest["failed"], busiest["reason"]) == (1_040, 1_000, "refused")


def test_an_agent_that_cannot_be_reached_is_one_line() -> None:
    """At the start there is nothing to show: what was asked, why not, and what to do."""
    address = f"http://127.0.0.1:{free_port()}"
    done = piped("--agent", address)

    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert address in done.stderr
    assert "--agent" in done.stderr


@pytest.mark.parametrize("interval", ["0", "61", "0.5", "fast", "500ms"])
def test_an_interval_that_cannot_be_is_refused(interval: str) -> None:
    """Neither a load for the agent nor a screen that stands still."""
    done = piped("--interval", interval)

    assert (done.returncode, done.stdout) == (2, "")
    assert "--interval" in done.stderr
