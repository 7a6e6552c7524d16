"""Files of policies that are followed: what arrives on a real link is what they say, a moment later."""

import contextlib
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.app.sensors.policy import PolicySensor
from netsre.metrics.readings import Readings
from tests.kernel.block_link import INTERFACE, PORT, SOURCE, TARGET
from tests.kernel.followed_node import followed
from tests.kernel.policed_node import ENDPOINTS, Node, policed_node, policy
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_ALLOWS, _DENIES = policy(PORT), policy(PORT + 1)
_ALSO: Final = ("altname", INTERFACE)
_BAD: Final = _ALLOWS.replace("policyTypes", "policyTipes")


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint, with a policy that denies."""
    with policed_node() as made:
        write(made, _DENIES)
        yield made


def write(node: Node, text: str, name: str = "policy.yaml") -> None:
    """Put a file there as editors and deployments do, under another name first."""
    fresh = node.home / f".{name}.new"
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(node.home / name)


def passes(node: Node) -> bool:
    """Say whether anything of what the endpoint sends arrives."""
    return node.link.send(SOURCE[4], TARGET[4], 5) > 0


def becomes(node: Node, *, passing: bool) -> bool:
    """Say whether it comes to that."""
    return wait_until(lambda: passes(node) is passing, PATIENCE)


def test_what_becomes_of_files_decides_and_stays_when_nobody_follows_any_more(node: Node) -> None:
    """A file that is renamed over, one that is written in place, another endpoint; then the end."""
    with followed(node) as follower:
        denied = passes(node)
        write(node, _ALLOWS)
        first = follower.hears("applied")
        allowed = passes(node)
        (node.home / "policy.yaml").write_text(_DENIES, encoding="utf-8")
        second = follower.hears("applied")
        in_place = passes(node)
        write(node, ENDPOINTS.replace("pod: a", "pod: c"), "endpoints.yaml")
        follower.hears("applied")
        nobody_isolates = passes(node)
        status = node.status()["following"]
        code = follower.end()

    assert (denied, allowed, in_place, nobody_isolates) == (False, True, False, True)
    assert (first["written"] > 0, second["before"]) == (True, first["revision"])
    assert (status["process"], status["state"], status["detail"]) == (follower.process.pid, "following", None)
    assert code == 0
    assert follower.hears("ended")["revision"] == node.in_force()
    assert node.status()["following"] is None
    assert passes(node)


def test_what_cannot_be_read_is_one_line_and_changes_nothing_until_it_can(node: Node) -> None:
    """The file, the line, the value; told in the status; and the next file comes into force."""
    with followed(node) as follower:
        write(node, _BAD)
        wrong = follower.hears("state")
        status = node.status()["following"]
        denied = passes(node)
        (node.home / "policy.yaml").unlink()
        missing = follower.hears("state")
        write(node, _ALLOWS)
        follower.hears("applied")
        well = follower.hears("state")
        allowed = passes(node)
        follower.end()
        complaints = follower.complaints()

    assert (wrong["state"], well["state"], well["detail"]) == ("wrong", "following", None)
    assert "policy.yaml:7:" in wrong["detail"]
    assert "policyTipes" in wrong["detail"]
    assert (status["state"], status["detail"]) == ("wrong", wrong["detail"])
    assert "policy.yaml" in missing["detail"]
    assert (denied, allowed) == (False, True)
    assert complaints.splitlines() == [wrong["detail"], missing["detail"]]


def test_what_others_take_back_stays_until_the_files_change(node: Node) -> None:
    """A rollback is said, and not undone; the next change goes on from it."""
    with followed(node) as follower:
        write(node, _ALLOWS)
        before = follower.hears("applied")["before"]
        node.run("rollback")
        denied = passes(node)
        told = follower.hears("state")
        still_denied = passes(node)
        write(node, policy(PORT, 3))
        after = follower.hears("applied")
        allowed = passes(node)
        follower.end()

    assert (denied, still_denied, allowed) == (False, False, True)
    assert told["state"] == "elsewhere"
    assert f"revision {before} is in force by another command" in told["detail"]
    assert after["before"] == before


def test_what_was_put_into_force_is_known_again_when_it_comes_back(node: Node) -> None:
    """A rollback that is taken back is wrong no more; the same number of a datapath made anew is others'."""
    with followed(node) as follower:
        write(node, _ALLOWS)
        ours = follower.hears("applied")["revision"]
        node.run("rollback")
        taken_back = follower.hears("state")
        node.run("rollback", str(ours))
        well = follower.hears("state")
        (node.home / "other.yaml").write_text(policy(PORT, 3), encoding="utf-8")
        node.run("detach")
        for place in ("policy.yaml", "other.yaml"):
            node.run("apply", str(node.home / place), *node.applying()[2:])
        same = node.in_force()
        others = follower.hears("state")
        follower.end()

    assert (taken_back["state"], well["state"], well["detail"]) == ("elsewhere", "following", None)
    assert (others["state"], same) == ("elsewhere", ours)


