"""A node of the test's own whose packets are filtered, by the commands alone."""

import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netsre.adapters import namespaces
from tests.kernel import command_node
from tests.kernel.block_link import Link, link
from tests.kernel.command_node import CommandNode, begun


@dataclass(frozen=True)
class Node(CommandNode):
    """The receiver's side of a link, with a BPF file system of its own."""

    link: Link

    @property
    def pins(self) -> pathlib.Path:
        """Return where the prefilter is."""
        return self.home / "bpf" / "prefilter"

    def start(self, *arguments: str, text: str | None = None) -> "subprocess.Popen[str]":
        """Begin a command of `netsre prefilter`."""
        command = [sys.executable, "-m", "netsre", "prefilter", arguments[0], "--pins", str(self.pins)]
        return namespaces.inside(self.link.receiver, lambda: begun([*command, *arguments[1:]], text))

    def list(self) -> dict[str, Any]:
        """Return what there is."""
        found: dict[str, Any] = json.loads(self.run("list", "--json"))
        return found

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return the rules by their networks."""
        return {one["network"]: one for one in self.list()["rules"]}


@contextlib.contextmanager
def filtered_node() -> Iterator[Node]:
    """Make a link, and a place for what is pinned."""
    with command_node.home() as home, link() as made:
        yield Node(home, made)
