"""Connections tuned by the command, on a real link: what is established goes on, new limits hold at once."""

import json
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from netsre.adapters import namespaces
from tests.kernel.block_link import SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node
from tests.machine import PATIENCE

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

SERVED: Final = 8080
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
POLICY: Final = f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: p, namespace: x}}
spec:
  podSelector: {{matchLabels: {{pod: a}}}}
  policyTypes: [Ingress, Egress]
  egress:
    - to: [{{podSelector: {{matchLabels: {{pod: b}}}}}}]
      ports: [{{port: {SERVED}}}, {{port: {SERVED}, protocol: UDP}}]
"""
"""Nothing may come in but answers: and these only while the connection is known."""
_KILLS: Final = 8


@pytest.fixture
def node() -> Iterator[Node]:
    """Put a policy into force under which answers need a connection."""
    with policed_node() as made:
        made.apply(POLICY)
        yield made


@contextmanager
def echoed(node: Node, version: int) -> Iterator[socket.socket]:
    """Have the endpoint connected to a server at its peer that sends back what it gets."""
    server = namespaces.inside(
        node.link.receiver, lambda: socket.create_server((TARGET[version], SERVED), family=_FAMILY[version])
    )

    def serve() -> None:
        with server.accept()[0] as there:
            while data := there.recv(100):
                there.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        client = namespaces.inside(
            node.link.sender,
            lambda: socket.create_connection((TARGET[version], SERVED), PATIENCE, (SOURCE[version], 0)),
        )
        with client:
            yield client
        thread.join()


def answers(client: socket.socket, number: int) -> bool:
    """Say whether the other end still answers."""
    said = f"{number};".encode()
    client.sendall(said)
    try:
        return client.recv(100) == said
    except TimeoutError:
        return False


@both_versions
def test_an_established_connection_outlives_every_exchange_of_the_table(node: Node, version: int) -> None:
    """Larger and smaller, with a request in every moment, and what is told is what was asked for."""
    with echoed(node, version) as client:
        told, broken, number = [], 0, 0
        for limit in (1_024, 131_072, 4_096):
            with node.start("connections", "--limit", str(limit), "--json") as process:
                while process.poll() is None:
                    number += 1
                    broken += not answers(client, number)
                assert process.stdout is not None
                told.append(json.loads(process.stdout.read()))
        states = told[-1]["states"]

    assert broken == 0
    assert number > 3
    assert [one["limit"] for one in told] == [1_024, 131_072, 4_096]
    assert states["tcp-established"]["entries"] == 1


def test_killed_amid_an_exchange_every_connection_goes_on(node: Node) -> None:
    """At random moments of it; the next command finishes what was begun."""
    began = time.monotonic()
    node.run("connections", "--limit", "65537")
    took = time.monotonic() - began
    moments = random.Random(7)  # noqa: S311  no secret
    with echoed(node, 4) as client:
        broken = 0
        for number in range(_KILLS):
            with node.start("connections", "--limit", str(2_000 + number)) as process:
                time.sleep(moments.uniform(0.5, 1.0) * took)
                process.send_signal(signal.SIGKILL)
            broken += not answers(client, number)
        told = json.loads(node.run("connections", "--limit", "3000", "--json"))
        broken += not answers(client, _KILLS)

    assert broken == 0
    assert told["limit"] == 3_000
    assert [one.name for one in (node.home / "bpf" / "policy" / "maps").glob("policy_ct*")].count(
        "policy_ct_new"
    ) == 0


@both_versions
def test_a_timeout_holds_at_once_for_what_is_known_already(node: Node, version: int) -> None:
    """A datagram that was sent: its answer passes before the new timeout is over, and not after."""
    with (
        namespaces.inside(node.link.receiver, lambda: _bound(TARGET[version], version, SERVED)) as server,
        namespaces.inside(node.link.sender, lambda: _bound(SOURCE[version], version, 0)) as client,
    ):
        client.settimeout(PATIENCE)
        client.sendto(b"question", (TARGET[version], SERVED))
        asker = server.recvfrom(100)[1]
        server.sendto(b"answer", asker)
        in_time = client.recv(100)
        node.run("connections", "--timeout", "udp-answered=1s")
        time.sleep(1.2)
        client.settimeout(0.5)
        server.sendto(b"late", asker)
        with pytest.raises(TimeoutError):
            client.recv(100)

    assert in_time == b"answer"


def test_what_is_no_timeout_and_what_does_not_fit_is_refused_in_one_line(node: Node) -> None:
    """With what is known, and nothing is changed."""
    unknown = node.run("connections", "--timeout", "tcp-estblished=1h", code=2)
    small = node.run("connections", "--limit", "5", code=2)

    assert "did you mean 'tcp-established'?" in unknown
    assert "1024" in small
    assert json.loads(node.run("connections", "--json"))["limit"] == 65_536


def _bound(address: str, version: int, port: int) -> socket.socket:
    made = socket.socket(_FAMILY[version], socket.SOCK_DGRAM)
    made.bind((address, port))
    return made
