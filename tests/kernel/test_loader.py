"""The loader and its parent: whatever one of them does, the other neither waits for ever nor stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netsre.adapters import processes
from netsre.adapters.bpf.session import ProbeUnfit, open_session
from netsre.app.resources import directory

_PROBE = "from netsre.adapters.bpf.session import open_session; import pathlib, sys; "


def _sources(place: Path, text: str) -> Path:
    for name in ("include", "shim"):
        (place / name).symlink_to(directory("bpf") / name)
    (place / "flows.c").write_text(text, encoding="ascii")
    return place


def test_modules_of_the_current_directory_are_not_run_as_root(tmp_path: Path) -> None:
    """Whoever stands in a directory of somebody else must not run that person's code."""
    for name in ("json", "bcc", "socket"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').close()\n", encoding="ascii"
        )
    attach = f"{_PROBE}open_session(pathlib.Path(sys.argv[1])).close()"
    command = [sys.executable, "-P", "-c", attach, str(directory("bpf"))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "ran").exists()


def test_a_compiler_with_much_to_say_is_heard_to_its_end(tmp_path: Path) -> None:
    """More than a pipe holds: the answer still comes, with the reason and the first error."""
    warnings = "#warning much to say, again and again\n" * 4000
    source = _sources(tmp_path, f'#pragma clang diagnostic warning "-W#warnings"\n{warnings}this is not C\n')
    began = time.monotonic()
    with pytest.raises(ProbeUnfit, match="error:") as unfit:
        open_session(source)

    assert unfit.value.reason == "compile_failed"
    assert time.monotonic() - began < 20


def test_a_loader_that_hangs_is_ended_and_named_as_such(tmp_path: Path) -> None:
    """Reading a pipe without a writer never ends; the parent does not wait for it for ever."""
    source = _sources(tmp_path, "")
    (source / "flows.c").unlink()
    os.mkfifo(source / "flows.c")
    with pytest.raises(ProbeUnfit, match="did not answer within 2 s and was ended"):
        open_session(source, timeout=2)


def test_a_loader_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """Killed in the middle of loading, the parent leaves no process behind."""
    source = _sources(tmp_path, "")
    (source / "flows.c").unlink()
    os.mkfifo(source / "flows.c")
    attach = f"{_PROBE}open_session(pathlib.Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", attach, str(source)]) as parent:
        loader = _wait_for_loader(parent.pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while processes.start_time(loader) is not None and time.monotonic() < deadline:
        time.sleep(0.05)

    assert processes.start_time(loader) is None


def _wait_for_loader(parent: int) -> int:
    """Return the loader's pid once it runs its own module: it asks for its parent's end first of all."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for pid in children.read_text(encoding="ascii").split():
            # Blocked in opening the pipe: everything before that is done.
            if "wait_for_partner" in Path(f"/proc/{pid}/stack").read_text(encoding="ascii"):
                return int(pid)
        time.sleep(0.05)
    raise AssertionError("the loader did not come up")
