"""What the prefilter costs per packet, as the kernel times test runs, beside a program that does nothing."""

import ipaddress
import os
import random
import statistics
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.packet_cost import frame, run
from netsre.adapters.bpf import programs
from netsre.adapters.bpf.prefilter import STATE, Prefilter, open_prefilter
from netsre.app.resources import directory
from netsre.datapath.prefilter import MOST_BURST, MOST_RATE, Action, Limit, Rule

_ROUNDS: Final = 7
_REPEAT: Final = 1_000_000
_NETWORKS: Final = 1000
"""Beside those that the packets are from: what a block list has."""
_MANY: Final = 16_000
_PASSES: Final = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)
"""r0 = XDP_PASS; exit"""


@dataclass(frozen=True, slots=True)
class PrefilterCost:
    """Nanoseconds per packet of one kind; medians of several rounds that take turns."""

    what: str
    ns: float
    empty_ns: float
    has_budget: bool
    """Whether it is what a drop may cost: 120 ns."""


_NOBODY: Final = "198.51.100.1"
_ALONE: Final = "10.4.0.1"
_LIMITED: Final = "10.3.0.1"
_NETWORK_BITS: Final = 24
_ADDRESS_BITS: Final = 32
_KINDS: Final = (
    ("dropped", "10.9.0.1", True),
    ("dropped, IPv6", "fd09::1", True),
    ("dropped by a rule that ends", "10.5.0.1", True),
    ("dropped, inside four rules that are over", "10.8.0.1", False),
    ("over its rate, dropped", "10.7.0.1", True),
    ("within its rate, passed", "10.6.0.1", False),
    ("under no rule, passed", _NOBODY, False),
)


def _rules(networks: int, length: int) -> list[Rule]:
    network = ipaddress.ip_network
    chance = random.Random(networks)  # noqa: S311  the same networks in every run
    # All over IPv4 but 10/8, where the packets are from.
    of_length = -1 << 32 - length
    listed = {
        network(((11 << 24) + chance.randrange(200 << 24) & of_length, length)) for _ in range(networks)
    }
    over = [network(("10.8.0.1", length), strict=False) for length in (32, 28, 24, 20)]
    return [
        *(Rule(each, Action.DROP) for each in listed),
        *(Rule(network(text), Action.DROP) for text in ("10.9.0.0/16", "fd09::/64", "10.8.0.0/16")),
        Rule(network("10.5.0.0/16"), Action.DROP, until_ns=2**63),
        *(Rule(each, Action.PASS, until_ns=1) for each in over),
        *(_alone() if length == _ADDRESS_BITS else ()),
        Rule(network("10.7.0.0/16"), Action.LIMIT, Limit(1, 1)),
        Rule(network("10.6.0.0/16"), Action.LIMIT, Limit(MOST_RATE, MOST_BURST)),
    ]


def _alone() -> tuple[Rule, Rule]:
    dropped, limited = map(ipaddress.ip_network, (_ALONE, _LIMITED))
    return Rule(dropped, Action.DROP), Rule(limited, Action.LIMIT, Limit(1, 1))


def measure() -> list[PrefilterCost]:
    """Return the cost of every kind of packet among a thousand networks, and of one kind among many."""
    unknown = ("over its rate, dropped, where no CPU remembers the limit", "10.7.0.1", False)
    beside = (f"dropped by a network, beside {_MANY}", *_KINDS[0][1:])
    alone = (f"dropped by its address, among {_MANY}", _ALONE, True)
    limited = (f"over its rate by its address, among {_MANY}", _LIMITED, True)
    other = (f"under no rule, passed, beside {_MANY} addresses", _NOBODY, False)
    return [
        *_measure(_NETWORKS, _NETWORK_BITS, _KINDS),
        *_measure(_NETWORKS, _NETWORK_BITS, (unknown,), remembers=False),
        *_measure(_MANY, _NETWORK_BITS, (beside,)),
        *_measure(_MANY, _ADDRESS_BITS, (alone, limited, other)),
    ]


def _measure(
    networks: int, length: int, kinds: Sequence[tuple[str, str, bool]], *, remembers: bool = True
) -> list[PrefilterCost]:
    made = Prefilter.load(open_prefilter(directory("bpf")))
    empty = programs.load("empty", _PASSES, programs.XDP)
    made.put(*_rules(networks, length))
    if not remembers:
        made.maps[STATE].put(bytes(4), made.state().unsettled().packed())
    try:
        return [_cost(made.program.fd, empty.fd, *kind) for kind in kinds]
    finally:
        made.close()
        os.close(empty.fd)


def _cost(program: int, empty: int, what: str, source: str, has_budget: bool) -> PrefilterCost:  # noqa: FBT001
    packet = frame(source)
    rounds = [[run(each, packet, _REPEAT)[1] for each in (program, empty)] for _ in range(_ROUNDS)]
    ours, nothing = (statistics.median(column) for column in zip(*rounds, strict=True))
    return PrefilterCost(what, ours, nothing, has_budget)
