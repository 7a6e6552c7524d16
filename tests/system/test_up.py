"""`netsre up --lab`: live numbers from real connections, and a node left as it was."""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

import netsre
from netsre.adapters import namespaces, processes
from netsre.adapters.control.node import AgentNode
from netsre.adapters.exposition import protobuf
from netsre.app.effects import ledger, orphans
from netsre.clock import MINUTE, boottime
from netsre.model.effects import Limit
from netsre.runbook.actions.contract import NodeUnreachable
from tests.machine import PATIENCE, alone_with_limit, free_port, gone, open_directory, wait_until
from tests.system.up_process import START_SECONDS, Up, command, up

pytestmark = pytest.mark.requires("root", "bpf", "btf", "bcc", "netns")

LIVE = r"^\S+Z flow-success\S*\s.*sli \d.* events (?!0 )[\d,]+ "
"""A line of the log with a measured share of a number of real connections."""


@pytest.fixture
def data_dir() -> Iterator[pathlib.Path]:
    """Yield a place for a data directory that the service user can reach."""
    with open_directory() as parent:
        yield parent / "data"


def get(port: int, path: str) -> tuple[int, str]:
    """Ask a local server for one path."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def live(running: Up) -> None:
    """Wait until it knows of real connections, which is sooner than it says so."""
    running.wait_for(r"^stop: ")
    assert wait_until(lambda: _counts(running), START_SECONDS), running.printed


def _counts(running: Up) -> bool:
    levels: list[dict[str, Any]] = json.loads(get(running.listen, "/api/v1/slos")[1])["slos"]
    return any(level["total"] for level in levels if level["name"] == "flow-success")


def uid(pid: int) -> int:
    """Return the effective user of a process."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Uid:")).split()[2])


def ours(running: Up) -> list[str]:
    """Return the namespaces that this very `up` made."""
    return [name for name in namespaces.names() if f"-{running.process.pid}-" in name]


def parts(running: Up) -> list[int]:
    """Return the process ids of all five children."""
    names = ("agent", "controller", "lab-server", "lab-client-a", "lab-client-b")
    return [running.pid(name) for name in names]


def test_live_numbers_appear_and_an_orderly_stop_leaves_nothing(data_dir: pathlib.Path) -> None:
    """Page, API and log show real connections; after Ctrl-C only the data directory is left, and said so."""
    with up(data_dir) as running:
        running.wait_for(LIVE)
        status, page = get(running.listen, "/")
        assert (status, "<html" in page) == (200, True)
        levels: dict[str, Any] = json.loads(get(running.listen, "/api/v1/slos")[1])
        assert {"flow-success", "conntrack-headroom"} <= {level["name"] for level in levels["slos"]}
        assert f"http://127.0.0.1:{running.listen}/" in running.printed
        # Of this lab alone: elsewhere on the machine others may fail on purpose meanwhile.
        text = get(running.agent_listen, "/metrics")[1]
        counted = [line for line in text.splitlines() if f"netsre-lab-{running.process.pid}-" in line]
        assert any('outcome="delivered"' in line for line in counted)
        assert not [line for line in counted if 'outcome="failed"' in line]
        children = parts(running)
        assert [uid(pid) == 0 for pid in children] == [True, False, False, False, False]
        assert len(ours(running)) == 3
        running.stop()
        assert gone(children)
        assert ours(running) == []
        assert "removing the lab" in running.printed
        assert f"kept: {data_dir}" in running.printed
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert data_dir.stat().st_uid != 0


def test_after_kill_9_the_children_end_and_the_next_start_removes_the_rest(data_dir: pathlib.Path) -> None:
    """No child outlives its parent; the next `up` names and removes the namespaces, and keeps the data."""
    with up(data_dir) as killed:
        live(killed)
        children, left = parts(killed), ours(killed)
        killed.process.kill()
        killed.process.wait()
        assert wait_until(lambda: gone(children))
        assert ours(killed) == left
        with up(data_dir) as following:
            live(following)
            assert all(f"removed: namespace {name}" in following.printed for name in left)
            assert ours(killed) == []
            following.stop()


