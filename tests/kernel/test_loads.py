"""Program loads of a process of the test's own, against what that process itself was told by the kernel."""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from netsre import conventions as c
from netsre.adapters import exposition, namespaces
from netsre.adapters.agent_server import AgentServer, Reply
from netsre.adapters.bpf import programs
from netsre.adapters.bpf.loads import LoadProbe
from netsre.adapters.bpf.session import open_session
from netsre.app.resources import directory
from netsre.app.sensors.loads import LoadSensor
from netsre.datapath import btf, missing
from netsre.datapath.loads import FAILURES, MAX_LOADS, MOST_FAILING
from netsre.datapath.probes import LOADS
from netsre.metrics.readings import Readings
from tests.kernel import attempts, program_loader
from tests.kernel.agent_process import running

_COMMAND = b"loads-test"
_EVERYTHING = {"good": 7, "xdp": 3, "long": 1, "refused": 5, "talkative": 2, "cramped": 4}
_HOPELESS = {"unknown": 3, "longer": 2, "wordy": 1, "unreadable": 2}
_NO_PRIVILEGE = ("setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-all")

Kind = tuple[str, str, str]
"""Type, result and reason."""


@pytest.fixture
def sensor() -> Iterator[LoadSensor]:
    """Attach the probe for one test."""
    session = open_session(directory("bpf"), probe=LOADS)
    with contextlib.closing(session):
        yield LoadSensor(LoadProbe(session))


def _read(sensor: LoadSensor) -> Readings:
    readings = Readings()
    sensor.read(readings, 1.0)
    return readings


def _values(sensor: LoadSensor, metric: str, owner: str) -> dict[Kind, float]:
    return {
        (labels["type"], labels["result"], labels["reason"]): value
        for labels, value in _read(sensor).numbers[metric]
        if labels["owner"] == owner
    }


def _failures(sensor: LoadSensor, command: str = _COMMAND.decode()) -> list[dict[str, object]]:
    return [failure for failure in sensor.failures() if failure["command"] == command]


def _wanted(counts: dict[str, int]) -> list[str]:
    return [f"{what}:{times}" for what, times in counts.items()]


@pytest.mark.requires("setpriv")
def test_every_load_of_another_process_is_counted_once_with_its_errno(sensor: LoadSensor) -> None:
    """Good ones, and every errno that can be provoked, as often as the process was told so."""
    told = program_loader.run(_COMMAND, *_wanted(_EVERYTHING | _HOPELESS))
    refused = program_loader.run(_COMMAND, "good:4", "xdp:2", prefix=_NO_PRIVILEGE)
    counted = _values(sensor, c.BPF_PROGRAM_LOADS, _COMMAND.decode())

    assert counted == {
        ("socket_filter", "ok", "none"): 8,
        ("xdp", "ok", "none"): 3,
        ("socket_filter", "error", "EACCES"): 7,
        ("socket_filter", "error", "ENOSPC"): 4,
        ("other", "error", "EINVAL"): 3,
        ("socket_filter", "error", "E2BIG"): 2,
        ("socket_filter", "error", "EINVAL"): 1,
        ("socket_filter", "error", "EFAULT"): 2,
        ("socket_filter", "error", "EPERM"): 4,
        ("xdp", "error", "EPERM"): 2,
    }
    by_errno = collections.Counter(told + refused)
    reasons: collections.Counter[str] = collections.Counter()
    for (_, _, reason), count in counted.items():
        reasons["ok" if reason == "none" else reason] += int(count)
    assert reasons == by_errno


def test_what_the_kernel_lacks_is_named(sensor: LoadSensor) -> None:
    """A helper, one that this type of program may not call, a type; a program that is wrong lacks nothing."""
    program_loader.run(_COMMAND, "beyond:1", "elsewhere:1", "unknown:1", "refused:1")

    assert {one["name"]: one["missing"] for one in _failures(sensor)} == {
        "t_beyond": "helper 9999",
        "t_elsewhere": "bpf_redirect_map in programs of type socket_filter",
        "t_unknown": "programs of type other",
        "t_refused": "",
    }


