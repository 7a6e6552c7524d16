"""Programs that police a real link, exchanged for those of another version and put back again."""

import concurrent.futures
import dataclasses
import functools
import json
import os
import pathlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from netsre.adapters import namespaces, processes
from netsre.adapters.bpf import pins, policy_programs, syscalls
from netsre.adapters.bpf.policy import open_policy
from netsre.adapters.bpf.policy_pins import Pins
from netsre.adapters.bpf.policy_programs import Running
from netsre.app import standing
from netsre.app.effects import ledger
from netsre.app.effects.ledger import Entry, Ledger, State, Where
from netsre.app.local.sweep import sweep
from netsre.app.policing import node as policing
from netsre.app.policing import programs
from netsre.clock import Timestamp
from netsre.datapath.policy.programs import CONNECTIONS, PROGRAMS
from netsre.datapath.standing import POLICIES, Version
from netsre.model.effects import Stagger
from tests.kernel import backlog
from tests.kernel.block_link import COUNT, INTERFACE, PORT, SOURCE, TARGET
from tests.kernel.followed_node import followed
from tests.kernel.killed_steps import killed_at
from tests.kernel.policed_node import ENDPOINTS, Node, policed_node, policy
from tests.kernel.program_sources import DROPS_ALL, SENDS, other_sources

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_SECOND: Final = "second"
_EXCHANGES: Final = 20
"""Of each kind."""
_AT_ONCE: Final = 100
_MOST_STEPS: Final = 100


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


@pytest.fixture
def bad(tmp_path: pathlib.Path) -> str:
    """Make the sources of a version that drops whatever the endpoint sends."""
    return str(other_sources(tmp_path, SENDS, DROPS_ALL))


@pytest.fixture
def same(tmp_path: pathlib.Path) -> str:
    """Make the sources of a version that does the same."""
    return str(other_sources(tmp_path, SENDS, f"/* another one */{SENDS}"))


def told(node: Node, *options: str) -> dict[str, Any]:
    """Return what runs, after what was asked for."""
    found: dict[str, Any] = json.loads(node.run("programs", "--json", *options))
    return found


def arrived(node: Node) -> int:
    """Return how many packets of the endpoint arrive."""
    return node.link.send(SOURCE[4], TARGET[4])


def places(node: Node) -> policing.Places:
    """Return where it polices."""
    return policing.Places(node.pins, node.home / "state")


def test_a_bad_version_is_gone_back_from_and_comes_again_only_when_it_is_accepted(
    node: Node, bad: str
) -> None:
    """Whoever applies it: the policies come into force, and are decided about by the programs of before."""
    node.apply(policy(PORT))
    first = told(node)
    node.apply(policy(PORT), "--programs", bad)
    dropped, second = arrived(node), told(node, "--programs", bad)
    back = told(node, "--rollback")
    passed = arrived(node)
    with node.start(*node.applying(), "--programs", bad) as process:
        _, complaint = process.communicate()
    still = told(node, "--programs", bad), arrived(node)
    shown = node.status(), node.run("status")
    node.apply(policy(PORT + 1), "--programs", bad)
    denied, refusal = arrived(node), node.run("programs", "--rollback", code=2)
    forward = told(node, "--accept")
    nothing = node.run("programs", "--accept", code=2)

    assert (first["kept"], first["programs"]) == (None, first["ofThisVersion"])
    assert (second["programs"], second["kept"]) == (second["ofThisVersion"], first["programs"])
    assert (dropped, passed) == (0, COUNT)
    assert (back["programs"], back["kept"], back["goneBackFrom"]) == (
        first["programs"],
        second["programs"],
        True,
    )
    assert "netsre policy programs --accept" in complaint
    assert (still[0]["programs"], still[1]) == (first["programs"], COUNT)
    assert (shown[0]["programs"], shown[0]["programsGoneBackFrom"]) == (first["programs"], back["kept"])
    assert "were gone back from" in shown[1]
    assert (denied, forward["programs"], forward["goneBackFrom"]) == (0, second["programs"], False)
    assert "--accept" in refusal
    assert refusal.count("\n") == nothing.count("\n") == 1


def test_whose_programs_decide_is_told(node: Node, same: str) -> None:
    """Of this version, of another one, or of before because somebody went back."""

    def whose(sources: str | None) -> Version:
        found = standing.in_force({POLICIES: node.pins}, None if sources is None else pathlib.Path(sources))
        return found[POLICIES].version

    node.apply(policy(PORT))
    first = whose(None), whose(same)
    node.apply(policy(PORT), "--programs", same)
    second = whose(None), whose(same)
    node.run("programs", "--rollback")
    back = whose(None), whose(same)
    (node.pins / "maps" / CONNECTIONS).unlink()

    assert first == (Version.THIS, Version.OTHER)
    assert second == (Version.OTHER, Version.THIS)
    assert back == (Version.THIS, Version.BEFORE)
    assert whose(None) is Version.STRANGE