@pytest.mark.parametrize("taken_back", [False, True])
def test_a_file_that_was_away_is_the_one_that_it_was(node: Node, *, taken_back: bool) -> None:
    """What is said of files that cannot be read ends with that, and what others took back stays so."""
    with followed(node) as follower:
        write(node, _ALLOWS)
        follower.hears("applied")
        if taken_back:
            node.run("rollback")
            follower.hears("state")
        (node.home / "endpoints.yaml").rename(node.home / "away.yaml")
        missing = follower.hears("state")
        (node.home / "away.yaml").rename(node.home / "endpoints.yaml")
        there = follower.hears("state")
        arrives = passes(node)
        follower.end()

    assert missing["state"] == "wrong"
    assert (there["state"], arrives) == (("elsewhere", False) if taken_back else ("following", True))


def test_what_waits_for_a_canary_waits_for_it_also_when_files_were_away(node: Node) -> None:
    """Nothing has come of it until then."""
    with followed(node) as follower:
        (node.home / "tried.yaml").write_text(policy(PORT + 2), encoding="utf-8")
        canary = ("--canary", "x/own", "--ttl", "10m")
        node.run("apply", str(node.home / "tried.yaml"), *node.applying()[2:], *canary)
        write(node, _ALLOWS)
        states = [follower.hears("state")["state"]]
        (node.home / "endpoints.yaml").rename(node.home / "away.yaml")
        states.append(follower.hears("state")["state"])
        (node.home / "away.yaml").rename(node.home / "endpoints.yaml")
        states.append(follower.hears("state")["state"])
        node.run("rollback")
        follower.hears("applied")
        allowed = passes(node)
        follower.end()

    assert states == ["on_trial", "wrong", "on_trial"]
    assert allowed


def test_other_commands_go_on_and_a_canary_is_waited_for(node: Node) -> None:
    """A mode, an order, a canary; what changes meanwhile comes into force after it."""
    with followed(node) as follower:
        node.run("mode", "monitor")
        monitored = passes(node)
        node.run("deny", TARGET[4])
        ordered = passes(node)
        node.run("deny", TARGET[4], "--remove")
        node.run("mode", "enforce")
        (node.home / "tried.yaml").write_text(_DENIES, encoding="utf-8")
        canary = ("--canary", "x/own", "--ttl", "10m")
        node.run("apply", str(node.home / "tried.yaml"), *node.applying()[2:], *canary)
        write(node, _ALLOWS)
        waits = follower.hears("state")
        on_trial = passes(node)
        node.run("rollback")
        follower.hears("applied")
        allowed = passes(node)
        follower.end()

    assert (monitored, ordered, on_trial, allowed) == (True, False, False, True)
    assert waits["state"] == "on_trial"
    assert "netsre policy promote, or rollback" in waits["detail"]


def test_an_interface_that_is_made_anew_is_policed(node: Node) -> None:
    """Another number under the same name, as a workload has it that starts again; then another name, too."""
    with followed(node) as follower:
        node.link.run(node.link.receiver, "ip", "link", "del", INTERFACE)
        gone = follower.hears("policed")
        node.link.connect()
        come = follower.hears("policed")
        denied = passes(node)
        for change in (("set", INTERFACE, "name", "other"), ("property", "add", "dev", "other", *_ALSO)):
            node.link.run(node.link.receiver, "ip", "link", *change)
        follower.hears("applied")
        still_denied = passes(node)
        write(node, _ALLOWS)
        follower.hears("applied")
        allowed = becomes(node, passing=True)
        follower.end()

    assert (gone["interfaces"], gone["gone"]) == ([], [INTERFACE])
    assert (come["interfaces"], come["gone"]) == ([INTERFACE], [])
    assert (denied, still_denied, allowed) == (False, False, True)


