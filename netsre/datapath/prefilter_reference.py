"""What the prefilter decides, in plain Python: slow, obvious, and without a limit on numbers.

The program in the kernel must agree with this, packet by packet.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import TOKEN, Action, Limit, Network, Rule, Verdict


class Bucket(NamedTuple):
    """Tokens of one source under one rule."""

    tokens: Fraction
    filled_ns: int


class BucketKey(NamedTuple):
    """Whose tokens."""

    network: Network
    source: bytes


class Decision(NamedTuple):
    """What becomes of a packet."""

    dropped: bool
    counts: tuple[tuple[Network, Verdict], ...]
    """Every rule that was asked, and what it counts."""
    buckets: Mapping[BucketKey, Bucket]
    """Those that the packet has changed, as they are afterwards."""


def contains(network: Network, source: bytes) -> bool:
    """Say whether a source, as 16 bytes, is in a network."""
    whole = ipaddress.IPv6Address(source)
    address = whole.ipv4_mapped or whole
    return address.version == network.version and address in network


def decide(
    rules: Iterable[Rule], for_all: Setting, buckets: Mapping[BucketKey, Bucket], source: bytes, now_ns: int
) -> Decision:
    """Decide on one packet of a source at a time."""
    counts: list[tuple[Network, Verdict]] = []
    changed: dict[BucketKey, Bucket] = {}
    everywhere = for_all.now(now_ns)
    if everywhere is Mode.OFF:
        return Decision(False, (), {})
    in_force = [rule for rule in rules if contains(rule.network, source) and not rule.is_over(now_ns)]
    for rule in sorted(in_force, key=lambda rule: rule.network.prefixlen, reverse=True):
        word = rule.mode.now(now_ns)
        if word is Mode.OFF:
            continue
        unwanted = rule.action is Action.DROP
        if rule.limit is not None:
            key = BucketKey(rule.network, source)
            conforms, bucket = take(rule.limit, buckets.get(key), now_ns)
            unwanted = not conforms
            if bucket != buckets.get(key):
                changed[key] = bucket
        drops = unwanted and word is Mode.ENFORCE and everywhere is Mode.ENFORCE
        held_back = Verdict.AUDITED if unwanted else Verdict.PASSED
        counts.append((rule.network, Verdict.DROPPED if drops else held_back))
        if word is Mode.ENFORCE:
            return Decision(drops, tuple(counts), changed)
    return Decision(False, tuple(counts), changed)


def take(limit: Limit, bucket: Bucket | None, now_ns: int) -> tuple[bool, Bucket]:
    """Say whether there is a token for a packet now, and return the bucket afterwards; None is a full one.

    Without a token it stays as it is: what came in is put in with the next packet that passes.
    """
    before = tokens, filled_ns = bucket or Bucket(Fraction(limit.burst), now_ns)
    if now_ns > filled_ns:
        tokens = min(Fraction(limit.burst), tokens + Fraction(limit.rate * (now_ns - filled_ns), TOKEN))
        filled_ns = now_ns
    return (True, Bucket(tokens - 1, filled_ns)) if tokens >= 1 else (False, before)
