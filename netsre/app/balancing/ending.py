"""Connected UDP sockets whose backend was taken out, ended: nobody else would tell them."""

import contextlib
from dataclasses import dataclass

from netsre.adapters import socket_ends
from netsre.adapters.bpf.balance import Balance
from netsre.adapters.namespaces import inventory
from netsre.app.policing.node import kernel
from netsre.clock import boottime


@dataclass(frozen=True, slots=True)
class Ended:
    """What was done."""

    sockets: int
    unseen: int
    """Network namespaces that nobody could look into."""


def end_strays(balance: Balance) -> Ended:
    """End the connected UDP sockets of this node that were given a backend that is no member any more.

    Those that are not connected are given another one with their next datagram, and TCP goes on.
    """
    with kernel("what sockets were given cannot be read"):
        strays = balance.strays(boottime())
    if not strays:
        return Ended(0, 0)
    sockets = unseen = 0
    for namespace in inventory.namespaces().values():
        try:
            with contextlib.suppress(FileNotFoundError):  # it went away meanwhile, and its sockets with it
                sockets += inventory.inside(namespace, lambda: socket_ends.end(strays))
        except OSError:
            unseen += 1
    return Ended(sockets, unseen)