def test_a_mounted_volume_is_followed_and_half_of_a_file_is_not_read(node: Node) -> None:
    """All files become others by one link, as Kubernetes does it; half of one that is new would allow."""
    volume = node.home / "volume"
    for generation, port in (("..1", PORT), ("..2", PORT + 1)):
        (volume / generation).mkdir(parents=True)
        (volume / generation / "policy.yaml").write_text(policy(port), encoding="utf-8")
    (volume / "..data").symlink_to("..1")
    (volume / "policy.yaml").symlink_to("..data/policy.yaml")
    (node.home / "policy.yaml").rename(node.home / "elsewhere.yaml")
    (node.home / "policy.yaml").symlink_to(volume)
    with followed(node) as follower:
        allowed = passes(node)
        (volume / "..data_tmp").symlink_to("..2")
        (volume / "..data_tmp").rename(volume / "..data")
        follower.hears("applied")
        denied = passes(node)
        (volume / "sub").mkdir()
        (volume / "sub" / "more.yaml").write_text(_DENIES.replace("name: p", "name: q"), encoding="utf-8")
        follower.hears("applied")
        with (volume / "sub" / "more.yaml").open("w", encoding="utf-8") as file:
            file.write(_ALLOWS.replace("name: p", "name: q"))
            file.flush()
            half = passes(node)
            file.write("---" + _DENIES.replace("name: p", "name: r"))
        whole = follower.hears("applied")
        follower.end()
        complaints = follower.complaints()

    assert (allowed, denied, half) == (True, False, False)
    assert (whole["policies"], complaints) == (3, "")


def test_what_the_node_cannot_do_is_tried_again_though_no_file_changes(node: Node) -> None:
    """Nobody remembers whose a mode is: that is no mistake in a file, and is over when it is taken back."""
    with followed(node) as follower:
        node.run("mode", "monitor", "--endpoint", "x/own")
        state = node.home / "state"
        (state / "state.json").unlink()
        shutil.rmtree(state / "revisions")
        write(node, _ALLOWS)
        told = follower.hears("state")
        node.run("mode", "inherit", "--endpoint", "endpoint 1")
        follower.hears("applied")
        allowed = passes(node)
        follower.end()

    assert (told["state"], allowed) == ("refused", True)
    assert "endpoint 1" in told["detail"]


def test_what_was_left_and_nobody_can_read_is_named_once_and_set_aside(node: Node) -> None:
    """It is followed all the same, and told how it goes."""
    state = node.home / "state"
    state.mkdir(mode=0o700)
    (state / "following.json").write_text("{", encoding="utf-8")
    with followed(node) as follower:
        there = node.status()["following"]
        write(node, _ALLOWS)
        follower.hears("applied")
        allowed = passes(node)
        follower.end()
        (complaint,) = follower.complaints().splitlines()

    assert f"{state}/following.json cannot be read (" in complaint
    assert complaint.endswith("; set aside as following.json.damaged")
    assert (state / "following.json.damaged").read_text(encoding="utf-8") == "{"
    assert (there["state"], allowed) == ("following", True)


@contextlib.contextmanager
def small_disk(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """Have a directory be a disk of its own; yield a file that has all room there as soon as it is filled."""
    directory.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "none", directory], check=True)
    try:
        yield directory / "ballast"
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(file: pathlib.Path) -> None:
    """Take all room that is left."""
    with file.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(512))


def test_what_cannot_be_written_down_for_want_of_room_is_told_as_unknown(node: Node) -> None:
    """The status says so, and no longer what was true before; with room again everything goes on."""
    with small_disk(node.home / "state") as ballast, followed(node) as follower:
        before = node.status()["following"]
        fill(ballast)
        write(node, _ALLOWS)
        told = [follower.hears("state") for _ in range(2)]
        full = node.status()["following"]
        shown = node.run("status")
        ballast.unlink()
        follower.hears("applied")
        assert wait_until(lambda: node.status()["following"]["state"] == "following")
        after = node.status()["following"]
        follower.end()

    assert (before["state"], full["state"]) == ("following", "unknown")
    assert {one["state"] for one in told} == {"refused"}
    assert all("No space left" in one["detail"] for one in told)
    assert full["process"] == after["process"] == follower.process.pid
    assert f"there is no room in {node.home / 'state'}" in " ".join(shown.split())


def test_there_is_one_who_follows_and_after_a_kill_the_next_one_goes_on(node: Node) -> None:
    """A second one says who does already; killed, what others took back stays until the files change."""
    with followed(node) as follower:
        complaint = node.run(*node.applying(), "--follow", code=3)
        write(node, _ALLOWS)
        follower.hears("applied")
        follower.end(signal.SIGKILL)
        gone = node.status()["following"]
        readings = Readings()
        PolicySensor(node.pins, node.home / "state").read(readings, 0.0)
        node.run("rollback")
    with followed(node) as another:
        denied = passes(node)
        there = node.status()["following"]
        write(node, policy(PORT, 3))
        another.hears("applied")
        allowed = passes(node)
        another.end()

    assert f"process {follower.process.pid} " in complaint
    assert complaint.count("\n") == 1
    assert (gone["state"], gone["process"]) == ("gone", None)
    assert readings.numbers[c.POLICY_FOLLOWING] == [({"state": "gone"}, 1)]
    assert (denied, allowed) == (False, True)
    assert (there["process"], there["state"]) == (another.process.pid, "elsewhere")
