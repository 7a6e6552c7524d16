"""A client that takes half a connection table: alerted by its address, slowed down at XDP, and freed."""

import socket
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters import conntrack, namespaces
from tests.kernel.automated import automated
from tests.kernel.block_link import INTERFACE, OTHER_SOURCE, SOURCE, TARGET
from tests.kernel.filtered_node import Node, filtered_node
from tests.kernel.tracked_link import REMEMBER, TRACK
from tests.machine import PATIENCE, alone_with_limit

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_SOCKETS: Final = 4
_FIRST_PORT: Final = 1_000
_FAIR: Final = 50
"""Entries of another client."""


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose receiver tracks connections, and has its prefilter on."""
    with alone_with_limit(), filtered_node() as made:
        made.link.run(made.link.receiver, "nft", "-f", "-", text=TRACK)
        made.link.run(made.link.receiver, "sh", "-c", REMEMBER)
        made.run("attach", INTERFACE)
        yield made


def send(node: Node, source: str, ports: range, sockets: int) -> None:
    """Open an entry for each port and socket."""

    def work() -> None:
        for _ in range(sockets):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((source, 0))
                for port in ports:
                    sender.sendto(b"", (TARGET[4], port))

    namespaces.inside(node.link.sender, work)


def held(node: Node) -> dict[str, int]:
    """Return the entries of each source, asked of the kernel."""
    found = namespaces.inside(node.link.receiver, lambda: conntrack.count(10, seconds=PATIENCE))
    return {each.source: each.entries for each in found.sources}


def test_a_client_that_takes_half_the_table_is_slowed_down_and_its_entries_are_freed(node: Node) -> None:
    """Once a person says so; whoever else is in the table stays in it."""
    wanted = conntrack.limit() * 55 // 100
    ports = range(_FIRST_PORT, _FIRST_PORT + wanted // _SOCKETS)
    agent = ("--prefilter-pins", str(node.pins), "--without", "loads")
    with automated(node.home, "noisy-client", agent) as automation:
        send(node, OTHER_SOURCE[4], range(_FIRST_PORT, _FIRST_PORT + _FAIR), 1)
        send(node, SOURCE[4], ports, _SOCKETS)
        asked = automation.waiting()
        [alert] = automation.alerts("NoisyClient")
        before = held(node)
        automation.approve(asked)
        run = automation.ended()
        after, rules = held(node), node.rules()

    assert (alert["labels"]["source"], alert["labels"]["severity"]) == (SOURCE[4], "ticket")
    assert before[SOURCE[4]] > conntrack.limit() // 2
    assert run["result"] == "succeeded", run
    assert after == {OTHER_SOURCE[4]: _FAIR}
    assert [rules[each]["limit"]["rate"] for each in rules] == [100]
    assert rules[f"{SOURCE[4]}/32"]["secondsLeft"] > 0
