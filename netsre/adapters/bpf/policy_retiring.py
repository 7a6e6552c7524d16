"""Counters of rules and ends that are gone, taken out of the policy datapath with what they have counted.

A run of a program may have found a counter and not yet counted. So one is taken only when none can come to it
any more: no revision that is there names it, which is the caller's to know, no connection does, and every run
that began while one did is over.
"""

import contextlib
from collections.abc import Set as AbstractSet
from pathlib import Path

from netsre.adapters.bpf import policy_connections, policy_counts, policy_pins, policy_reading, syscalls
from netsre.datapath.policy.conntrack import counted_under
from netsre.datapath.policy.programs import CONNECTIONS, COUNTS
from netsre.datapath.policy.verdicts import sums


def retire(directory: Path, number: int, keys: AbstractSet[bytes]) -> dict[bytes, tuple[int, int, int]]:
    """Take those of these counters that no connection leads to; return packets, bytes, connections of each.

    `number` is that of the map which they were read from: nothing is taken from another one, nor while the
    table of connections is exchanged for another. Raises `OSError`.
    """
    with contextlib.ExitStack() as stack:
        try:
            if policy_connections.has_begun(policy_pins.map_path(directory, CONNECTIONS).parent):
                return {}
            known = stack.enter_context(policy_reading.opened(directory, CONNECTIONS))
            maps = {
                name: stack.enter_context(policy_reading.opened_for_change(directory, name))
                for name in policy_counts.MAPS
            }
        except FileNotFoundError:
            return {}
        if policy_reading.number_of(maps[COUNTS]) != number:
            return {}
        idle = {*keys}
        for _, values in known.batches():
            idle -= counted_under(values)
        syscalls.wait_for_programs()
        return {key: sums(value) for key, value in policy_counts.take(maps, idle)}