def test_helpers_have_the_numbers_of_this_kernel() -> None:
    """As far as it has them; those after the last one came later than this kernel."""
    types = btf.TypeTable(pathlib.Path("/sys/kernel/btf/vmlinux").read_bytes())
    known = {
        number: name for number, name in types.enumerators("bpf_func_id").items() if not name.startswith("__")
    }
    told = {number: name.replace("bpf_", "BPF_FUNC_", 1) for number, name, _ in missing.helpers()}

    assert {number: name for number, name in told.items() if number in known} == {
        number: name for number, name in known.items() if number in told
    }


def test_an_owner_fails_until_it_loads_something_well(sensor: LoadSensor) -> None:
    """Each errno of it is told, and of the newest load alone that it is so now."""
    owner = _COMMAND.decode()
    program_loader.run(_COMMAND, "refused:1")
    assert _failing(sensor, owner) == {("socket_filter", "EACCES"): 1}
    program_loader.run(_COMMAND, "xdp:1", "cramped:1")
    assert _failing(sensor, owner) == {("socket_filter", "EACCES"): 0, ("socket_filter", "ENOSPC"): 1}
    program_loader.run(_COMMAND, "xdp:1")

    assert _failing(sensor, owner) == {("socket_filter", "EACCES"): 0, ("socket_filter", "ENOSPC"): 0}


def _failing(sensor: LoadSensor, owner: str) -> dict[tuple[str, str], float]:
    return {
        (labels["type"], labels["reason"]): value
        for labels, value in _read(sensor).numbers[c.BPF_LOADS_FAILING]
        if labels["owner"] == owner
    }


def test_our_own_loads_are_left_to_who_makes_them(sensor: LoadSensor) -> None:
    """The process that reads loads programs itself, good and bad: none of them is here, a child's is."""
    before = _values(sensor, c.BPF_PROGRAM_LOADS, _own_command())
    for _ in range(3):
        assert program_loader.attempt("good") == ""
        assert program_loader.attempt("refused") == "EACCES"
    program_loader.run(_own_command().encode(), "good:1")
    after = _values(sensor, c.BPF_PROGRAM_LOADS, _own_command())

    # Others may load programs under the name of this test's interpreter; none of them fails like this.
    kind = ("socket_filter", "error", "EACCES")
    assert after.get(kind, 0) == before.get(kind, 0)
    assert after[("socket_filter", "ok", "none")] >= before.get(("socket_filter", "ok", "none"), 0) + 1
    assert not [failure for failure in sensor.failures() if failure["name"] == "t_refused"]


def _own_command() -> str:
    with open("/proc/self/comm", encoding="ascii") as file:  # noqa: PTH123  one line of procfs
        return file.read().strip()


def test_instructions_are_the_verifiers_and_the_time_is_the_calls(sensor: LoadSensor) -> None:
    """Of 101 instructions as many are walked; the call took a part of the time that the process lived."""
    began = time.monotonic()
    program_loader.run(_COMMAND, "good:2", "long:1")
    elapsed = time.monotonic() - began
    kind = ("socket_filter", "ok", "none")
    instructions = _values(sensor, c.BPF_VERIFIER_INSTRUCTIONS, _COMMAND.decode())[kind]
    seconds = _values(sensor, c.BPF_VERIFIER_SECONDS, _COMMAND.decode())[kind]
    verified = programs.load("t_long", program_loader.MOVE * 100 + program_loader.EXIT, programs.Kind(1))
    os.close(verified.fd)

    assert instructions == verified.verifier_instructions == 101
    assert 0 < seconds < elapsed