def test_what_still_holds_the_ports_after_kill_9_is_removed_by_the_next_start(data_dir: pathlib.Path) -> None:
    """A part that hangs hears no SIGTERM and keeps its port: the next `up` there ends it and says so."""
    with up(data_dir) as killed:
        agent = killed.pid("agent")
        os.kill(agent, signal.SIGSTOP)
        killed.process.kill()
        killed.process.wait()
        assert processes.listener(killed.agent_listen) == agent
        with up(data_dir, ports=(killed.listen, killed.agent_listen)) as following:
            following.wait_for(rf"^left by an earlier run and removed: process \S+-agent \(pid {agent} ")
            live(following)
            assert gone([agent])
            following.stop()


def test_the_agent_takes_commands_and_does_so_again_after_kill_9(data_dir: pathlib.Path) -> None:
    """Its socket lies in a directory of this `up`, is there again with the next agent, and goes with `up`."""
    with up(data_dir) as running:
        live(running)
        (place,) = pathlib.Path("/run/netsre").glob(f"netsre-up-{running.process.pid}-*")
        assert (place.stat().st_mode & 0o777, place.stat().st_uid != 0) == (0o700, True)
        server = next(name for name in ours(running) if name.endswith("-srv"))
        node = AgentNode(place / "agent.sock")
        assert node.table(server).entries > 0
        os.kill(running.pid("agent"), signal.SIGKILL)
        running.wait_for(r"^agent: started again, pid (\d+)$")
        assert wait_until(lambda: answers(node))
        assert node.table(server).entries > 0
        running.stop()
        assert not place.exists()


