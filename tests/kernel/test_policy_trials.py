"""What is on trial on a real link, by the commands alone: it decides, and ends with no process there."""

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from netsre.adapters import namespaces
from netsre.app.policing import trials
from netsre.app.policing.node import Places
from netsre.app.resources import directory
from netsre.datapath.policy.sync import KEPT
from netsre.errors import BadInput
from tests.kernel.block_link import INTERFACE, OTHER_SOURCE, PORT, SOURCE, TARGET
from tests.kernel.moments import Moments
from tests.kernel.policed_node import ENDPOINTS, Node, crowd, policed_node, policy
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

TWIN: Final = (
    f"- {{name: twin, namespace: x, labels: {{pod: a}}, ips: [{OTHER_SOURCE[4]}, '{OTHER_SOURCE[6]}'], "
    f"interface: {INTERFACE}}}\n"
)
LONG: Final = "10m"
KILLS: Final = 3
MOST_KILLS: Final = 15
"""So many where they were all too late, or all too early."""
MANY: Final = 600
"""Networks of a policy that takes a while to put into force."""
_FEW: Final = 5


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link with two endpoints behind one interface that no policy tells apart."""
    with policed_node() as made:
        (made.home / "endpoints.yaml").write_text(ENDPOINTS + TWIN, encoding="utf-8")
        yield made


def sent(node: Node, version: int = 4) -> tuple[int, int]:
    """Return how many packets arrive, of five from each of both endpoints."""
    sources = SOURCE[version], OTHER_SOURCE[version]
    own, twin = (node.link.send(source, TARGET[version], _FEW) for source in sources)
    return own, twin


def begin(node: Node, text: str, ttl: str = LONG, *more: str) -> dict[str, Any]:
    """Begin a canary of one of both endpoints."""
    return node.apply(text, "--canary", "x/own", "--ttl", ttl, *more)


@both_versions
def test_a_canary_is_under_the_new_policy_and_others_under_the_old_one(node: Node, version: int) -> None:
    """Then for all, by promotion; the same interface, the same labels, another endpoint."""
    first = node.apply(policy(PORT))["revision"]
    trial = begin(node, policy(PORT + 1))
    during = sent(node, version)
    told = node.status()
    node.run("promote")
    after = sent(node, version)

    assert (during, after) == ((0, _FEW), (0, 0))
    assert (trial["before"], trial["endpoints"]) == (first, ["x/own"])
    assert trial["rules"] == ["x/p egress[0]"]
    assert [one["inForce"] for one in told["revisions"]] == [True, False]
    assert told["canary"]["revision"] == trial["revision"]
    assert 0 < told["canary"]["secondsLeft"] <= 600
    assert node.status()["canary"] is None


@both_versions
def test_a_canary_ends_in_the_kernel_with_no_process_of_ours(node: Node, version: int) -> None:
    """The revision of before decides again, status says so, and the next command tidies up."""
    first = node.apply(policy(PORT))["revision"]
    until = time.monotonic() + 4
    begin(node, policy(PORT + 1), "4s")
    denied = sent(node, version)
    in_time = time.monotonic() < until

    assert wait_until(lambda: sent(node, version) == (_FEW, _FEW), PATIENCE)
    assert denied == (0, _FEW) or not in_time
    assert time.monotonic() >= until
    assert node.in_force() == first
    assert node.status()["canary"] is None
    assert "no canary is on trial" in node.run("promote", code=2)
    again = node.apply(policy(PORT))
    assert (again["revision"], again["written"]) == (first, 0)
    assert again["removed"] > 0


def test_a_canary_says_which_interfaces_are_not_there(node: Node) -> None:
    """For people and for programs, as it is said of what is for all."""
    node.apply(policy(PORT))
    twin = TWIN.replace(INTERFACE, "elsewhere")
    (node.home / "endpoints.yaml").write_text(ENDPOINTS + twin, encoding="utf-8")
    (node.home / "policy.yaml").write_text(policy(PORT + 1), encoding="utf-8")
    told = node.run(*node.applying(), "--canary", "x/own", "--ttl", LONG)
    node.run("rollback")
    document = begin(node, policy(PORT + 1))

    assert "not there: elsewhere;" in told
    assert document["missing"] == ["elsewhere"]


def test_a_canary_that_fails_after_it_began_is_on_trial_no_more(node: Node) -> None:
    """Nobody would watch it; what failed is said with that, in one line."""
    node.apply(policy(PORT))
    _, listed = crowd(node)
    (node.home / "endpoints.yaml").write_text(ENDPOINTS + TWIN + listed, encoding="utf-8")
    (node.home / "policy.yaml").write_text(policy(PORT + 1), encoding="utf-8")
    complaint = node.run(*node.applying(), "--canary", "x/own", "--promote-after", LONG, code=3)

    assert "the canary is withdrawn" in complaint.splitlines()[-1]
    assert "any source is believed" in complaint.splitlines()[-1]
    assert node.status()["canary"] is None
    assert sent(node) == (_FEW, _FEW)


def test_rollback_withdraws_a_canary_at_once(node: Node) -> None:
    """And not the revision that it would come back to."""
    node.apply(policy(PORT + 1))
    first = node.apply(policy(PORT))["revision"]
    begin(node, policy(PORT + 1))
    during = sent(node)
    said = node.run("rollback")

    assert (during, sent(node)) == ((0, _FEW), (_FEW, _FEW))
    assert node.in_force() == first
    assert "was on trial" in said


def test_whoever_judges_a_canary_ends_that_one_and_no_other(node: Node) -> None:
    """By its number; where it is not on trial any more, nothing is done."""
    places = Places(node.home / "bpf" / "policy", node.home / "state", directory("bpf"))
    first = node.apply(policy(PORT))["revision"]
    assert trials.current(places) is None
    number = begin(node, policy(PORT + 1))["revision"]
    found = trials.current(places)
    assert found is not None
    assert (found.number, found.before, found.endpoints) == (number, first, ("x/own",))
    for act in (
        lambda: trials.promote(places, lambda _: None, number + 1),
        lambda: trials.withdraw(places, number + 1),
    ):
        with pytest.raises(BadInput, match="no canary is on trial"):
            namespaces.inside(node.link.receiver, act)
        assert sent(node) == (0, _FEW)

    assert trials.withdraw(places, number) == (number, first)
    assert sent(node) == (_FEW, _FEW)


def test_while_a_canary_is_on_trial_everything_else_is_refused_in_one_line(node: Node) -> None:
    """Another canary, a plain apply, the mode of a policy; and before it what makes no sense."""
    (node.home / "policy.yaml").write_text(policy(PORT), encoding="utf-8")
    none = node.run(*node.applying(), "--canary", "x/own", "--ttl", LONG, code=2)
    node.apply(policy(PORT))
    unknown = node.run(*node.applying(), "--canary", "x/owm", "--ttl", LONG, code=2)
    endless = node.run(*node.applying(), "--canary", "x/own", code=2)
    without = node.run(*node.applying(), "--ttl", LONG, code=2)
    begin(node, policy(PORT + 1))
    refused = [
        node.run(*node.applying(), code=2),
        node.run(*node.applying(), "--canary", "x/twin", "--ttl", LONG, code=2),
        node.run("mode", "off", "--policy", "x/p", code=2),
    ]

    assert "no policies are in force" in none
    assert "did you mean 'x/own'?" in unknown
    assert "add --ttl" in endless
    assert "name its endpoints with --canary" in without
    assert all("a canary is on trial (x/own)" in one and one.count("\n") == 1 for one in refused)
    assert sent(node) == (0, _FEW)


@both_versions
def test_the_mode_of_a_policy_ends_in_the_kernel(node: Node, version: int) -> None:
    """What it would deny passes and is counted under what would have denied it; then it is denied again."""
    node.apply(policy(PORT + 1))
    until = time.monotonic() + 4
    said = node.run("mode", "monitor", "--policy", "x/p", "--ttl", "4s")
    passed = sent(node, version)
    told = node.status()["policyModes"]
    in_time = time.monotonic() < until

    assert wait_until(lambda: sent(node, version) == (0, 0), PATIENCE)
    audited = [one for one in node.status()["verdicts"] if one["verdict"] == "audited"]
    assert "monitor for" in said
    assert not in_time or (passed, told["x/p"]["mode"]) == ((_FEW, _FEW), "monitor")
    assert {one["rule"] for one in audited} == {"default deny"} or not in_time
    assert node.status()["policyModes"] == {}


def test_a_mode_of_a_policy_without_an_end_is_remembered_by_what_is_applied_next(node: Node) -> None:
    """Until it is enforced again; another policy of the set is not touched by it."""
    both = policy(PORT + 1) + "---" + policy(PORT + 1).replace("name: p", "name: q")
    node.apply(policy(PORT + 1))
    node.run("mode", "off", "--policy", "x/p")
    off = sent(node)
    node.apply(policy(PORT + 2))
    still = sent(node)
    node.apply(both)
    other = sent(node)
    kept = node.status()["policyModes"]
    node.apply(policy(PORT + 1))
    node.run("mode", "enforce", "--policy", "x/p")

    assert (off, still, other) == ((_FEW, _FEW), (_FEW, _FEW), (0, 0))
    assert kept == {"x/p": {"mode": "off", "secondsLeft": None, "afterwards": "off"}}
    assert sent(node) == (0, 0)
    assert "did you mean 'x/p'?" in node.run("mode", "off", "--policy", "x/q", code=2)
    assert "leave out" in node.run("mode", "off", "--policy", "x/p", "--endpoint", "x/own", code=2)


def test_what_is_applied_while_a_mode_ends_by_itself_keeps_its_end(node: Node) -> None:
    """The new policies decide at once, and alone from the same moment on; a second end is refused."""
    two = policy(PORT + 1) + "---" + policy(PORT).replace("name: p", "name: q")
    node.apply(two)
    until = time.monotonic() + 8
    node.run("mode", "monitor", "--policy", "x/p", "--ttl", "8s")
    done = node.apply(policy(PORT + 2))
    during, told = sent(node), node.status()
    (node.home / "policy.yaml").write_text(two, encoding="utf-8")
    with node.start(*node.applying(), "--canary", "x/own", "--ttl", LONG) as process:
        _, canary = process.communicate(timeout=4 * PATIENCE)
    in_time = time.monotonic() < until
    if process.returncode == 0:
        # The mode was over by then, and the canary is on trial.
        assert not in_time
        node.run("rollback")

    assert wait_until(lambda: sent(node) == (0, 0), PATIENCE)
    assert time.monotonic() >= until
    if in_time:
        assert during == (_FEW, _FEW)
        assert told["policyModes"]["x/p"]["afterwards"] == "enforce"
        assert done["trial"] == done["revision"] + 1
        assert "the mode of x/p ends by itself" in canary
    assert node.in_force() == done["revision"]


def test_the_end_of_a_mode_goes_with_its_policy(node: Node) -> None:
    """Files without the policy leave nothing on trial."""
    node.apply(policy(PORT + 1))
    node.run("mode", "monitor", "--policy", "x/p", "--ttl", LONG)
    applied = node.apply(policy(PORT + 1).replace("name: p,", "name: q,"))

    assert applied["trial"] is None
    assert node.status()["policyModes"] == {}
    assert applied["revision"] == node.in_force()
    assert sent(node) == (0, 0)


def test_what_lasts_is_remembered_through_however_many_trials(node: Node) -> None:
    """Its number is the oldest of all then, and it is no older revision than the one that it was."""
    first = node.apply(policy(PORT))["revision"]
    told = {one["revision"]: one for one in node.status()["revisions"]}[first]
    for _ in range(2 * KEPT + 1):
        node.run("mode", "monitor", "--policy", "x/p", "--ttl", LONG)
    node.run("rollback")

    assert {one["revision"]: one for one in node.status()["revisions"]}[first] == told


def test_killed_at_any_moment_one_whole_revision_decides(node: Node) -> None:
    """A beginning, a promotion and a withdrawal: the old policies or the new ones, for those they are for."""
    outcomes = set[bool]()
    moments = dict[str, Moments]()
    for number in range(MOST_KILLS):
        if number >= KILLS and len(outcomes) > 1:
            break
        first = node.apply(policy(PORT))["revision"]
        (node.home / "policy.yaml").write_text(policy(PORT + 1, MANY + number), encoding="utf-8")
        ask = [*node.applying(), "--canary", "x/own", "--ttl", LONG]
        begun = time.monotonic()
        node.run(*ask)
        took = time.monotonic() - begun
        node.run("rollback")
        for command, before, after in (
            (ask, (_FEW, _FEW), (0, _FEW)),
            (["promote"], (0, _FEW), (0, 0)),
            (["rollback"], (0, _FEW), (_FEW, _FEW)),
        ):
            node.run("rollback", str(first))
            if command is not ask:
                node.run(*ask)
            with node.start(*command) as process:
                moments.setdefault(command[0], Moments(took)).pause()
                process.send_signal(signal.SIGKILL)
            now = sent(node)
            assert now in {before, after}
            moments[command[0]].found(done=now == after)
            outcomes.add(now == after)
            (node.home / "policy.yaml").write_text(policy(PORT + 1, MANY + number), encoding="utf-8")
        node.run("rollback", str(first))
    assert outcomes == {True, False}

    node.apply(policy(PORT + 1))
    assert sent(node) == (0, 0)


def test_a_connection_goes_on_through_a_trial_that_allows_it(node: Node) -> None:
    """Before it, in it, and after its end in the kernel: bytes go there and back on one connection."""
    tcp = policy(PORT).replace("UDP", "TCP")
    node.apply(tcp)
    with _connection(node) as (client, server):
        node.run("mode", "monitor", "--policy", "x/p", "--ttl", "3s")
        for _ in range(40):
            client.sendall(b"ping")
            assert server.recv(4) == b"ping"
            server.sendall(b"pong")
            assert client.recv(4) == b"pong"
            time.sleep(0.1)
        assert node.status()["policyModes"] == {}
        begin(node, tcp.replace("name: p", "name: other"))
        client.sendall(b"ping")
        assert server.recv(4) == b"ping"
        node.run("promote")
        client.sendall(b"ping")
        assert server.recv(4) == b"ping"


@contextlib.contextmanager
def _connection(node: Node) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect the endpoint to its peer."""
    with contextlib.ExitStack() as stack:
        listener = namespaces.inside(
            node.link.receiver, lambda: socket.create_server((TARGET[4], PORT), family=socket.AF_INET)
        )
        stack.enter_context(listener)
        client = namespaces.inside(node.link.sender, socket.socket)
        stack.enter_context(client)
        client.bind((SOURCE[4], 0))
        client.settimeout(PATIENCE)
        client.connect((TARGET[4], PORT))
        server, _ = listener.accept()
        stack.enter_context(server)
        server.settimeout(PATIENCE)
        yield client, server


def test_texts_are_kept_of_kept_revisions_alone_and_for_nobody_else_to_read(node: Node) -> None:
    """One file for each, mode 600, also after many changes; none when all is taken away."""
    for port in range(PORT, PORT + 12):
        node.apply(policy(port))
    files = sorted((node.home / "state" / "revisions").iterdir())
    kept = {f"{one['revision']}.json" for one in node.status()["revisions"]}

    assert {one.name for one in files} == kept
    assert {one.stat().st_mode & 0o777 for one in files} == {0o600}
    assert all(json.loads(one.read_text(encoding="utf-8"))["modes"] == {} for one in files)
    node.run("detach")
    assert not (node.home / "state" / "revisions").exists()
