"""Steady traffic of two endpoints of a policed node, of which one is a canary: what of it arrives."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.kernel.block_link import INTERFACE, OTHER_SOURCE, SOURCE, TARGET
from tests.kernel.policed_node import Node

ENDPOINTS = f"""
- {{name: own, namespace: x, labels: {{pod: a}}, ips: [{SOURCE[4]}, '{SOURCE[6]}'], interface: {INTERFACE}}}
- name: other
  namespace: x
  labels: {{pod: a}}
  ips: [{OTHER_SOURCE[4]}, '{OTHER_SOURCE[6]}']
  interface: {INTERFACE}
- {{name: peer, namespace: x, labels: {{pod: b}}, ips: [{TARGET[4]}, '{TARGET[6]}']}}
"""
"""The two are one to policies: the same labels, and so the same identity."""
_AT_ONCE = 3


@dataclass
class Traffic:
    """What was sent until now."""

    sources: tuple[str, ...]
    arrived: dict[str, list[int]] = field(default_factory=dict)
    """By source, how many packets of each handful arrived."""

    def send(self, node: Node) -> None:
        """Have each source send a handful, one after the other."""
        for source in self.sources:
            target = TARGET[6 if ":" in source else 4]
            self.arrived.setdefault(source, []).append(node.link.send(source, target, _AT_ONCE))

    def lost(self, source: str) -> int:
        """Return how many packets of a source did not arrive."""
        return sum(_AT_ONCE - count for count in self.arrived[source])


@contextlib.contextmanager
def traffic(node: Node, *sources: str) -> Iterator[Traffic]:
    """Send all the time; every handful is of new connections."""
    made, stop = Traffic(sources), threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            made.send(node)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join()
