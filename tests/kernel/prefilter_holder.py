"""A process that drops two sources for a test and leaves the link to a file, to be killed.

Takes namespace, interface, a file of a BPF file system, seconds, and what the rules do until then: `enforce`,
after which they are over, or `monitor`, after which they drop. Prints a line once they are in force.
"""

import ctypes
import ipaddress
import signal
import socket
import struct
import sys

from netsre.adapters import namespaces
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.prefilter import Prefilter, open_prefilter
from netsre.app.resources import directory
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import ENFORCED, FOR_EVER, Action, Rule
from tests.kernel.block_link import SOURCE, soon

_OBJ_PIN = 6


def main(netns: str, interface: str, file: str, seconds: str, word: str) -> None:
    """Drop, and do nothing any more."""
    made = Prefilter.load(open_prefilter(directory("bpf")))
    end = soon(float(seconds))
    watches = word == "monitor"
    for source in SOURCE.values():
        mode = Setting(Mode.MONITOR, end, Mode.ENFORCE) if watches else ENFORCED
        until_ns = FOR_EVER if watches else end
        made.put(Rule(ipaddress.ip_network(source), Action.DROP, until_ns=until_ns, mode=mode))
    link = namespaces.inside(netns, lambda: made.attach(socket.if_nametoindex(interface)))
    name = ctypes.create_string_buffer(file.encode())
    packed = struct.pack("<QII", ctypes.addressof(name), link, 0)
    syscalls.bpf(_OBJ_PIN, ctypes.create_string_buffer(packed, len(packed)))
    sys.stdout.write(f"{end}\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
