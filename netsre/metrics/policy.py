"""The policy datapath of a node as readings."""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from netsre import conventions as c
from netsre.datapath.buckets import COMPILE_BOUNDS
from netsre.datapath.policy.compiles import Kind, Took
from netsre.datapath.policy.conntrack import Event
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.policy.unexpected import RefusedTotals
from netsre.datapath.policy.verdicts import HOOKS, VerdictTotals
from netsre.metrics.conntrack import DATAPATH
from netsre.metrics.readings import Histogram, Readings
from netsre.model.policies.values import Direction

_BOUNDS: Final = (*(f"{float(bound)!r}" for bound in COMPILE_BOUNDS), "+Inf")
_NETNS: Final = "host"
"""Whose programs these are: interfaces of endpoints are the node's."""
_UNASKED: Final = {
    Event.CUT_DROPPED: (HOOKS[Direction.EGRESS], "cut"),
    Event.CUT_KEPT_OUT: (HOOKS[Direction.INGRESS], "cut"),
    Event.FRAGMENT_DROPPED: (HOOKS[Direction.EGRESS], "fragment"),
    Event.FRAGMENT_KEPT_OUT: (HOOKS[Direction.INGRESS], "fragment"),
    Event.FORGED_SOURCE_DROPPED: (HOOKS[Direction.EGRESS], "forged_source"),
}
"""Packets whose ports cannot be read, or whose source is another's: dropped, and by no policy."""
_FULL: Final = {Event.CONNECTIONS_FULL: "policy_ct", Event.COUNTS_FULL: "policy_counts"}


def put_verdicts(readings: Readings, totals: VerdictTotals) -> None:
    """Add what was decided, and what was dropped for it."""
    for verdict, connections in sorted(totals.connections.items()):
        readings.put(c.POLICY_VERDICTS, verdict, connections)
    for labels, packets in sorted(totals.packets.items()):
        readings.put(c.POLICY_PACKETS, labels, packets)
        readings.put(c.POLICY_BYTES, labels, totals.octets[labels])
    for drop, packets in sorted(totals.drops.items()):
        readings.put(c.DROPS, (*drop, _NETNS), packets)


def put_refused(readings: Readings, totals: RefusedTotals) -> None:
    """Add who no rule allows, and who had to make room."""
    for pair, packets in sorted(totals.packets.items()):
        readings.put(c.POLICY_REFUSED, pair, packets)
    for unexpected, count in sorted(totals.destinations().items()):
        readings.put(c.POLICY_UNEXPECTED, unexpected, count)
    readings.put(c.BPF_MAP_OVERFLOWS, ("policy_refused",), totals.gone)


def put_events(readings: Readings, events: Mapping[Event, int]) -> None:
    """Add what no policy was asked about, or could not be told of; events that are drops are drops, too."""
    for event, count in events.items():
        readings.put(c.POLICY_EVENTS, (event.name.lower(),), count)
    for event, (hook, reason) in _UNASKED.items():
        readings.put(c.DROPS, (hook, reason, "", _NETNS), events[event])
    for event, table in _FULL.items():
        readings.put(c.BPF_MAP_OVERFLOWS, (table,), events[event])
    readings.put(c.CONNTRACK_INSERT_FAILED, (DATAPATH, _NETNS), events[Event.CONNECTIONS_FULL])


def put_modes(readings: Readings, everybody: Setting, endpoints: Iterable[Setting], now_ns: int) -> None:
    """Add how strictly policies are treated; `now_ns` is CLOCK_BOOTTIME."""
    now = everybody.now(now_ns)
    each = [one.now(now_ns) for one in endpoints]
    for mode in Mode:
        if mode is not Mode.INHERIT:
            readings.put(c.POLICY_MODE, (mode.value,), int(mode is now))
            readings.put(c.POLICY_ENDPOINT_MODES, (mode.value,), each.count(mode))
    if everybody.until_ns > now_ns:
        readings.put(c.POLICY_MODE_LEFT, (), (everybody.until_ns - now_ns) / 1e9)


def put_trial(readings: Readings, staged: Mapping[Mode, int], canary: int, left_ns: int | None) -> None:
    """Add what of the revision in force is not enforced, and what is on trial."""
    for mode, count in staged.items():
        readings.put(c.POLICY_STAGED, (mode.value,), count)
    readings.put(c.POLICY_CANARY, (), canary)
    if left_ns is not None:
        readings.put(c.POLICY_TRIAL_LEFT, (), max(0, left_ns) / 1e9)


def put_compiles(readings: Readings, compiles: Mapping[Kind, Took]) -> None:
    """Add how long compiles took."""
    for kind, took in sorted(compiles.items()):
        shape = Histogram(_BOUNDS, tuple(accumulate(took.counts)), took.seconds)
        readings.put_histogram(c.POLICY_COMPILE_SECONDS, kind, shape)
