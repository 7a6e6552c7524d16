"""A site whose services are balanced by the commands alone, with a BPF file system and a state of its own."""

import contextlib
import json
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from netsre.adapters import namespaces
from tests.kernel import balanced, command_node
from tests.kernel.balanced import ADDRESSES, BACKENDS, PORT, SERVICE_PORT, Site
from tests.kernel.command_node import CommandNode, begun

_CALLS: Final = """
import json, os, socket, sys
addresses, port = json.loads(sys.argv[1]), int(sys.argv[2])
print(flush=True)
said = []
while not os.path.exists(sys.argv[3]):
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as client:
            client.settimeout(20)
            try:
                client.connect((address, port))
                client.send(b"?")
                said.append(client.recv(100).decode())
            except OSError as error:
                said.append("failed: " + str(error))
print(json.dumps(said))
"""


def listed(backends: Mapping[int, Sequence[int]], salt: int = 0) -> str:
    """Return a file of services of both protocols and families: backends by the number of a service.

    With another salt, weights and so tables are others; without one all weights are the same.
    """
    return json.dumps(
        [
            {
                "name": f"s{number}",
                "addresses": [address.format(number) for address in ADDRESSES.values()],
                "port": SERVICE_PORT,
                "protocol": protocol,
                "backends": [
                    {
                        "address": address.format(one),
                        "port": PORT,
                        "weight": 1 + (37 * salt + number * one) % 100 if salt else 1,
                    }
                    for address in BACKENDS.values()
                    for one in numbers
                ],
            }
            for protocol in ("TCP", "UDP")
            for number, numbers in backends.items()
        ]
    )


@dataclass(frozen=True)
class Node(CommandNode):
    """Where commands run, and where their services are asked."""

    site: Site

    @property
    def pins(self) -> pathlib.Path:
        """Return where the balancer is pinned."""
        return self.home / "bpf" / "balance"

    @property
    def file(self) -> pathlib.Path:
        """Return the file of services that was written last."""
        return self.home / "services.yaml"

    def command(self, *arguments: str) -> list[str]:
        """Return how to run one command of `netsre balance` here."""
        places = ["--pins", str(self.pins), "--state", str(self.home / "state")]
        return [sys.executable, "-m", "netsre", "balance", arguments[0], *places, *arguments[1:]]

    def start(self, *arguments: str, text: str | None = None) -> "subprocess.Popen[str]":
        """Begin one of them."""
        return begun(self.command(*arguments), text)

    def apply(self, backends: Mapping[int, Sequence[int]], *options: str, salt: int = 0) -> dict[str, Any]:
        """Balance services."""
        self.file.write_text(listed(backends, salt), encoding="utf-8")
        found: dict[str, Any] = json.loads(self.run(*self.applying(), "--json", *options))
        return found

    def applying(self) -> Sequence[str]:
        """Return the command for what was written last."""
        return ("apply", str(self.file), "--cgroup", str(self.site.cgroup.directory))

    @contextlib.contextmanager
    def calls(self, *services: int) -> Iterator[list[str]]:
        """Connect to services all the while, one call after the other; then the list has who answered."""
        enough = self.home / "enough"
        enough.unlink(missing_ok=True)
        addresses = [address.format(number) for number in services for address in ADDRESSES.values()]
        enter = f'echo $$ > "{self.site.cgroup.directory}/cgroup.procs"; exec "$@"'
        words = [sys.executable, "-c", _CALLS, json.dumps(addresses), str(SERVICE_PORT), str(enough)]
        process = namespaces.inside(
            self.site.place.name,
            lambda: subprocess.Popen(["sh", "-c", enter, "sh", *words], stdout=subprocess.PIPE, text=True),
        )
        said: list[str] = []
        with process:
            stream = process.stdout
            assert stream is not None
            stream.readline()
            reading = threading.Thread(target=lambda: said.extend(json.loads(stream.read())))
            reading.start()
            try:
                yield said
            finally:
                enough.touch()
                reading.join()
        assert process.returncode == 0


@contextlib.contextmanager
def balanced_node(backends: int) -> Iterator[Node]:
    """Make a site with so many backends; nothing is balanced yet."""
    with command_node.home() as home, balanced.site(backends) as site:
        yield Node(home, site)