def test_under_load_no_packet_is_lost_or_undecided_and_no_connection_is_forgotten(
    node: Node, same: str
) -> None:
    """Back and forward while the endpoint sends: each packet arrives and is counted, in one connection."""
    node.apply(policy(PORT))
    node.apply(policy(PORT), "--programs", same)
    # Somebody listens: errors that come back would belong to the connection, and be counted with it.
    server = namespaces.inside(node.link.receiver, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    with server, concurrent.futures.ThreadPoolExecutor() as pool:
        server.bind(("::", PORT))
        before = node.link.arrived()
        exchanged = pool.submit(_back_and_forward, places(node))
        sent = namespaces.inside(node.link.sender, lambda: _sent_until(exchanged.done))
        exchanged.result()

    allowed = [one for one in node.status()["verdicts"] if "x/p" in one["rule"]]
    assert node.link.arrived() - before == sent
    assert [(one["packets"], one["connections"]) for one in allowed] == [(sent, 1)]


def _back_and_forward(where: policing.Places) -> None:
    """Exchange programs again and again; sooner than commands would, which take long to start."""
    for _ in range(_EXCHANGES):
        programs.go_back(where)
        programs.accept(where)


def _sent_until(over: Callable[[], bool]) -> int:
    """Send from one port until then, and at least once; return how many packets were sent."""
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((SOURCE[4], 0))
        while not sent or not over():
            for _ in range(_AT_ONCE):
                sender.sendto(b"x" * 32, (TARGET[4], PORT))
            sent += _AT_ONCE
    backlog.drain()
    return sent


def test_what_is_denied_stays_so_while_programs_go_back(node: Node, same: str) -> None:
    """No packet passes between those of one version and those of the other."""
    node.apply(policy(PORT + 1))
    node.apply(policy(PORT + 1), "--programs", same)
    with node.start("programs", "--rollback") as process:
        passed = 0
        while process.poll() is None:
            passed += node.link.send(SOURCE[4], TARGET[4], 50)
        assert process.returncode == 0

    assert passed == 0
    assert arrived(node) == 0


def test_an_interface_that_comes_later_gets_what_runs(node: Node, bad: str) -> None:
    """Not what was gone back from, although whoever applies brings that."""
    node.link.run(node.link.receiver, "ip", "link", "add", _SECOND, "type", "veth")
    node.apply(policy(PORT))
    node.apply(policy(PORT), "--programs", bad)
    told(node, "--rollback")
    _also_second(node)
    node.apply(policy(PORT), "--programs", bad)

    assert len(list((node.pins / "links").iterdir())) == 4
    assert len(node.programs()) == 2
    assert arrived(node) == COUNT


def test_who_follows_files_leaves_what_was_gone_back_from(node: Node, bad: str) -> None:
    """The next change of the files is in force, by the programs of before."""
    node.apply(policy(PORT + 1))
    before = told(node)["programs"]
    with followed(node, "--programs", bad) as follower:
        told(node, "--rollback")
        (node.home / "policy.yaml").write_text(policy(PORT), encoding="utf-8")
        follower.hears("applied")
        assert arrived(node) == COUNT
        assert told(node)["programs"] == before


@pytest.mark.parametrize("known", [True, False], ids=["remembered", "forgotten"])
def test_what_an_earlier_version_made_is_kept_where_somebody_remembers_what_it_is(
    node: Node, same: str, *, known: bool
) -> None:
    """Earlier versions gave programs no names by what they were made of."""
    node.apply(policy(PORT))
    first = told(node)["programs"]
    for path in (node.pins / "programs").glob("of_*"):
        pins.remove_tree(path)
    if not known:
        (node.home / "state" / "state.json").unlink()
    unknown = told(node)
    node.apply(policy(PORT), "--programs", same)

    assert (unknown["programs"], unknown["kept"]) == (None, None)
    assert told(node)["kept"] == (first if known else None)
    if known:
        assert told(node, "--rollback")["programs"] == first
    assert arrived(node) == COUNT


def _also_second(node: Node) -> None:
    """Have an endpoint on a second interface."""
    text = f"{ENDPOINTS}- {{name: more, namespace: x, ips: [10.77.0.1], interface: {_SECOND}}}\n"
    (node.home / "endpoints.yaml").write_text(text, encoding="utf-8")


def settled(node: Node) -> Running:
    """Return what runs after the next command; all of a generation does, on every link."""
    found = programs.read(places(node))
    names = {path.name: number(path) for path in (node.pins / "programs").iterdir() if path.name in PROGRAMS}
    links = {(path.name.rpartition("_")[2], number(path)) for path in (node.pins / "links").iterdir()}
    assert links == {("egress", names[PROGRAMS[0]]), ("ingress", names[PROGRAMS[1]])}
    left = {path.name for path in (node.pins / "programs").iterdir()} - {*PROGRAMS, f"of_{found.digest}"}
    assert left <= {f"{'left' if found.is_left else 'of'}_{found.kept}"}
    return dataclasses.replace(found, since_ms=0)


def number(path: pathlib.Path) -> str:
    """Return that of a program, or of the one that a link runs."""
    fd = pins.opened(path)
    try:
        return syscalls.fdinfo(fd)["prog_id"]
    finally:
        os.close(fd)


@pytest.fixture
def twice(node: Node) -> Node:
    """Police two interfaces by what allows."""
    node.link.run(node.link.receiver, "ip", "link", "add", _SECOND, "type", "veth")
    _also_second(node)
    assert {*node.apply(policy(PORT))["interfaces"]} == {INTERFACE, _SECOND}
    return node


def test_killed_at_any_step_on_the_way_back_or_forward_it_is_one_or_the_other(twice: Node, same: str) -> None:
    """What was gone back from is known as that exactly where it does not run; packets pass all the while."""
    node, where = twice, places(twice)
    node.apply(policy(PORT), "--programs", same)
    outcomes = set()
    for step in range(1, _MOST_STEPS):
        for leaves in (True, False):
            before = settled(node)
            after = Running(before.kept, 0, before.digest, is_left=leaves)
            work = functools.partial(programs.exchange, where, before.digest, before.kept, leaves=leaves)
            killed = killed_at(step, work)
            assert node.link.send(SOURCE[4], TARGET[4], 3) == 3
            found = settled(node)
            assert found in ((before, after) if killed else (after,))
            outcomes.add((killed, found == after))
        if not killed:
            break
    assert outcomes == {(True, False), (True, True), (False, True)}


def half_way(node: Node) -> None:
    """Kill an exchange of programs that has begun."""
    for step in range(1, _MOST_STEPS):
        runs = settled(node)
        killed_at(step, functools.partial(programs.go_back, places(node)))
        if not policy_programs.is_settled(Pins(node.pins)):
            return
        assert settled(node) == runs
    raise AssertionError("it never was")


@pytest.mark.parametrize("way", ["rollback", "sweep"])
def test_an_exchange_that_was_killed_is_finished(
    node: Node, same: str, tmp_path: pathlib.Path, way: str
) -> None:
    """By whoever goes back a revision, and by a sweep, wherever an agent had its policies."""
    node.apply(policy(PORT))
    node.apply(policy(PORT + 1), "--programs", same)
    half_way(node)
    if way == "rollback":
        node.run("rollback")
    else:
        ledger.prepare(tmp_path / "effects")
        where = Where(node.pins, node.home / "state")
        on_file = Ledger(tmp_path / "effects", processes.this_process(), where)
        on_file.write(
            Entry("run/1", Stagger(1, 1), State.ENDED, on_file.owner, Timestamp(0), 0, 0, {}, where)
        )
        swept = [(one.kind, one.name) for one in sweep(effects=on_file.directory)]
        assert ("exchange", str(node.pins)) in swept
        assert not [one for one in sweep(effects=on_file.directory) if one.kind == "exchange"]
    assert policy_programs.is_settled(Pins(node.pins))
    assert node.link.send(SOURCE[4], TARGET[4], 3) in (0, 3)


def test_killed_at_any_step_the_programs_of_another_version_run_or_those_of_before(
    twice: Node, same: str
) -> None:
    """And what ran before is kept where they do, and what was kept before where they do not."""
    node, where, template = twice, places(twice), open_policy(pathlib.Path(same))
    outcomes = set()
    for step in range(1, _MOST_STEPS):
        before, digest = settled(node), f"{step:032x}"

        def replaced(fresh: str = digest) -> None:
            with policing.opened(where) as datapath:
                policy_programs.replace(Pins(node.pins), datapath, template, fresh, "")

        killed = killed_at(step, replaced)
        assert node.link.send(SOURCE[4], TARGET[4], 3) == 3
        with where.place.locked():
            policing.settle(where)
        found, after = settled(node), Running(digest, 0, before.digest, is_left=False)
        assert found in ((before, after) if killed else (after,))
        outcomes.add((killed, found == after))
        if not killed:
            break
    assert outcomes == {(True, False), (True, True), (False, True)}
