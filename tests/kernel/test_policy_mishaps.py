"""What goes wrong around policies in force: foreign files, full disks, lost pins; one line each."""

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters import namespaces, processes
from netsre.adapters.bpf import pins, syscalls
from tests.kernel.block_link import INTERFACE, PORT, SOURCE, TARGET
from tests.kernel.command_node import begun
from tests.kernel.policed_node import Node, policed_node, policy

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_TINY: Final = "size=4k"


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


def test_what_somebody_else_has_is_not_taken_away(node: Node) -> None:
    """Below no BPF file system, in a directory with other names in it, and a whole BPF file system."""
    node.apply(policy(PORT + 1))
    file = node.home / "plain" / "sub" / "precious"
    file.parent.mkdir(parents=True)
    file.write_text("x", encoding="utf-8")
    foreign = node.home / "bpf" / "other" / "sub"
    foreign.mkdir(parents=True)

    for place in (node.home / "plain", node.home / "bpf", foreign.parent):
        complaint = node.run("detach", "--pins", str(place), code=3)
        assert str(place) in complaint
        assert complaint.count("\n") == 1
    assert file.exists()
    assert foreign.is_dir()
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_outside_a_bpf_file_system_nothing_is_made_or_cleared(node: Node) -> None:
    """Neither is the name beside it, where it would be built; and a name there has no dot."""
    beside = node.home / "plain" / "policy_new" / "precious"
    beside.mkdir(parents=True)
    (node.home / "policy.yaml").write_text(policy(PORT), encoding="utf-8")
    plain = node.run(*node.applying(), "--pins", str(node.home / "plain" / "policy"), code=3)
    dotted = node.run(*node.applying(), "--pins", str(node.home / "bpf" / "a.b"), code=3)

    assert "mount -t bpf" in plain
    assert beside.is_dir()
    assert "dot" in dotted


def test_no_endpoints_are_a_revision_like_any_other(node: Node) -> None:
    """After it the next one is put into force as ever."""
    first = node.apply(policy(PORT + 1))["revision"]
    listed = (node.home / "endpoints.yaml").read_text(encoding="utf-8")
    (node.home / "endpoints.yaml").write_text("[]", encoding="utf-8")
    none = node.apply(policy(PORT + 1))
    same = node.apply(policy(PORT + 1))
    (node.home / "endpoints.yaml").write_text(listed, encoding="utf-8")
    again = node.apply(policy(PORT + 1))

    assert none["revision"] == same["revision"]
    assert again["revision"] == first
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_a_state_directory_without_room_is_said_and_the_old_revision_decides(node: Node) -> None:
    """Full, and then for reading only; with room again all goes on."""
    node.apply(policy(PORT + 1))
    state = node.home / "state"
    subprocess.run(["mount", "-t", "tmpfs", "-o", _TINY, "netsre-test", str(state)], check=True)
    try:
        (state / "fill").write_bytes(bytes(4096))
        (node.home / "policy.yaml").write_text(policy(PORT), encoding="utf-8")
        full = node.run(*node.applying(), code=3)
        subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
        closed = node.run(*node.applying(), code=3)
    finally:
        subprocess.run(["umount", str(state)], check=True)

    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0
    for complaint, reason in ((full, "No space left"), (closed, "Read-only")):
        assert reason in complaint
        assert str(state) in complaint
        assert complaint.count("\n") == 1
    node.apply(policy(PORT))
    assert node.link.passes()


@pytest.mark.parametrize("at", ["text", "infinity", "negative"])
def test_a_state_of_wrong_types_is_said(node: Node, at: str) -> None:
    """The file, and what to do with it."""
    node.apply(policy(PORT))
    file = node.home / "state" / "state.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    if at == "text":
        state["made"] = {number: {**one, "at": "x"} for number, one in state["made"].items()}
    elif at == "negative":
        state["numbers"]["rules"]["last"] = -5
    else:
        state["compiles"][0]["counts"][0] = float("inf")
    file.write_text(json.dumps(state), encoding="utf-8")

    for command in (("status",), node.applying()):
        complaint = node.run(*command, code=3)
        assert "move it away and apply again" in complaint
        assert complaint.count("\n") == 1