@contextlib.contextmanager
def sweeping() -> Iterator[None]:
    """Have another process of this host end all the time what agents have left that are gone."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.002):
            orphans.end_orphans(ledger.DIRECTORY, boottime())

    thread = threading.Thread(target=work, name="sweeping")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_what_a_hanging_agent_has_in_force_is_ended_by_its_parent(data_dir: pathlib.Path) -> None:
    """An agent that does not hear Ctrl-C is killed, and the limit that it raised is put back all the same.

    By nobody else: an agent that another one starts beside it would go on with what it finds in force.
    """
    with alone_with_limit() as file:
        before = int(file.read_text())
        limit = Limit(before, before + 16, MINUTE)
        try:
            with up(data_dir) as running:
                live(running)
                (place,) = pathlib.Path("/run/netsre").glob(f"netsre-up-{running.process.pid}-*")
                AgentNode(place / "agent.sock").apply(f"test-{running.process.pid}/1", limit)
                assert int(file.read_text()) == limit.after
                os.kill(running.pid("agent"), signal.SIGSTOP)
                with sweeping():
                    running.stop()
                put_back = f"ended: limit nf_conntrack_max={before} (put back from {limit.after}"
                assert put_back in running.printed, running.printed
            assert int(file.read_text()) == before
        finally:
            if int(file.read_text()) == limit.after:
                file.write_text(str(before))


def answers(node: AgentNode) -> bool:
    """Say whether an agent can be asked."""
    try:
        return node.limit().limit > 0
    except NodeUnreachable:
        return False


def test_a_part_that_dies_is_started_again_beside_the_others(data_dir: pathlib.Path) -> None:
    """One line says who ended and how; a new one takes over, and the others are still the same processes."""
    with up(data_dir) as running:
        live(running)
        every = set(parts(running))
        for part in ("agent", "controller", "lab-server"):
            before = parts(running)
            os.kill(running.pid(part), signal.SIGKILL)
            running.wait_for(rf"^{part} \(pid \d+\) ended: signal SIGKILL.*starting it again in 1 s$")
            again = running.wait_for(rf"^{part}: started again, pid (\d+)$")
            running.wait_for(LIVE, after=again.end())
            after = parts(running)
            assert sum(old == new for old, new in zip(before, after, strict=True)) == 4, part
            every.update(after)
        running.stop()
        assert gone(every)


def test_parts_that_are_killed_before_they_are_ready_are_started_again(data_dir: pathlib.Path) -> None:
    """They did not end by themselves, so the start goes on with others."""
    with up(data_dir) as running:
        for part in ("agent", "controller"):
            wait_until(lambda part=part: _child(running, part) is not None)  # type: ignore[misc]
            os.kill(_child(running, part) or 0, signal.SIGKILL)
            running.wait_for(rf"^{part} \(pid \d+\) ended: signal SIGKILL.*starting it again in 1 s$")
        live(running)
        running.stop()


def _child(running: Up, part: str) -> int | None:
    """Return the pid of a child by its command; None before it is there."""
    pid = running.process.pid
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        with contextlib.suppress(OSError):
            if part in pathlib.Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0"):
                return int(child)
    return None


def test_a_part_that_hangs_is_ended_and_started_again(data_dir: pathlib.Path) -> None:
    """An agent that runs and does not answer is noticed and replaced."""
    with up(data_dir) as running:
        live(running)
        os.kill(running.pid("agent"), signal.SIGSTOP)
        running.wait_for(r"^agent \(pid \d+\) has not answered")
        again = running.wait_for(r"^agent: started again")
        running.wait_for(LIVE, after=again.end())
        running.stop()


def test_a_second_ctrl_c_is_still_clean(data_dir: pathlib.Path) -> None:
    """A part that does not hear SIGTERM delays the stop; asking again leaves neither it nor a namespace."""
    with up(data_dir) as running:
        live(running)
        children = parts(running)
        os.kill(running.pid("controller"), signal.SIGSTOP)
        running.process.send_signal(signal.SIGINT)
        running.wait_for(r"^stopping ")
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 0
        assert gone(children)
        assert ours(running) == []


def test_a_lost_terminal_is_an_orderly_stop(data_dir: pathlib.Path) -> None:
    """When the connection to the terminal breaks, nothing is left behind either."""
    with up(data_dir) as running:
        live(running)
        children = parts(running)
        running.process.send_signal(signal.SIGHUP)
        assert running.wait() == 0
        assert gone(children)
        assert ours(running) == []


def test_two_may_run_but_not_on_one_data_directory(data_dir: pathlib.Path) -> None:
    """A second one is refused in one line that names the first, which is not disturbed."""
    with up(data_dir) as running:
        live(running)
        with up(data_dir) as second:
            assert second.wait() == 3
            assert f"{data_dir} is in use by pid {running.process.pid}" in second.printed
            assert len(second.refusal) == 1
        with up(data_dir.parent / "other") as third:
            live(third)
            third.stop()
        running.wait_for(LIVE, after=len(running.printed))
        running.stop()


@pytest.mark.parametrize(("part", "flag"), [(0, "--listen"), (1, "--agent-listen")])
def test_a_taken_port_is_refused_with_its_holder(data_dir: pathlib.Path, part: int, flag: str) -> None:
    """One line: the address, who has it, and the flag for another; not even the directory was made."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ports = [free_port(), free_port()]
        ports[part] = holder.getsockname()[1]
        with up(data_dir, ports=ports) as refused:
            assert refused.wait() == 3
    assert f"127.0.0.1:{ports[part]}" in refused.printed
    assert f"in use by pid {os.getpid()}" in refused.printed
    assert flag in refused.printed
    assert len(refused.refusal) == 1
    assert not data_dir.exists()


def _a_file(path: pathlib.Path) -> None:
    path.touch()


def _not_empty(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "precious").touch()


def _of_another_user(path: pathlib.Path) -> None:
    path.mkdir()
    os.chown(path, 12345, 12345)


def _shared(path: pathlib.Path) -> None:
    path.mkdir()
    path.chmod(0o1777)


