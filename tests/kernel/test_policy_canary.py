"""Canaries that the command judges, on a real link with live traffic: promoted, or as if nothing had been."""

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

from netsre.app.policing import trials
from netsre.app.policing.node import Places
from netsre.app.resources import directory
from tests.kernel.block_link import OTHER_SOURCE, PORT, SOURCE, TARGET
from tests.kernel.canary_traffic import ENDPOINTS, traffic
from tests.kernel.policed_node import Node, policed_node, policy
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

_LONG: Final = "10m"
"""Longer than any of these tests: what ends before was not a matter of time."""
_OTHER_PORT: Final = f"import socket; socket.socket(2, 2).sendto(b'x', ('{TARGET[4]}', {PORT + 1}))"
_BEFORE: Final = "allowed before by x/p egress[0]"


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a node with two endpoints, whose policy lets both send to the port that is counted."""
    with policed_node() as made:
        (made.home / "endpoints.yaml").write_text(ENDPOINTS, encoding="utf-8")
        made.apply(policy(PORT))
        yield made


def begun(node: Node, text: str, *options: str) -> "subprocess.Popen[str]":
    """Begin a canary of one endpoint that is judged."""
    (node.home / "policy.yaml").write_text(text, encoding="utf-8")
    # No controller listens at this port of the test's own namespace.
    return node.start(*node.applying(), "--canary", "x/own", "--json", *options)


def ended(process: "subprocess.Popen[str]", code: int) -> dict[str, Any]:
    """Return what it said at its end."""
    with process:
        out, complaint = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == code, complaint
    found: dict[str, Any] = json.loads(out)
    return found


def on_trial(node: Node) -> bool:
    """Say whether a canary is on trial, at once: it may be there for a few seconds only."""
    return trials.current(Places(node.pins, node.home / "state", directory("bpf"))) is not None


@both_versions
def test_a_policy_that_lets_live_traffic_pass_is_promoted(node: Node, version: int) -> None:
    """Not before its time is over; then all have it, and it does not end any more."""
    before = node.in_force()
    with traffic(node, SOURCE[version], OTHER_SOURCE[version]) as sent:
        found = ended(begun(node, policy(PORT, 2), "--promote-after", "3s"), 0)

    assert (found["verdict"], found["reason"], found["promoted"]) == ("pass", "healthy", True)
    assert found["seconds"] >= 3
    assert (found["before"], found["inForce"]) == (before, node.in_force())
    assert found["connections"]["x/own"] > 0
    assert found["denied"] == {}
    assert "no controller at" in found["notes"][0]
    assert (sent.lost(SOURCE[version]), sent.lost(OTHER_SOURCE[version])) == (0, 0)
    assert any("172.16.1.0" in one["rule"] or "egress" in one["rule"] for one in node.status()["verdicts"])


@both_versions
def test_a_policy_that_denies_live_traffic_is_withdrawn_at_once_and_others_never_notice(
    node: Node, version: int
) -> None:
    """By what the canary alone lost, though another endpoint has the same labels; it passes again."""
    before = node.in_force()
    with traffic(node, SOURCE[version], OTHER_SOURCE[version]) as sent:
        found = ended(begun(node, policy(PORT + 1), "--promote-after", _LONG), 1)

    assert (found["verdict"], found["reason"], found["promoted"]) == ("fail", "denies", False)
    assert list(found["denied"]) == [_BEFORE]
    assert _BEFORE in found["detail"]
    assert found["inForce"] == before == node.in_force()
    assert sent.lost(SOURCE[version]) > 0
    assert sent.lost(OTHER_SOURCE[version]) == 0
    assert node.link.passes(version)


def test_without_traffic_of_the_canary_nothing_is_promoted(node: Node) -> None:
    """That of others says nothing about it, whatever labels they have in common."""
    before = node.in_force()
    with traffic(node, OTHER_SOURCE[4]):
        found = ended(begun(node, policy(PORT, 2), "--promote-after", "2s"), 1)

    assert (found["verdict"], found["reason"]) == ("inconclusive", "no_traffic")
    assert found["connections"] == {"x/own": 0}
    assert found["inForce"] == before == node.in_force()


def judged_beside_another_port(node: Node, text: str, *options: str) -> tuple[dict[str, Any], int]:
    """Send to two ports while a canary is judged to its end; return what it said, and what arrived at one."""
    process = begun(node, text, "--promote-after", "3s", *options)
    with traffic(node, SOURCE[4]) as sent:
        while process.poll() is None:
            node.link.run(node.link.sender, "python3", "-c", _OTHER_PORT)
    return ended(process, 0), sum(sent.arrived[SOURCE[4]])


def test_what_the_old_policy_denied_as_well_is_no_regression(node: Node) -> None:
    """A port that neither allows, beside one that both do."""
    node.apply(policy(PORT + 1))
    found, arrived = judged_beside_another_port(node, policy(PORT + 1, 2))

    assert (found["verdict"], found["denied"], arrived) == ("pass", {}, 0)


def test_a_list_of_endpoints_that_makes_live_traffic_forged_is_withdrawn(node: Node) -> None:
    """An address was left out, and what has it is dropped; the policies themselves take nothing away."""
    before = node.in_force()
    shorter = ENDPOINTS.replace(f"'{SOURCE[6]}'], interface", f"'{SOURCE[6]}5'], interface")
    with traffic(node, SOURCE[4], SOURCE[6]):
        (node.home / "endpoints.yaml").write_text(shorter, encoding="utf-8")
        found = ended(begun(node, policy(PORT, 2), "--promote-after", _LONG), 1)

    assert (found["verdict"], found["reason"], found["inForce"]) == ("fail", "denies", before)
    assert [*found["denied"]] == ["forged source"]
    assert node.link.send(SOURCE[6], TARGET[6], 5) == 5


def test_forged_sources_of_others_fail_no_canary(node: Node) -> None:
    """Where the new list has all that the list of before has, they were forged before as well."""
    stranger = "10.9.0.9"
    place = (f"{stranger}/24", "dev", "exit")
    node.link.run(node.link.sender, "ip", "address", "add", *place)
    with traffic(node, SOURCE[4], stranger):
        found = ended(begun(node, policy(PORT, 2), "--promote-after", "3s"), 0)

    assert (found["reason"], found["denied"]) == ("healthy", {})
    assert node.status()["events"]["forged_source_dropped"] > 0


def test_so_many_denied_packets_may_be_allowed(node: Node) -> None:
    """Somebody expects them: they are counted, and told."""
    found, _ = judged_beside_another_port(node, policy(PORT + 1), "--allow-denies", "1000000")

    assert found["verdict"] == "pass"
    assert found["denied"][_BEFORE] > 0


def test_while_the_mode_is_off_nothing_is_known(node: Node) -> None:
    """What passes by it was not asked about."""
    node.run("mode", "off", "--endpoint", "x/own")
    with traffic(node, SOURCE[4]):
        found = ended(begun(node, policy(PORT, 2), "--promote-after", "2s"), 1)

    assert (found["verdict"], found["reason"]) == ("inconclusive", "not_enforced")


def test_on_monitor_what_would_be_denied_is_enough(node: Node) -> None:
    """And nobody loses a packet."""
    node.run("mode", "monitor", "--endpoint", "x/own")
    with traffic(node, SOURCE[4]) as sent:
        found = ended(begun(node, policy(PORT + 1), "--promote-after", _LONG), 1)

    assert (found["verdict"], found["reason"]) == ("fail", "denies")
    assert sent.lost(SOURCE[4]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_a_command_that_is_stopped_withdraws(node: Node, number: signal.Signals) -> None:
    """In an orderly way, and says so."""
    before = node.in_force()
    process = begun(node, policy(PORT + 1), "--promote-after", _LONG)
    assert wait_until(lambda: on_trial(node))
    process.send_signal(number)
    found = ended(process, 1)

    assert (found["verdict"], found["reason"]) == ("inconclusive", "interrupted")
    assert found["inForce"] == before == node.in_force()
    assert node.link.passes()


def test_a_command_that_is_killed_leaves_it_to_the_kernel(node: Node) -> None:
    """Denied until the end that it has from the beginning, and allowed from then on, with nobody there."""
    before = node.in_force()
    process = begun(node, policy(PORT + 1), "--promote-after", "5s", "--ttl", "6s")
    assert wait_until(lambda: on_trial(node))
    process.kill()
    process.communicate()

    assert wait_until(node.link.passes)
    assert node.in_force() == before


def test_a_command_that_stands_still_until_the_end_says_so(node: Node) -> None:
    """The kernel has ended it meanwhile: it was not judged, whatever is known of it now."""
    before = node.in_force()
    process = begun(node, policy(PORT, 2), "--promote-after", "3s", "--ttl", "4s")
    assert wait_until(lambda: on_trial(node))
    process.send_signal(signal.SIGSTOP)
    assert wait_until(lambda: not on_trial(node))
    process.send_signal(signal.SIGCONT)
    found = ended(process, 1)

    assert (found["verdict"], found["reason"]) == ("inconclusive", "ended")
    assert found["inForce"] == before == node.in_force()


def test_a_canary_that_somebody_else_ends_is_left_alone(node: Node) -> None:
    """Promoted by hand: the command says so, and takes nothing back."""
    before = node.in_force()
    process = begun(node, policy(PORT, 2), "--promote-after", _LONG)
    assert wait_until(lambda: on_trial(node))
    node.run("promote")
    promoted = node.in_force()
    found = ended(process, 1)

    assert (found["verdict"], found["reason"], found["inForce"]) == ("inconclusive", "taken_over", None)
    assert node.in_force() == promoted != before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--promote-after", "5m", "--ttl", "5m"), "ends the canary before it is judged"),
        (("--ttl", "5m", "--allow-denies", "3"), "write --promote-after, too"),
        (("--ttl", "5m", "--slo", "flow-success"), "write --promote-after, too"),
        (("--promote-after", "5m", "--slo", "x", "--controller", "http://127.0.0.1:1"), "does not answer"),
    ],
)
def test_what_cannot_be_judged_is_not_begun(node: Node, options: tuple[str, ...], complaint: str) -> None:
    """One line, and the old revision stays in force."""
    before = node.in_force()
    process = begun(node, policy(PORT, 2), *options)
    with process:
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == (3 if "does not" in complaint else 2)
    assert complaint in said
    assert node.in_force() == before
