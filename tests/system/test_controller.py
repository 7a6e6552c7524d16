"""The controller as a process: it begins or says why, outlives its agent, and can be killed at any time."""

import collections
import contextlib
import http.server
import json
import pathlib
import random
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from netsre.app import database
from netsre.store.sqlite import FILE_NAME
from tests.machine import PATIENCE, free_port, open_directory

NETSRE: Final = (sys.executable, "-P", "-m", "netsre")


class Agent:
    """A small agent on loopback whose counters a test moves; it can be told to hang."""

    def __init__(self) -> None:
        """Begin with counters at zero."""
        self.traffic = 100
        """Connections from one reading to the next."""
        self.delivered = 0
        self.failed = 0
        self.hangs = False
        self.asked = 0
        self.waiting: set[int] = set()
        """The numbers of the readings that wait for an answer."""
        self.started = time.time() - 60
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if agent.hangs:
                    agent.hang(self.connection)
                agent.delivered += agent.traffic
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(agent.text().encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
                """Keep quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hang(self, connection: socket.socket) -> None:
        """Keep one reading waiting until its reader gives up, or no longer than it should."""
        self.asked += 1
        number = self.asked
        self.waiting.add(number)
        # What is there to be read is the end: a reader says all that it has to say at first.
        while self.hangs and not select.select([connection], [], [], 0.02)[0]:
            pass
        self.waiting.remove(number)

    def text(self) -> str:
        """Return the counters as Prometheus text."""
        flow = 'netsre_flows_total{direction="egress",src="a",dst="b",protocol="tcp",'
        return (
            f"process_start_time_seconds {self.started}\n"
            f'{flow}outcome="delivered",reason="none"}} {self.delivered}\n'
            f'{flow}outcome="failed",reason="refused"}} {self.failed}\n'
        )

    def close(self) -> None:
        """End."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Return an agent."""
    made = Agent()
    yield made
    made.close()


class Controller:
    """A controller process."""

    def __init__(
        self,
        data_dir: pathlib.Path,
        agent_url: str | None,
        *options: str,
        program: tuple[str, ...] = NETSRE,
        port: int | None = None,
    ) -> None:
        """Start it."""
        self.port = port or free_port()
        self.log = data_dir.parent / f"controller-{self.port}.log"
        listen = (
            "--listen",
            f"127.0.0.1:{self.port}",
            *(("--agent", agent_url) if agent_url else ()),
            "--node",
            "a",
            "--interval",
            "1s",
        )
        command = (*program, "controller", "--data-dir", str(data_dir), *listen, *options)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of a path."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE).json()

    def until(self, found: Callable[["Controller"], bool], seconds: float = 2 * PATIENCE) -> None:
        """Wait for something to be so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if found(self):
                    return
            time.sleep(0.1)
        pytest.fail(f"did not happen within {seconds} s\n{self.log.read_text()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[Controller]:
    """Run a controller, and never leave it behind."""
    controller = Controller(*arguments, **options)
    try:
        yield controller
    finally:
        controller.stop(signal.SIGKILL)


def ready(controller: Controller) -> bool:
    """Tell whether it evaluates."""
    return bool(controller.get("/readyz")["ready"])


def fires(controller: Controller) -> bool:
    """Tell whether both alerts fire and both runs are over."""
    alerts, runs = controller.get("/api/v1/alerts")["alerts"], controller.get("/api/v1/runs")["runs"]
    return len(alerts) >= 2 and len(runs) >= 2 and all(run["result"] for run in runs)


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    """Yield a directory that the unprivileged user can reach, for data directories."""
    with open_directory() as path:
        yield path


def refused(*arguments: str) -> tuple[int, str]:
    """Run a command that must not begin; return its exit code and what it said."""
    done = subprocess.run((*NETSRE, *arguments), capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


def test_a_burn_is_served_and_sigterm_ends_it_cleanly(home: pathlib.Path, agent: Agent) -> None:
    """From counters over HTTP to alerts, runs and the page, and exit code 0."""
    with running(home / "data", agent.url) as controller:
        controller.until(ready)
        agent.failed += 100
        controller.until(fires)

        assert (
            httpx.get(f"http://127.0.0.1:{controller.port}/").headers["content-type"].startswith("text/html")
        )
        assert controller.stop() == 0

    assert "Traceback" not in controller.log.read_text()
    assert database.check(home / "data").broken_seq is None


def test_kill_9_at_random_moments_loses_nothing_and_doubles_nothing(home: pathlib.Path, agent: Agent) -> None:
    """Eight lives of one data directory; then one line per announcement and one run per firing."""
    chance = random.Random(7)  # noqa: S311 - no secret is made of it
    for _ in range(8):
        with running(home / "data", agent.url) as controller:
            deadline = time.monotonic() + chance.uniform(0.8, 3.0)
            while time.monotonic() < deadline:
                agent.failed += 10
                time.sleep(0.1)
            controller.stop(signal.SIGKILL)
    with running(home / "data", agent.url) as controller:
        controller.until(ready)
        # After a reading, which may be the first of all: on a busy machine no life before may have had one.
        agent.failed += 100
        controller.until(fires)
        time.sleep(1.5)
        alerts, runs = controller.get("/api/v1/alerts")["alerts"], controller.get("/api/v1/runs")["runs"]
        assert controller.stop() == 0

    assert sorted(alert["labels"]["severity"] for alert in alerts) == ["page", "ticket"]
    lines = [json.loads(line) for line in (home / "data" / "alerts.jsonl").read_text().splitlines()]
    assert sorted((line["labels"]["severity"], line["state"]) for line in lines) == [
        ("page", "firing"),
        ("ticket", "firing"),
    ]
    assert [run["result"] for run in runs] == ["succeeded", "succeeded"]
    for run in runs:
        kinds = collections.Counter(entry["kind"] for entry in run["journal"])
        assert (kinds["intent"], kinds["outcome"]) == (1, 1)
    checked = database.check(home / "data")
    assert (checked.broken_seq, checked.why) == (None, None)


def test_an_agent_that_hangs_is_down_and_the_rest_goes_on(home: pathlib.Path, agent: Agent) -> None:
    """The API answers at once while a reading waits, alerts stay, and the agent's return is seen."""
    with running(home / "data", agent.url) as controller:
        controller.until(ready)
        agent.failed += 100
        controller.until(fires)
        agent.hangs = True
        controller.until(lambda c: not c.get("/api/v1/status")["sources"][0]["up"])

        def answers_while_a_reading_waits(controller: Controller) -> bool:
            before = set(agent.waiting)
            alerts = controller.get("/api/v1/alerts")["alerts"]
            assert {alert["state"] for alert in alerts} == {"firing"}
            return ready(controller) and bool(before & agent.waiting)

        controller.until(answers_while_a_reading_waits)

        agent.hangs = False
        controller.until(lambda c: bool(c.get("/api/v1/status")["sources"][0]["up"]))
        assert controller.log.read_text().count("up=0") == 1


def test_a_port_that_is_taken_is_one_line_and_exit_3(home: pathlib.Path) -> None:
    """The address and the option are in it."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        code, said = refused("controller", "--data-dir", str(home / "data"), "--listen", address)

    assert (code, said) == (
        3,
        f"error: controller address {address} is taken; choose another with --listen\n",
    )


def test_a_second_controller_on_the_same_data_is_one_line_and_exit_3(
    home: pathlib.Path, agent: Agent
) -> None:
    """Two of them would tell everything twice."""
    with running(home / "data", agent.url) as controller:
        controller.until(ready)
        code, said = refused(
            "controller", "--data-dir", str(home / "data"), "--listen", f"127.0.0.1:{free_port()}"
        )

    assert code == 3
    assert f"data directory {home / 'data'} is in use by another controller" in said


def test_a_database_of_a_newer_version_is_one_line_and_exit_3(home: pathlib.Path) -> None:
    """For the controller as for `db check`; the file is left alone."""
    database.upgrade(home / "data")
    connection = sqlite3.connect(home / "data" / FILE_NAME)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    for arguments in (("db", "check"), ("db", "upgrade")):
        code, said = refused(*arguments, "--data-dir", str(home / "data"))
        assert (code, said.count("\n")) == (3, 1)
        assert "has schema 9999, this netsre knows up to" in said


def test_db_check_names_the_broken_row_and_exits_1(home: pathlib.Path, agent: Agent) -> None:
    """After a real life of the controller, with one row changed by hand."""
    with running(home / "data", agent.url) as controller:
        controller.until(ready)
        controller.stop()
    connection = sqlite3.connect(home / "data" / FILE_NAME)
    connection.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 1")
    connection.commit()
    connection.close()

    done = subprocess.run(
        (*NETSRE, "db", "check", "--json", "--data-dir", str(home / "data")),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["audit"]["first_broken"] == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "--slos",
            "apiVersion: netsre.dev/v1\nkind: SLO\nmetadata: {name: x}\nspecs: {}\n",
            "bad.yaml:4: SPEC004",
        ),
        ("--runbooks", "kind: [", "bad.yaml:1: SPEC001"),
    ],
    ids=["slo", "runbook"],
)
def test_a_spec_that_is_wrong_is_exit_2_with_its_line(
    home: pathlib.Path, name: str, text: str, message: str
) -> None:
    """Before anything is opened or made."""
    (home / "bad.yaml").write_text(text)

    code, said = refused("controller", "--data-dir", str(home / "data"), name, str(home / "bad.yaml"))

    assert code == 2
    assert message in said
    assert not (home / "data").exists()


BLIND: Final = """
import importlib.machinery, sys
from netsre.app.control import controller
real = controller._stop_on_signals

def blind():
    '''From here on, where privileges are gone, no module may come from a file.'''
    class Refuse:
        def find_spec(self, name, path=None, target=None):
            # What is not installed is not found, with or without the right to read.
            if importlib.machinery.PathFinder.find_spec(name, path) is not None:
                print("IMPORTED LATE:", name, file=sys.stderr, flush=True)
            return None
    sys.meta_path.insert(0, Refuse())
    return real()

controller._stop_on_signals = blind
from netsre.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_nothing_is_imported_after_the_privileges_are_gone(home: pathlib.Path, agent: Agent) -> None:
    """A checkout that its user cannot read serves, evaluates, alerts and stops all the same."""
    program = (sys.executable, "-P", "-c", BLIND)
    with running(home / "data", agent.url, program=program) as controller:
        controller.until(ready)
        agent.failed += 100
        controller.until(fires)
        base = f"http://127.0.0.1:{controller.port}"
        for path in ("/", "/metrics", "/api/v1/slos", "/api/v1/status", "/openapi.json", "/runbooks", "/no"):
            httpx.get(f"{base}{path}")
        httpx.get(f"{base}/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        httpx.get(f"{base}/api/v1/runs?limit=x")
        agent.hangs = True
        controller.until(lambda c: not c.get("/api/v1/status")["sources"][0]["up"])
        assert controller.stop() == 0

    late = {line for line in controller.log.read_text().splitlines() if "IMPORTED LATE" in line}
    assert late == set()


@pytest.mark.requires("root")
def test_started_as_root_it_serves_as_nobody(home: pathlib.Path, agent: Agent) -> None:
    """And its data belongs to that user alone."""
    with running(home / "data", agent.url, "--user", "nobody") as controller:
        controller.until(ready)
        status = pathlib.Path(f"/proc/{controller.process.pid}/status").read_text()

        assert "CapEff:\t0000000000000000" in status
        assert (home / "data").stat().st_uid != 0
        assert (home / "data").stat().st_mode & 0o777 == 0o700


def test_slo_status_reads_the_running_controller(home: pathlib.Path, agent: Agent) -> None:
    """As JSON for programs, as words for people at 80 columns, and as an exit code for scripts."""
    with running(home / "data", agent.url) as controller:
        controller.until(ready)
        agent.failed += 100
        controller.until(fires)
        status = (*NETSRE, "slo", "status", "--controller", f"http://127.0.0.1:{controller.port}")
        document = subprocess.run((*status, "--json"), capture_output=True, text=True, check=True).stdout
        table = subprocess.run((*status, "--exit-code"), capture_output=True, text=True, check=False)

    (flows,) = [slo for slo in json.loads(document)["slos"] if slo["name"] == "flow-success"]
    assert flows["firing"] == ["page", "ticket"]
    assert flows["good"] + flows["bad"] == flows["total"]
    assert table.returncode == 1
    assert "BURNS" in table.stdout
    assert "page, ticket" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80


def test_a_name_that_the_controller_does_not_know_is_exit_2(home: pathlib.Path, agent: Agent) -> None:
    """As everywhere: the person can mend it, the machine need not."""
    with running(home / "data", agent.url) as controller:
        controller.until(ready)
        url = f"http://127.0.0.1:{controller.port}"

        assert refused("gameday", "report", "nope", "--controller", url) == (
            2,
            "error: no run 'nope' of a game day\n",
        )
        assert refused("slo", "status", "--controller", f"{url}/other")[0] == 3


def test_without_a_controller_slo_status_is_one_line_and_exit_3() -> None:
    """There is nothing else to ask."""
    code, said = refused("slo", "status", "--controller", f"http://127.0.0.1:{free_port()}")
    assert code == 3
    assert "does not answer" in said
    assert said.count("\n") == 1


def test_what_was_never_measured_is_not_called_well(home: pathlib.Path) -> None:
    """Without an agent the exit code is 1, and the table says why."""
    with running(home / "data", f"http://127.0.0.1:{free_port()}") as controller:
        controller.until(ready)
        url = f"http://127.0.0.1:{controller.port}"
        asked = (*NETSRE, "slo", "status", "--controller", url, "--exit-code")
        table = subprocess.run(asked, capture_output=True, text=True, check=False)

    assert table.returncode == 1
    assert "no history" in table.stdout