def _below_a_closed_one(path: pathlib.Path) -> None:
    path.mkdir()
    path.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_a_file, "Not a directory"),
        (_not_empty, "is root's and not empty"),
        (_of_another_user, "belongs to uid 12345"),
        (_shared, "shared with other users"),
        (_below_a_closed_one, "cannot write there"),
    ],
)
def test_an_unfit_data_directory_is_refused_and_left_alone(
    data_dir: pathlib.Path, prepare: Callable[[pathlib.Path], None], words: str
) -> None:
    """One line says what is wrong and which flag helps; what others keep there stays theirs."""
    prepare(data_dir)
    before = data_dir.stat()
    with up(data_dir) as refused:
        assert refused.wait() == 3
    assert words in refused.printed
    assert "--data-dir" in refused.printed
    assert len(refused.refusal) == 1
    after = data_dir.stat()
    if prepare is not _below_a_closed_one:
        assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--user", "no-such-user"], 2, "'no-such-user' does not exist"),
        (["--user", "root"], 2, "never runs as root"),
        (["--interval", "soon"], 2, "soon"),
        (["--listen", "8600"], 2, "HOST:PORT"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    data_dir: pathlib.Path, more: list[str], code: int, words: str
) -> None:
    """What was given is wrong: the value is named, and no namespace or process is left."""
    with up(data_dir, *more) as refused:
        assert refused.wait() == code
    assert words in refused.printed
    assert ours(refused) == []


SPEC = """\
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: all-connections}
spec:
  service: lab
  description: Connections are answered.
  objective: 99
  window: 1d
  indicator:
    ratio:
      bad:   {metric: netsre_flows_total, match: 'outcome="failed"'}
      total: {metric: netsre_flows_total}
  alerting: {policy: none}
"""


def test_service_levels_of_ones_own_take_the_place_of_those_shipped(data_dir: pathlib.Path) -> None:
    """From files and directories, by an option or a file with options; links go where they are told to."""
    specs = data_dir.parent / "slos"
    specs.mkdir()
    (specs / "own.yaml").write_text(SPEC)
    config = data_dir.parent / "controller.yaml"
    config.write_text(
        "apiVersion: netsre.dev/v1\nkind: Controller\nmetadata: {name: here}\n"
        "spec: {node: rack-7, externalUrl: 'http://file.example', listen: '127.0.0.1:1'}\n"
    )
    more = ("--slos", str(specs), "--external-url", "http://page.example/", "--config", str(config))
    with up(data_dir, *more) as running:
        running.wait_for(LIVE.replace("flow-success", "all-connections"))
        levels: dict[str, Any] = json.loads(get(running.listen, "/api/v1/slos")[1])
        assert {level["name"] for level in levels["slos"]} == {"all-connections"}
        arguments = pathlib.Path(f"/proc/{running.pid('controller')}/cmdline").read_text().split("\0")
        given = dict(itertools.pairwise(arguments))
        assert (given["--external-url"], given["--node"]) == ("http://page.example", "rack-7")
        running.stop()


def test_what_the_agent_measures_and_may_cost_is_handed_on_to_it(data_dir: pathlib.Path) -> None:
    """Its own options, as it takes them itself; the controller reads the text of the same agent as ever."""
    options = ("--without", "loads", "--without", "drops", "--cpu-budget", "1000%", "--native-histograms")
    with up(data_dir, *options) as running:
        live(running)
        _, text = get(running.agent_listen, "/metrics")
        found = text.splitlines()
        assert [line for line in found if line.startswith("netsre_agent_probe_left_out{")] == [
            'netsre_agent_probe_left_out{probe="drops"} 1.0',
            'netsre_agent_probe_left_out{probe="loads"} 1.0',
        ]
        assert "netsre_agent_budget_ratio 10.0" in found
        asked = Request(
            f"http://127.0.0.1:{running.agent_listen}/metrics", headers={"Accept": protobuf.CONTENT_TYPE}
        )
        with urlopen(asked, timeout=PATIENCE) as answer:  # noqa: S310  # our own server
            assert answer.headers["Content-Type"] == protobuf.CONTENT_TYPE
        running.stop()


