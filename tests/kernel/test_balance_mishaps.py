"""What goes wrong around services that are balanced by command: foreign files, lost state; one line each."""

import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.datapath.balance import layouts
from tests.kernel.balanced import ADDRESSES, PORT, backend
from tests.kernel.balanced_node import Node, balanced_node

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

EVERY: Final = {backend(1, version) for version in (4, 6)}


@pytest.fixture
def node() -> Iterator[Node]:
    """Make two backends of each family, and a cgroup; nothing is balanced yet."""
    with balanced_node(2) as made:
        yield made


def load(node: Node) -> set[str]:
    """Connect to service 1 in both families; return who answered, or what failed."""
    return {*node.site.load([address.format(1) for address in ADDRESSES.values()], 10)}


def test_what_cannot_be_put_into_force_leaves_what_is(node: Node) -> None:
    """A bad file, a directory that is no cgroup, and no BPF file system; one line each."""
    node.apply({1: [1]})
    good = node.file.read_text(encoding="utf-8")
    node.file.write_text(good.replace('"port": 80', '"port": 0', 1), encoding="utf-8")
    bad = node.run(*node.applying(), code=2)
    node.file.write_text(good, encoding="utf-8")
    plain = node.run("apply", str(node.file), "--cgroup", str(node.home), code=2)
    nowhere = node.run(*node.applying(), "--pins", str(node.home / "none" / "balance"), code=3)
    dotted = node.run(*node.applying(), "--pins", str(node.home / "bpf" / "a.b"), code=3)

    assert "BAL003" in bad
    assert "is no cgroup" in plain
    assert "mount -t bpf" in nowhere
    assert "dot" in dotted
    assert [one.count("\n") for one in (bad, plain, nowhere, dotted)] == [1, 1, 1, 1]
    assert load(node) == EVERY


def test_whoever_remembers_elsewhere_what_he_changes_is_waited_for(node: Node) -> None:
    """Another place for that is no way around the lock of what is pinned; for whom is said."""
    node.apply({1: [1]})
    lock = os.open(node.home / "bpf" / "balance_lock", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with node.start("rollback", "--state", str(node.home / "other")) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        os.close(lock)
        _, rest = process.communicate(timeout=60)

    assert f"waiting for process {os.getpid()} " in line
    assert "no revision before 1 is kept" in rest


def test_without_a_balancer_each_command_says_what_to_do(node: Node) -> None:
    """Exit 2 and one line; there is nothing to take away either."""
    for command in (("status",), ("rollback",), ("drain", "10.0.0.1"), ("undrain", "10.0.0.1")):
        complaint = node.run(*command, code=2)
        assert "netsre balance apply" in complaint
        assert complaint.count("\n") == 1
    node.run("detach")


def test_what_somebody_else_has_is_not_taken_away(node: Node) -> None:
    """Below no BPF file system, and in a directory with other names in it."""
    node.apply({1: [1]})
    file = node.home / "plain" / "precious"
    file.parent.mkdir()
    file.write_text("x", encoding="utf-8")
    foreign = node.home / "bpf" / "other" / "sub"
    foreign.mkdir(parents=True)
    for place in (file.parent, foreign.parent):
        assert str(place) in node.run("detach", "--pins", str(place), code=3)

    assert file.exists()
    assert foreign.is_dir()
    assert load(node) == EVERY


def test_a_state_that_is_lost_costs_names_and_no_connection(node: Node) -> None:
    """Places stand for names, nothing can be drained; applied again, all is well, with other tables."""
    first = node.apply({1: [1], 2: [2]})
    for path in (node.home / "state").iterdir():
        path.unlink()
    lost = node.status()
    complaint = node.run("drain", backend(1, 4), code=2)
    connected = load(node)
    again = json.loads(node.run("apply", str(node.file), "--json"))
    found = node.status()

    assert again["cgroup"] == lost["cgroup"] == str(node.site.cgroup.directory)
    assert {one["service"] for one in lost["backends"]} == {one["place"] for one in lost["backends"]}
    assert "netsre balance apply" in complaint
    assert connected == load(node) == EVERY
    assert again["revision"] == first["revision"] + 1
    assert {one["service"] for one in found["backends"]} == {"default/s1", "default/s2"}


def test_a_state_of_another_balancer_is_not_taken_for_its_own(node: Node) -> None:
    """Its numbers of tables mean something else: with it backends would be given to strangers."""
    node.apply({1: [2]})
    other = ("--pins", str(node.home / "bpf" / "other"))
    node.apply({1: [1]}, *other)
    node.run("detach", *other)
    node.apply({1: [1]})

    assert load(node) == EVERY


@pytest.mark.parametrize("text", ["{", '{"version": 9}', '{"version": 1, "balancer": "x"}'])
def test_a_state_that_cannot_be_read_is_said(node: Node, text: str) -> None:
    """The file, and what to do with it; what is balanced stays so."""
    node.apply({1: [1]})
    (node.home / "state" / "state.json").write_text(text, encoding="utf-8")
    for command in (("status",), node.applying()):
        complaint = node.run(*command, code=3)
        assert "move it away and apply again" in complaint
        assert complaint.count("\n") == 1
    assert load(node) == EVERY


@pytest.mark.parametrize("name", ["maps/balance_peers", "programs/netsre_bal_con4"])
def test_a_pin_that_is_lost_is_said_and_ends_with_detach(node: Node, name: str) -> None:
    """The balancer goes on as it is; taken away and applied again, all is well."""
    node.apply({1: [1]})
    (node.pins / name).unlink()
    complaint = node.run(*node.applying(), code=3)
    still = load(node)
    node.run("detach")
    node.apply({1: [1]})

    assert pathlib.PurePath(name).name in complaint
    assert "netsre balance detach, then apply" in complaint
    assert still == load(node) == EVERY


def test_a_link_that_is_lost_is_attached_again(node: Node) -> None:
    """Without it one kind of call is not balanced, which status says."""
    node.apply({1: [1]})
    (node.pins / "links" / "connect4").unlink()
    lost = load(node)
    said = node.status()["attached"]
    node.apply({1: [1]})

    assert backend(1, 6) in lost
    assert backend(1, 4) not in lost
    assert (said, node.status()["attached"]) == (False, True)
    assert load(node) == EVERY


def test_more_services_than_fit_are_refused_and_older_revisions_make_room(node: Node) -> None:
    """One that fits alone takes the place of those that are kept; one that does not leaves all as it is."""

    def large(count: int) -> str:
        addresses = [f"198.19.{number // 250}.{number % 250 + 1}" for number in range(count)]
        whole = {"name": "large", "addresses": addresses, "port": PORT, "backends": []}
        return json.dumps([*json.loads(small), whole])

    first = node.apply({1: [1]})["revision"]
    small = node.file.read_text(encoding="utf-8")
    half = layouts.MAX_SERVICES // 2
    node.file.write_text(large(half - 100), encoding="utf-8")
    second = json.loads(node.run(*node.applying(), "--json"))["revision"]
    node.file.write_text(large(half + 91), encoding="utf-8")
    third = json.loads(node.run(*node.applying(), "--json"))["revision"]
    node.file.write_text(large(half + 200), encoding="utf-8")
    complaint = node.run(*node.applying(), code=3)

    assert (second, third) == (first + 1, first + 2)
    assert [one["revision"] for one in node.status()["revisions"]] == [third, second]
    assert "does not fit" in complaint
    assert "services" in complaint
    assert complaint.count("\n") == 1
    assert load(node) == EVERY
