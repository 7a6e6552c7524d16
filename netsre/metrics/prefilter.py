"""The prefilter of a node as readings."""

from collections.abc import Iterable, Mapping
from typing import Final

from netsre import conventions as c
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import Event, Rule
from netsre.datapath.prefilter_totals import RuleTotals, in_force
from netsre.metrics.readings import Readings

_HOOK: Final = "xdp"
_NETNS: Final = "host"
"""Whose interfaces are filtered."""


def put_totals(readings: Readings, totals: RuleTotals) -> None:
    """Add what rules have counted, and what was dropped for it."""
    for kind, packets in sorted(totals.packets.items()):
        readings.put(c.PREFILTER_PACKETS, kind, packets)
    for rule, missed in sorted(totals.missed.items()):
        readings.put(c.PREFILTER_MISSED, (rule,), missed)
    for verdict, octets in sorted(totals.octets.items()):
        readings.put(c.PREFILTER_BYTES, (verdict,), octets)
    for drop, packets in sorted(totals.drops.items()):
        readings.put(c.DROPS, (_HOOK, drop.reason, drop.rule, _NETNS), packets)


def put_events(readings: Readings, events: Mapping[Event, int]) -> None:
    """Add what passed because nothing could be decided, and what was not counted."""
    for event in Event:
        readings.put(c.PREFILTER_EVENTS, (event.name.lower(),), events.get(event, 0))


def put_rules(readings: Readings, rules: Iterable[Rule], now_ns: int) -> None:
    """Add how many rules are in force; `now_ns` is CLOCK_BOOTTIME."""
    for kind, count in sorted(in_force(rules, now_ns).items()):
        readings.put(c.PREFILTER_RULES, kind, count)


def put_mode(readings: Readings, setting: Setting, now_ns: int) -> None:
    """Add how strictly all rules are taken; `now_ns` is CLOCK_BOOTTIME."""
    for mode in Mode:
        if mode is not Mode.INHERIT:
            readings.put(c.PREFILTER_MODE, (mode.value,), int(mode is setting.now(now_ns)))
    if setting.until_ns > now_ns:
        readings.put(c.PREFILTER_MODE_LEFT, (), (setting.until_ns - now_ns) / 1e9)


def put_interfaces(readings: Readings, counts: Mapping[str, int]) -> None:
    """Add on how many interfaces it is, by where."""
    for where, count in sorted(counts.items()):
        readings.put(c.PREFILTER_INTERFACES, (where,), count)