@pytest.mark.parametrize("share", ["0%", "6401%", "much"])
def test_a_budget_that_is_none_is_refused_before_anything_is_made(data_dir: pathlib.Path, share: str) -> None:
    """With the words of the agent, which would otherwise end as soon as it began."""
    with up(data_dir, "--cpu-budget", share) as refused:
        assert refused.wait() == 2
        assert "Invalid value for '--cpu-budget'" in refused.printed
    assert not data_dir.exists()


@pytest.mark.parametrize("option", ["--slos", "--runbooks"])
def test_a_mistake_in_a_file_is_told_before_anything_is_made(data_dir: pathlib.Path, option: str) -> None:
    """Exit 2 with every finding at its line, as from the command that validates; nothing is made."""
    broken = data_dir.parent / "broken.yaml"
    kind = "SLO" if option == "--slos" else "Runbook"
    broken.write_text(
        f"apiVersion: netsre.dev/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{unheard: of}}\n"
    )
    with up(data_dir, option, str(broken)) as refused:
        assert refused.wait() == 2
    assert refused.refusal
    assert all(line.startswith(f"{broken}:") for line in refused.refusal), refused.printed
    assert any("unheard" in line for line in refused.refusal)
    assert not data_dir.exists()


@pytest.mark.requires("setpriv")
def test_without_root_it_says_what_to_run_instead(data_dir: pathlib.Path) -> None:
    """One line, exit 3, and the command that works."""
    # May read the checkout, wherever it lies, and nothing else.
    reads = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    plain = ["setpriv", "--reuid", "65534", "--clear-groups", *reads]
    done = subprocess.run(
        [*plain, *command(data_dir, free_port(), free_port())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "sudo netsre up" in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_runs_from_a_checkout_that_the_service_user_cannot_read(data_dir: pathlib.Path) -> None:
    """Everything is imported and read before privileges are given away, so a private clone is enough."""
    source = pathlib.Path(netsre.__file__).parent.parent
    private = data_dir.parent / "private"
    private.mkdir(mode=0o700)
    for name in ("netsre", "bpf", "slos", "runbooks", "dashboards", "migrations", "docs"):
        shutil.copytree(source / name, private / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"PYTHONPATH": str(private), "PYTHONDONTWRITEBYTECODE": "1"}
    with up(data_dir, environment=environment) as running:
        live(running)
        loaded = pathlib.Path(f"/proc/{running.pid('controller')}/environ").read_bytes()
        assert str(private).encode() in loaded
        assert get(running.listen, "/")[0] == 200
        running.stop()


def test_a_terminal_shows_a_table_and_ctrl_c_ends_it(data_dir: pathlib.Path) -> None:
    """At a terminal the levels are a table that stays; the key Ctrl-C stops everything in order."""
    line = command(data_dir, free_port(), free_port())
    pid, terminal = pty.fork()
    if pid == 0:
        # No shell on purpose: the arguments are the program's own.
        os.execve(sys.executable, line, os.environ | {"TERM": "xterm", "COLUMNS": "100"})  # noqa: S606
    shown = ""
    try:
        deadline = time.monotonic() + 2 * START_SECONDS
        while "flow-success" not in shown and time.monotonic() < deadline:
            shown += _read_terminal(terminal)
        os.write(terminal, b"\x03")
        while processes.start_time(pid) is not None and time.monotonic() < deadline:
            shown += _read_terminal(terminal)
    finally:
        # Only one that hangs is still there to be ended by this.
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, shown
    assert f"kept: {data_dir}" in shown
    assert "budget" in shown
    assert "flow-success" in shown


def _read_terminal(terminal: int) -> str:
    ready, _, _ = select.select([terminal], [], [], 1.0)
    try:
        return os.read(terminal, 65536).decode(errors="replace") if ready else ""
    except OSError:
        # The last writer has closed its end.
        return ""
