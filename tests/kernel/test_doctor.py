"""`netsre doctor` and the things it tries for real."""

import json
import os
import subprocess
import sys

import pytest

from netsre.adapters.bpf.session import open_session
from netsre.app.doctor import try_probes
from netsre.app.resources import directory
from netsre.datapath.probes import PROBES
from tests.kernel.programs import freed, held_by, held_by_others, ids_of_our_kind
from tests.machine import wait_until

NETSRE = [sys.executable, "-P", "-m", "netsre"]
# Nobody, but one who may read: the checkout may lie below a directory that only root can enter.
READS = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
AS_NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *READS]
_NAME_BYTES = 15
"""Of a program's name, as the kernel keeps it."""
FIELDS = {"name", "status", "reason", "fix", "required"}


def doctor(*prefix: str) -> tuple[int, dict[str, dict[str, object]], str]:
    """Run it; return its exit code, its features by name, and its verdict."""
    done = subprocess.run([*prefix, *NETSRE, "doctor", "--json"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert set(document) == {"features", "verdict"}
    assert all(set(feature) == FIELDS for feature in document["features"])
    return (
        done.returncode,
        {feature["name"]: feature for feature in document["features"]},
        document["verdict"],
    )


def test_root_with_everything_can_run_the_agent() -> None:
    """The probe was really attached, and the exit code says that the agent can run."""
    code, features, verdict = doctor()
    assert (code, features["flow probe"]["status"]) == (0, "ok"), features["flow probe"]["reason"]
    assert verdict in {"ok", "degraded"}


def test_the_trial_leaves_no_program_in_the_kernel() -> None:
    """What was attached to find out is freed when its descriptors are closed."""
    session = open_session(directory("bpf"))
    ours = held_by(os.getpid())
    session.close()

    assert ours
    assert freed(ours)
    # Of the probes alone: programs of balancers may be held by a file of another test.
    tried = tuple(program.name[:_NAME_BYTES] for probe in PROBES for program in probe.programs)
    before = ids_of_our_kind(tried)
    assert set(try_probes().values()) == {None}
    # Other agents on this machine may begin meanwhile; what they loaded, they hold.
    assert wait_until(lambda: not ids_of_our_kind(tried) - before - held_by_others())


@pytest.mark.requires("setpriv")
def test_a_plain_user_gets_the_whole_audit_and_the_way_on() -> None:
    """Without root all is judged that can be, the privileges are a `no`, and nothing is a traceback."""
    code, features, verdict = doctor(*AS_NOBODY)
    assert (code, verdict) == (3, "no")
    assert features["privileges"]["status"] == "no"
    assert features["privileges"]["fix"] == "sudo netsre doctor"
    assert features["flow probe"]["status"] == "degraded"
    assert features["kernel"]["status"] == "ok"


def test_the_table_fits_80_columns() -> None:
    """The audit can be read and pasted anywhere, and names every feature."""
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run([*NETSRE, "doctor"], capture_output=True, text=True, check=False, env=environment)
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    _, features, verdict = doctor()
    assert [name for name in features if name not in done.stdout] == []
    assert f"verdict: {verdict}" in done.stdout


@pytest.mark.requires("unshare", "nsenter", "ip", "netns")
def test_a_taken_port_is_named_with_its_holder() -> None:
    """Whoever listens on a default port is named by process id, and the way round it is given."""
    script = (
        "import socket, sys\n"
        "taken = socket.create_server(('127.0.0.1', 8600))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        inside = ["nsenter", "--target", str(holder.pid), "--net"]
        _, features, _ = doctor(*inside)
        holder.stdin.close()
    assert features["port 8600"]["status"] == "degraded"
    assert f"pid {holder.pid}" in str(features["port 8600"]["reason"])
    assert "--listen" in str(features["port 8600"]["fix"])