def test_names_of_others_beside_the_links_are_left_alone(node: Node) -> None:
    """They are no links of ours; what is policed stays so."""
    node.apply(policy(PORT + 1))
    (node.home / "bpf" / "policy" / "links" / "foreign").mkdir()

    assert node.status()["interfaces"] == [INTERFACE]
    assert node.apply(policy(PORT + 1))["interfaces"] == [INTERFACE]
    node.run("detach")
    assert node.link.passes()


@pytest.mark.parametrize("name", ["maps/policy_ct", "programs/policy_to_endpoint"])
def test_a_pin_that_is_lost_is_said_and_ends_with_detach(node: Node, name: str) -> None:
    """The datapath goes on as it is; taken away and applied again, all is well."""
    node.apply(policy(PORT + 1))
    (node.home / "bpf" / "policy" / name).unlink()
    complaint = node.run(*node.applying(), code=3)
    still = node.link.send(SOURCE[4], TARGET[4], 5)
    node.run("detach")
    node.apply(policy(PORT + 1))

    assert still == 0
    assert pathlib.PurePath(name).name in complaint
    assert "netsre policy detach, then apply" in complaint
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_two_names_of_one_interface_are_one(node: Node) -> None:
    """It has one link each way, under whichever name it was asked for."""
    node.link.run(node.link.receiver, "ip", "link", "property", "add", "dev", INTERFACE, "altname", "other")
    more = "- {name: more, namespace: x, labels: {pod: a}, ips: [10.9.0.77], interface: other}\n"
    file = node.home / "endpoints.yaml"
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")

    assert node.apply(policy(PORT + 1))["interfaces"] == [INTERFACE, "other"]
    assert node.status()["interfaces"] == [INTERFACE]
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_an_interface_with_the_number_of_one_that_moved_away_is_policed(node: Node) -> None:
    """One that moves to another namespace keeps its links; its number is another's here."""
    node.apply(policy(PORT + 1))
    shown = json.loads(node.link.run(node.link.receiver, "ip", "--json", "link", "show", INTERFACE))
    index, before = str(shown[0]["ifindex"]), link_ids(node)
    elsewhere = processes.this_process().name("test", "elsewhere")
    namespaces.create(elsewhere)
    try:
        node.link.run(node.link.receiver, "ip", "link", "set", INTERFACE, "netns", elsewhere)
        moved = json.loads(node.link.run(elsewhere, "ip", "--json", "link", "show", INTERFACE))
        pair = ("type", "veth", "peer", "name", "other")
        node.link.run(node.link.receiver, "ip", "link", "add", INTERFACE, "index", index, *pair)
        again = node.apply(policy(PORT + 1))
    finally:
        namespaces.remove(elsewhere)

    assert str(moved[0]["ifindex"]) == index
    assert again["interfaces"] == [INTERFACE]
    assert len(before) == len(link_ids(node)) == 2
    assert not before & link_ids(node)


def test_from_another_network_namespace_nothing_is_changed(node: Node) -> None:
    """Whose interfaces are policed is said, and how to get there; a way back is a switch from anywhere."""
    first = node.apply(policy(PORT + 1))["revision"]
    node.apply(policy(PORT))
    before = link_ids(node)

    def there(*arguments: str) -> tuple[int, str]:
        process = namespaces.inside(node.link.sender, lambda: begun(node.command(*arguments)))
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    (node.home / "policy.yaml").write_text(policy(PORT + 2), encoding="utf-8")
    canary = "--canary", "x/own", "--ttl", "1h"
    told = [
        there(*node.applying()),
        there(*node.applying(), *canary),
        there("mode", "off", "--policy", "x/p"),
    ]

    assert [code for code, _ in told] == [2] * 3
    assert all(f"ip netns exec {node.link.receiver} netsre" in said for _, said in told)
    assert all(said.count("\n") == 1 for _, said in told)
    assert link_ids(node) == before
    assert node.link.passes()
    code, said = there("rollback", str(first))
    assert (code, link_ids(node)) == (0, before)
    assert "policed is what was before" in said
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def link_ids(node: Node) -> set[str]:
    """Return the ids of the links that have names."""
    found = set()
    for path in (node.home / "bpf" / "policy" / "links").iterdir():
        fd = pins.opened(path)
        found.add(syscalls.fdinfo(fd)["link_id"])
        os.close(fd)
    return found