def test_the_verifiers_last_words_are_kept(sensor: LoadSensor) -> None:
    """Of a short log all; of a long one its end with the verdict, and how much stood before it."""
    program_loader.run(_COMMAND, "refused:1", "talkative:1", "unknown:1")
    unknown, talkative, refused = _failures(sensor)

    assert "R2 !read_ok" in str(refused["log"])
    assert (refused["name"], refused["error"], refused["type"]) == ("t_refused", "EACCES", "socket_filter")
    assert refused["log_skipped_bytes"] == 0
    assert "R2 !read_ok" in str(talkative["log"])
    assert int(str(talkative["log_skipped_bytes"])) > 4096
    assert len(str(talkative["log"]).encode()) == 4096
    assert (unknown["log"], unknown["error"]) == ("", "EINVAL")


def test_the_last_failures_are_kept_and_no_more(sensor: LoadSensor) -> None:
    """Numbered without a gap, the newest first."""
    program_loader.run(_COMMAND, f"refused:{FAILURES + 9}")
    numbers = [int(str(failure["number"])) for failure in sensor.failures()]

    assert len(numbers) == FAILURES
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] - numbers[-1] == FAILURES - 1


def test_probes_of_what_a_kernel_can_do_do_not_push_a_failure_out(sensor: LoadSensor) -> None:
    """They have no name; one that has stays, however many come after it."""
    program_loader.run(_COMMAND, "refused:1", f"nameless:{3 * FAILURES}")
    names = [failure["name"] for failure in _failures(sensor)]

    assert names == [*[""] * FAILURES, "t_refused"]


@pytest.mark.parametrize(
    ("command", "owner"),
    [
        (b'q"\\\n\xff\x1b[2J', 'q"\\\\x0a\\xff\\x1b[2J'),
        (b"netsre", "comm:netsre"),
        (b"~other", "comm:~other"),
    ],
)
def test_hostile_names_do_no_harm(sensor: LoadSensor, command: bytes, owner: str) -> None:
    """In the label and in the document every byte is printable, and nobody is taken for us."""
    program_loader.run(command, "good:2", "refused:1")
    counted = _values(sensor, c.BPF_PROGRAM_LOADS, owner)
    body, _ = exposition.render(_read(sensor), "")

    assert counted[("socket_filter", "ok", "none")] == 2
    assert counted[("socket_filter", "error", "EACCES")] == 1
    text = body.decode() + json.dumps(sensor.failures())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_names_beyond_the_bound_are_counted_under_other(sensor: LoadSensor) -> None:
    """Everybody can fail under any name: many names are few series, and no load is lost."""
    names = 2 * MOST_FAILING
    _fail_as(names)
    found = [
        (labels["owner"], value)
        for labels, value in _read(sensor).numbers[c.BPF_PROGRAM_LOADS]
        if labels["type"] == "other" and labels["reason"] == "EINVAL"
    ]

    assert len({owner for owner, _ in found}) <= MOST_FAILING + 1
    assert sum(value for _, value in found) == names


def test_a_table_that_is_full_loses_detail_and_no_load(sensor: LoadSensor) -> None:
    """More names between two readings than there is room for, from one process that changes its own."""
    count = MAX_LOADS + 200
    before = _all_errors(sensor)
    _fail_as(count)
    overflowed = sum(
        value for labels, value in _read(sensor).numbers[c.BPF_MAP_OVERFLOWS] if labels["map"] == "loads"
    )
    made_room = [_all_errors(sensor), _all_errors(sensor)]
    program_loader.run(_COMMAND, "unknown:5")

    assert overflowed >= 200
    assert [total - before for total in made_room] == [count, count]
    assert _all_errors(sensor) - before == count + 5


def _fail_as(names: int) -> None:
    """Have one process fail once under each of many names."""
    renaming = (
        "import ctypes; from tests.kernel.program_loader import attempt\n"
        f"for n in range({names}): ctypes.CDLL(None).prctl(15, b'many-%d' % n, 0, 0, 0); attempt('unknown')"
    )
    subprocess.run([sys.executable, "-c", renaming], check=True)


def _all_errors(sensor: LoadSensor) -> float:
    """Return all failed loads of an unknown type, whoever's, and those that were counted without detail."""
    return sum(
        value
        for labels, value in _read(sensor).numbers[c.BPF_PROGRAM_LOADS]
        if labels["result"] == "error" and labels["type"] in {"other", c.OTHER}
    )


