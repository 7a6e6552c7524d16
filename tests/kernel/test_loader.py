"""The loader and its parent: whatever one of them does, the other neither waits for ever nor stays behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netsre.adapters.bpf import prefilter
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.session import Session, open_session, open_sessions
from netsre.app.resources import directory
from netsre.datapath.probes import FLOWS, PROBES, SERVICES, Probe
from tests.machine import PATIENCE, gone, wait_until

_PROBE = "from netsre.adapters.bpf.session import open_session; import pathlib, sys; "


def _sources(place: Path, text: str) -> Path:
    for name in ("include", "shim", *FLOWS.shared):
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
    with pytest.raises(ProbeUnfit, match="error:") as unfit:
        open_session(source)

    assert unfit.value.reason == "compile_failed"


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

    assert wait_until(lambda: gone([loader]))


def _wait_for_loader(parent: int) -> int:
    """Return the loader's pid once it runs its own module: it asks for its parent's end first of all."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for pid in children.read_text(encoding="ascii").split():
            # Blocked in opening the pipe: everything before that is done.
            if "wait_for_partner" in Path(f"/proc/{pid}/stack").read_text(encoding="ascii"):
                return int(pid)
        time.sleep(0.05)
    raise AssertionError("the loader did not come up")


def _with(place: Path, name: str, old: str, new: str) -> Path:
    """Copy every source, with one text in one of them replaced."""
    shutil.copytree(directory("bpf"), place, dirs_exist_ok=True)
    text = (place / name).read_text(encoding="ascii")
    assert old in text
    (place / name).write_text(text.replace(old, new, 1), encoding="ascii")
    return place


_DAMAGE = {
    # No C.
    "compile_failed": ("\nint {function}(", "\nthis is not C {function}("),
    # A loop without an end that the verifier could see.
    "load_failed": ("{return}", "	for (;;)\n		bpf_ktime_get_ns();\n}\n"),
}


@pytest.mark.parametrize("reason", _DAMAGE)
@pytest.mark.parametrize("broken", PROBES, ids=lambda probe: probe.name)
def test_a_probe_that_is_broken_leaves_the_others_attached(
    tmp_path: Path, broken: Probe, reason: str
) -> None:
    """All are compiled as one text; what is wrong with one of them is said of that one alone."""
    function = broken.programs[0].function
    ends = "	return SERVICE_GO_ON;\n}\n" if broken is SERVICES else "	return 0;\n}\n"
    old, new = (text.replace("{function}", function).replace("{return}", ends) for text in _DAMAGE[reason])
    opened = open_sessions(_with(tmp_path, broken.source, old, new))
    up = {name for name, session in opened.items() if isinstance(session, Session)}
    programs = [len(session.program_fds) for session in opened.values() if isinstance(session, Session)]
    for session in opened.values():
        if isinstance(session, Session):
            assert bool(session.attached) is not session.probe.on_demand
            session.close()

    assert up == {probe.name for probe in PROBES} - {broken.name}
    assert sum(programs) == sum(len(probe.programs) for probe in PROBES if probe is not broken)
    unfit = opened[broken.name]
    assert isinstance(unfit, ProbeUnfit)
    assert unfit.reason == reason
    assert broken.source in str(unfit) or broken.name in str(unfit)


_COMPILE = """
import pathlib, sys
from netsre.adapters.bpf.compiling import compile_files
source, *names = sys.argv[2:]
made = compile_files(pathlib.Path(source), names, {}, pathlib.Path(sys.argv[1]))
print("compiled" if "bcc" in sys.modules else "kept", hash((*made.maps.items(), *made.functions.items())))
"""


def test_what_was_compiled_is_the_same_without_a_compiler(tmp_path: Path) -> None:
    """Kept for the next start, until anything of its text changes, also of a header."""
    source = shutil.copytree(directory("bpf"), tmp_path / "bpf")

    def said() -> list[str]:
        command = [sys.executable, "-c", _COMPILE, str(tmp_path / "kept"), str(source), *prefilter.SOURCES]
        environment = {"PYTHONHASHSEED": "0", "BCC_KERNEL_SOURCE": str(source / "shim")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    first, again = said(), said()
    header = source / "include" / "prefilter.h"
    header.write_text(header.read_text(encoding="ascii") + "\n", encoding="ascii")
    changed = said()

    assert [each for each, _ in (first, again, changed)] == ["compiled", "kept", "compiled"]
    assert first[1] == again[1] == changed[1]


_TYPES = Path("/sys/kernel/btf/vmlinux")
_OPEN_ALL = """
import json, pathlib, sys
from netsre.adapters.bpf import prefilter
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.session import open_sessions
opened = open_sessions(pathlib.Path(sys.argv[1]))
print(json.dumps({n: f"{s.reason}: {s}" if isinstance(s, ProbeUnfit) else "" for n, s in opened.items()}))
"""


@pytest.mark.requires("unshare")
@pytest.mark.parametrize(
    ("tracepoint", "down"),
    [
        ("inet_sock_set_state", {"flows", "tcp"}),
        ("tcp_send_reset", {"flows", "tcp"}),
        ("tcp_retransmit_synack", {"tcp"}),
        ("kfree_skb", {"drops"}),
    ],
)
def test_a_tracepoint_that_a_kernel_lacks_takes_down_only_who_needs_it(
    tmp_path: Path, tracepoint: str, down: set[str]
) -> None:
    """With type information from which it is missing, as that of an older kernel."""
    told = _TYPES.read_bytes()
    named = f"\0btf_trace_{tracepoint}\0".encode()
    assert told.count(named) == 1
    (tmp_path / "types").write_bytes(told.replace(named, named.replace(b"btf_trace_", b"btf_tracE_")))
    command = f'mount --bind "{tmp_path}/types" {_TYPES} && exec "$0" -c "$1" "$2"'
    inside = ["unshare", "--mount", "sh", "-c", command]
    done = subprocess.run(
        [*inside, sys.executable, _OPEN_ALL, str(directory("bpf"))],
        capture_output=True,
        text=True,
        check=True,
    )

    said = json.loads(done.stdout)
    assert {name for name, complaint in said.items() if complaint} == down
    for name in down:
        assert said[name].startswith("unknown_layout: ")
        assert tracepoint in said[name]
    assert said.keys() == {probe.name for probe in PROBES}
