"""Giving privileges away: proven by a process that did and tries to come back."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from tests.machine import gone, open_directory, wait_until

DROP = """
import ctypes, errno, os, socket, sys
from netsre.app.privileges import drop_to, service_user
drop_to(service_user("nobody"))
"""
LIMIT = """
import errno, os, sys
from netsre.app.privileges import effective_capabilities, limit_capabilities
limit_capabilities(["NET_ADMIN", "CAP_BPF"])
"""


def run(first: str, then: str = "") -> str:
    """Run Python in a process of its own and return what it printed; it must end well."""
    script = first + textwrap.dedent(then)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "attempt",
    [
        "os.setuid(0)",
        "os.setresgid(0, 0, 0)",
        "os.setgroups([0])",
        "os.listdir('/root')",
        "open('/etc/shadow')",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "os.kill(1, 0)",
    ],
)
def test_a_dropped_process_cannot_do_what_root_can(attempt: str) -> None:
    """Each thing that worked before the drop is refused after it."""
    assert run("import os, socket\n", f"{attempt}\nprint('done')") == "done"
    then = f"""
    try:
        {attempt}
    except PermissionError:
        print("refused")
    """
    assert run(DROP, then) == "refused"


@pytest.mark.requires("setpriv")
def test_a_set_user_id_program_gives_nothing_back() -> None:
    """With no_new_privs a set-user-id root program runs as the user who started it."""
    with open_directory() as place:
        program = place / "id"
        program.write_bytes(pathlib.Path("/usr/bin/id").read_bytes())
        program.chmod(0o4755)
        call = f"print(__import__('subprocess').check_output(['{program}', '-u'], text=True).strip())"
        assert run(DROP, call) == "65534"
        # The same program, without no_new_privs, does become root: the claim above is not about the mount.
        plain = ["setpriv", "--reuid", "65534", "--clear-groups", str(program), "-u"]
        assert subprocess.check_output(plain, text=True).strip() == "0"


@pytest.mark.parametrize(
    "change",
    [
        "drop_to(find_user('nobody'))",
        "as_group(65534).__enter__()",
        "with as_group(65534): pass",
        "limit_capabilities(['NET_ADMIN'])",
        "limit_capabilities(['SETGID'])\nwith as_group(65534): pass",
    ],
)
def test_dying_with_the_parent_survives_every_change_of_rights(change: str) -> None:
    """The kernel forgets that wish when user or group change; a child of a killed owner ends all the same."""
    child = (
        "import os\nfrom netsre.adapters.privileges import *\n"
        f"die_with_parent(os.getppid())\n{change}\n"
        "print(os.getpid(), flush=True)\n__import__('time').sleep(60)"
    )
    parent = (
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert pathlib.Path(f"/proc/{pid}").exists()
        process.kill()
        assert wait_until(lambda: gone([pid]))


def test_a_child_whose_parent_is_already_gone_ends_at_once() -> None:
    """The signal would never come any more, so the process ends itself."""
    script = "from netsre.app.privileges import die_with_parent\ndie_with_parent(4194304)\nprint('alive')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")


@pytest.mark.requires("setpriv")
def test_what_cannot_be_given_away_is_named_with_the_way_out() -> None:
    """Without SETPCAP the bounding set stays as it is: nothing is changed, and the line says what to do."""
    script = "from netsre.app.privileges import limit_capabilities\nlimit_capabilities(['BPF'])"
    few = ["setpriv", "--bounding-set", "-all,+bpf,+sys_admin", "--inh-caps", "-all"]
    done = subprocess.run([*few, sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "CAP_SETPCAP is missing, which giving away SYS_ADMIN takes" in done.stderr


def test_limited_root_keeps_only_what_was_named() -> None:
    """Root stays root by name: what is not named is refused, what is named works."""
    assert run(LIMIT, "print(os.getuid(), *sorted(effective_capabilities()))") == "0 BPF NET_ADMIN"
    then = """
    try:
        os.setgroups([])
    except PermissionError:
        print("refused")
    """
    assert run(LIMIT, then) == "refused"
    program = "import subprocess; subprocess.run(['grep', 'CapEff', '/proc/self/status'], check=True)"
    inherited = int(run(LIMIT, program).split()[1], 16)
    assert inherited == 1 << 12 | 1 << 39


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("service_user('no-such-user')", "'no-such-user' does not exist"),
        ("service_user('root')", "never runs as root"),
        (
            "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start(); drop_to(user)",
            "while 2 threads run",
        ),
        ("drop_to(user); drop_to(service_user('daemon'))", "cannot become user 'daemon'"),
    ],
)
def test_what_cannot_be_done_is_one_clear_sentence(script: str, words: str) -> None:
    """An error names the thing, the value and the next step, and nothing was half done."""
    code = f"""
    from netsre.app.privileges import drop_to, service_user
    from netsre.errors import NetsreError
    user = service_user("nobody")
    try:
        {script}
    except NetsreError as error:
        print(error)
    """
    printed = run("", code)
    assert words in printed
    assert "\n" not in printed


def test_this_process_is_still_root() -> None:
    """The claims above were made by other processes: here, the same things still work."""
    assert os.geteuid() == 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
        pass
