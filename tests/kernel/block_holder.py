"""A process that blocks a source for a test, to be ended or stopped in ways no process can do to itself.

Takes namespace, interface, source and seconds; prints a line once it blocks; never ends by itself.
"""

import signal
import sys

from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.session import open_templates
from netsre.app.resources import directory
from tests.kernel import beyond
from tests.kernel.block_link import soon


def main(netns: str, interface: str, source: str, seconds: str) -> None:
    """Block, and do nothing any more."""
    blocks = Blocks(open_templates(directory("bpf")), beyond.inventory().named, None)
    blocks.block(netns, interface, source, soon(float(seconds)))
    sys.stdout.write("blocked\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
