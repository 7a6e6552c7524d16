"""What conntrack(8) says of a namespace's table: a second reader of the same kernel, written by others."""

import re
from collections import Counter
from typing import Final

from netsre.adapters import namespaces

_FAMILIES: Final = ("ipv4", "ipv6")
_UDP_STATES: Final = (("[ASSURED]", "udp_assured"), ("[UNREPLIED]", "udp_unreplied"))
_ICMP: Final = frozenset({"icmp", "icmpv6"})


def _lines(namespace: str) -> list[str]:
    found = []
    for family in _FAMILIES:
        done = namespaces.run(namespace, ["conntrack", "-L", "-f", family])
        done.check_returncode()
        found += done.stdout.splitlines()
    return found


def states(namespace: str) -> dict[str, int]:
    """Count the entries of both families by state."""
    return dict(Counter(_state(line) for line in _lines(namespace)))


def _state(line: str) -> str:
    protocol, _, _, state = line.split()[:4]
    if protocol == "tcp":
        return f"tcp_{state.lower()}"
    if protocol == "udp":
        return next((name for mark, name in _UDP_STATES if mark in line), "udp_replied")
    return "icmp" if protocol in _ICMP else "other"


def sources(namespace: str) -> dict[str, int]:
    """Count the entries of both families by the address that opened them."""
    found = (re.search(r"src=(\S+)", line) for line in _lines(namespace))
    return dict(Counter(match[1] for match in found if match))


def statistics(namespace: str) -> dict[str, int]:
    """Return the sum over all CPUs of everything that `conntrack -S` prints, by the names of `/proc`."""
    done = namespaces.run(namespace, ["conntrack", "-S"])
    done.check_returncode()
    renamed = {"error": "icmp_error", "clash_resolve": "clashres"}
    sums: Counter[str] = Counter()
    for name, value in re.findall(r"(\w+)=(\d+)", done.stdout):
        if name != "cpu":
            sums[renamed.get(name, name)] += int(value)
    return dict(sums)