def test_the_agent_serves_loads_and_tells_this_node_alone_what_failed() -> None:
    """On the wire: the counter with every label; the words on loopback, and nowhere else."""
    with running() as agent:
        program_loader.run(_COMMAND, "good:6", "refused:2")
        samples = agent.samples()
        status, body = agent.get("/bpf/failures")

    labels = {"owner": _COMMAND.decode(), "type": "socket_filter"}
    good = tuple(sorted((labels | {"result": "ok", "reason": "none"}).items()))
    bad = tuple(sorted((labels | {"result": "error", "reason": "EACCES"}).items()))
    assert (samples[(c.BPF_PROGRAM_LOADS, good)], samples[(c.BPF_PROGRAM_LOADS, bad)]) == (6, 2)
    assert samples[(c.AGENT_PROBE_UP, (("probe", "loads"), ("reason", "")))] == 1
    assert status == 200
    mine = [one for one in json.loads(body)["failures"] if one["command"] == _COMMAND.decode()]
    assert ["R2 !read_ok" in one["log"] for one in mine] == [True, True]


def test_without_the_probe_the_agent_goes_on() -> None:
    """Left out on request: nothing is said of loads but our own, and nothing is missing."""
    with running("--without", "loads") as agent:
        program_loader.run(_COMMAND, "good:1")
        samples = agent.samples()
        ready = agent.get("/readyz")
        status, _ = agent.get("/bpf/failures")

    owners = {dict(labels)["owner"] for name, labels in samples if name == c.BPF_PROGRAM_LOADS}
    assert owners == {c.OWNER}
    said = (
        "ready\nloads: not_wanted: left out with --without; program loads of others are not counted, "
        "and what the verifier said is not kept\n"
    )
    assert (ready, status) == ((200, said), 404)
    assert samples[c.AGENT_PROBE_LEFT_OUT, (("probe", "loads"),)] == 1
    up = [dict(labels)["probe"] for name, labels in samples if name == c.AGENT_PROBE_UP]
    assert "flows" in up
    assert "loads" not in up


@pytest.mark.requires("unshare", "setpriv")
def test_without_tracefs_and_the_means_to_mount_it_the_other_probes_are_attached() -> None:
    """The reason is a word for metrics and a sentence for people; flows are counted all the same."""
    look = (
        "from netsre.adapters.bpf.session import open_sessions; from netsre.app.resources import directory\n"
        "from netsre.datapath.probes import FLOWS, LOADS\n"
        "opened = open_sessions(directory('bpf'), [FLOWS, LOADS])\n"
        "print(type(opened['flows']).__name__, opened['loads'].reason, opened['loads'])"
    )
    hide = 'for d in tracing debug; do mount -t tmpfs none /sys/kernel/$d; done; exec "$@"'
    drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all", sys.executable, "-c", look]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", *drop], capture_output=True, text=True, check=False
    )

    assert done.stdout.startswith("Session no_tracepoint "), done.stderr
    assert "Operation not permitted" in done.stdout


@pytest.mark.requires("nft", "ip", "netns")
def test_the_words_about_failures_are_for_this_node_alone() -> None:
    """A client that comes by another address than loopback is refused, one by loopback is served."""
    with attempts.place() as place:
        namespaces.run(place.name, ["ip", "addr", "add", "192.0.2.1/32", "dev", "lo"]).check_returncode()
        statuses: list[int] = []
        place.run(lambda: statuses.extend(_ask("192.0.2.1", path) for path in ("/open", "/local")))
        place.run(lambda: statuses.extend(_ask("127.0.0.1", path) for path in ("/open", "/local")))

    assert statuses == [200, 403, 200, 200]


def _ask(address: str, path: str) -> int:
    routes = dict.fromkeys(("/open", "/local"), lambda _: Reply(200, b"words"))
    with AgentServer(address, 0, routes) as server:
        server.local_paths = frozenset({"/local"})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection(address, server.server_port, timeout=30)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        server.shutdown()
    return status
