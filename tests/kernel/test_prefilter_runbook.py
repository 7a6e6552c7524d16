"""A rule that drops what somebody waits for: paged, answered, only watched from then on; and that helped."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from tests.kernel.automated import automated
from tests.kernel.block_link import INTERFACE, SOURCE, TARGET
from tests.kernel.filtered_node import Node, filtered_node
from tests.kernel.test_prefilter_missed import bound
from tests.kernel.test_prefilter_sensor import AROUND, value

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_PORT: Final = 4434
_CUSTOMERS: Final = 40
_PAUSE: Final = 0.05


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose receiver is the node, with its prefilter on it."""
    with filtered_node() as made:
        made.run("attach", INTERFACE)
        yield made


@contextlib.contextmanager
def customers(node: Node) -> Iterator[None]:
    """Have many be connected, each of whom says something again and again."""
    over = threading.Event()
    with contextlib.ExitStack() as open_until_then:
        server = open_until_then.enter_context(bound(node.link.receiver, 4, TARGET[4], _PORT))
        server.listen(_CUSTOMERS)
        clients = []
        for _ in range(_CUSTOMERS):
            client = open_until_then.enter_context(bound(node.link.sender, 4, SOURCE[4]))
            client.connect((TARGET[4], _PORT))
            open_until_then.enter_context(server.accept()[0])
            client.setblocking(False)
            clients.append(client)

        def talk() -> None:
            while not over.wait(_PAUSE):
                for client in clients:
                    with contextlib.suppress(BlockingIOError):
                        client.send(b"x")

        talker = threading.Thread(target=talk)
        talker.start()
        try:
            yield
        finally:
            over.set()
            talker.join()


def test_a_rule_that_drops_customers_is_watched_only_once_a_person_says_so(node: Node) -> None:
    """Paged by what they miss, asked, put into monitor with an end of the kernel's, and proven to help."""
    agent = ("--prefilter-pins", str(node.pins), "--without", "loads")
    with automated(node.home, "prefilter-drops", agent) as automation, customers(node):
        node.run("add", AROUND[4], "--drop")
        asked = automation.waiting()
        before = node.list()["mode"]
        dropped = value(
            automation.agent, c.DROPS, hook="xdp", reason="blocked_source", rule=AROUND[4], netns="host"
        )
        automation.approve(asked)
        ended = automation.ended()
        mode, rules = node.list()["mode"], node.rules()

    assert "evidence" in str(ended)
    assert dropped
    assert (before["mode"], mode["mode"], mode["afterwards"]) == ("enforce", "monitor", "enforce")
    assert ended["result"] == "succeeded", ended
    assert rules[AROUND[4]]["audited"]["packets"] > 0
