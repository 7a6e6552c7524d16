"""A process that owns a lab, for tests that end it in ways no process can end itself.

Prints one JSON line once traffic flows, and takes everything down again when its input closes.
"""

import json
import sys
from typing import Final

from netsre.adapters import processes
from netsre.app.local import lab
from netsre.app.local.supervise import Supervisor

KIND: Final = "test"


def complain(line: str) -> None:
    """Show what the lab's processes say to whoever reads the test's output."""
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Own a lab until told to end."""
    owner = processes.this_process()
    with lab.network(owner, "nobody", kind=KIND) as network:
        supervisor = Supervisor(owner, KIND, complain)
        try:
            lab.start_traffic(network, supervisor)
            namespaces = [network.server, *network.clients]
            children = {child.name: child.pid for child in supervisor}
            report = {"namespaces": namespaces, "children": children, "lacks": network.lacks}
            sys.stdout.write(f"{json.dumps(report)}\n")
            sys.stdout.flush()
            sys.stdin.read()
        finally:
            supervisor.stop(lambda: False)


if __name__ == "__main__":
    main()
