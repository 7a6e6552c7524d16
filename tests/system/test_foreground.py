"""Ctrl-C in `make run` reaches netsre itself, and make takes its exit code."""

import os
import pathlib
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.machine import PATIENCE

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
FOREGROUND = CHECKOUT / "tools" / "foreground.py"

PATIENT = """
import os, signal, sys, time
def stop(number, frame):
    os.write(1, b"stopped\\n")
    sys.exit(int(sys.argv[1]))
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(600)
"""


def read_until(descriptor: int, word: bytes) -> bytes:
    """Read from a terminal until a word appears in what was read."""
    text = b""
    deadline = time.monotonic() + PATIENCE
    while word not in text and time.monotonic() < deadline:
        text += os.read(descriptor, 1024)
    return text


@pytest.fixture
def makefile(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a makefile in a directory with a space, whose `run` waits for Ctrl-C and ends with CODE."""
    directory = tmp_path / "a checkout"
    directory.mkdir()
    (directory / "patient.py").write_text(PATIENT)
    (directory / "Makefile").write_text(
        f'run:\n\t@"{sys.executable}" "{FOREGROUND}" "{sys.executable}" patient.py $(CODE)\n'
    )
    return directory


@pytest.mark.parametrize("code", [0, 1])
def test_ctrl_c_at_a_terminal_ends_make_as_the_command_ends(makefile: pathlib.Path, code: int) -> None:
    """The command takes Ctrl-C; make succeeds when it ends well, and fails when it does not."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("make", ["make", "-C", str(makefile), f"CODE={code}"])  # noqa: S606
    assert b"ready" in read_until(terminal, b"ready")

    os.write(terminal, b"\x03")
    said = read_until(terminal, b"stopped")
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    assert b"stopped" in said
    assert (os.waitstatus_to_exitcode(status) == 0) is (code == 0)


def test_a_plain_stop_signal_is_passed_on(makefile: pathlib.Path) -> None:
    """Without a terminal the command replaces the wrapper, so a signal to it is a signal to the command."""
    command = [sys.executable, str(FOREGROUND), sys.executable, "patient.py", "7"]
    with subprocess.Popen(command, cwd=makefile, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=PATIENCE) == 7


def test_a_terminal_of_another_session_is_left_alone(makefile: pathlib.Path) -> None:
    """It is one to look at, and not ours to give: the command runs as it would without any."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        ["make", "-C", str(makefile), "CODE=0"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    assert b"ready" in read_until(ours, b"ready")

    os.killpg(running.pid, signal.SIGTERM)
    said = read_until(ours, b"stopped")
    running.wait(PATIENCE)
    os.close(ours)

    assert b"stopped" in said
    assert b"Traceback" not in said
