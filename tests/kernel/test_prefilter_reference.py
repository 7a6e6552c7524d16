"""The kernel decides and counts what the reference does, on generated rules and sources."""

import contextlib
import ipaddress
import random
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import pytest

from bench.packet_cost import frame, run
from netsre.adapters.bpf.prefilter import BUCKETS, Prefilter, Refused, Size, written
from netsre.datapath.block import NOTHING, Drops, source_key
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import (
    BUCKET,
    BUCKET_KEY,
    FATES,
    FOR_EVER,
    MOST_BURST,
    MOST_RATE,
    TOKEN,
    Action,
    BadRule,
    Limit,
    Network,
    Rule,
    Verdict,
)
from netsre.datapath.prefilter_reference import Bucket, BucketKey, Decision, contains, decide

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

SEEDS: Final = 60
PACKETS: Final = 600
_XDP_DROP, _XDP_PASS = 1, 2
_PLACES: Final = (
    "10.1.2.3",
    "10.1.2.200",
    "10.77.0.1",
    "192.0.2.1",
    "fd09::1",
    "fd09::2:1",
    "2001:db8::9",
    "::7",
)
_SECOND: Final = TOKEN
_FAR: Final = (10 * _SECOND, 3600 * _SECOND, 10**17)
"""Farther from now than a test takes."""


def now_ns() -> int:
    """Return the time of the program."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Question:
    """Chance, and what it makes: rules, sources, buckets."""

    def __init__(self, seed: int) -> None:
        """Make the same in every run."""
        self.chance = random.Random(seed)  # noqa: S311  no secret

    def source(self) -> str:
        """Return an address that is likely to be in several networks."""
        address = ipaddress.ip_address(self.chance.choice(_PLACES))
        flipped = self.chance.choice((0, 0, 1, 1 << self.chance.randrange(address.max_prefixlen)))
        return str(type(address)(int(address) ^ flipped))

    def time(self) -> int:
        """Return an end: none, past, or to come."""
        ends = (FOR_EVER, FOR_EVER, max(1, now_ns() - self._far()), now_ns() + self._far())
        return self.chance.choice(ends)

    def _far(self) -> int:
        return self.chance.choice(_FAR)

    def mode(self) -> Setting:
        """Return a mode of any kind, most of them to enforce."""
        words = (*[Mode.ENFORCE] * 6, Mode.MONITOR, Mode.OFF)
        return Setting(self.chance.choice(words), self.time(), self.chance.choice(words))

    def rule(self) -> Rule:
        """Return a rule for a network around one of the places."""
        address = ipaddress.ip_address(self.chance.choice(_PLACES))
        length = self.chance.choice((address.max_prefixlen, self.chance.randint(0, address.max_prefixlen)))
        network = ipaddress.ip_network((address, length), strict=False)
        action = self.chance.choice((Action.PASS, Action.DROP, Action.LIMIT, Action.LIMIT))
        limit = Limit(
            self.chance.choice((1, 7, 1000, 999_983, MOST_RATE, self.chance.randint(1, MOST_RATE))),
            self.chance.choice((1, 2, 100, MOST_BURST, self.chance.randint(1, MOST_BURST))),
        )
        return Rule(network, action, limit if action is Action.LIMIT else None, self.time(), self.mode())

    def bucket(self, limit: Limit) -> Bucket:
        """Return what a bucket can be: full, empty, a hair from a token, filled years ago or ahead."""
        full = limit.burst * TOKEN
        level = self.chance.choice((0, 1, TOKEN - 1, TOKEN, full - 1, full, self.chance.randint(0, full)))
        to_fill = -(-full // limit.rate)
        pause = self.chance.choice(
            (0, 1, to_fill, to_fill - 1, self.chance.randint(0, to_fill), _SECOND, 10**18, -_SECOND)
        )
        return Bucket(Fraction(level, TOKEN), now_ns() - pause)


class Asked:
    """A prefilter, and the same rules for the reference."""

    def __init__(self, prefilter: Prefilter) -> None:
        """Begin without rules."""
        self.prefilter = prefilter
        self.rules: dict[Network, Rule] = {}
        self.counted: Counter[tuple[Network, Verdict]] = Counter()
        self.lengths: Counter[tuple[Network, Verdict]] = Counter()

    def put(self, rule: Rule) -> None:
        """Follow a rule in both."""
        self.prefilter.put(rule)
        self.rules[rule.network] = rule

    def numbers(self) -> dict[Network, int]:
        """Return the numbers of rules, as the kernel has them."""
        return {network: each.number for network, each in written(self.prefilter.maps).items()}

    def ask(self, question: Question, for_all: Setting, numbers: dict[Network, int]) -> Decision:
        """Put a packet to both, and compare."""
        text = question.source()
        source, packet = source_key(text), frame(text)
        table = self.prefilter.maps[BUCKETS]
        limited = [rule for rule in self.rules.values() if rule.limit and contains(rule.network, source)]
        keys = {rule.network: BUCKET_KEY.pack(source, numbers[rule.network]) for rule in limited}
        for rule in limited:
            if rule.limit and question.chance.random() < 0.5:
                made = question.bucket(rule.limit)
                table.put(keys[rule.network], _packed(made))
        before = {BucketKey(network, source): _bucket(table.lookup(key)) for network, key in keys.items()}
        earliest = now_ns()
        verdict, _ = run(self.prefilter.program.fd, packet)
        after = {BucketKey(network, source): _bucket(table.lookup(key)) for network, key in keys.items()}

        moments = {after[key].filled_ns for key in keys_changed(before, after)}  # type: ignore[union-attr]  # changed, so there
        assert len(moments) <= 1
        known = {key: each for key, each in before.items() if each is not None}
        expected = decide(self.rules.values(), for_all, known, source, max(moments, default=earliest))
        assert verdict == (_XDP_DROP if expected.dropped else _XDP_PASS), (text, self.rules)
        assert after == {**before, **expected.buckets}, (text, self.rules)
        for key in expected.counts:
            self.counted[key] += 1
            self.lengths[key] += len(packet)
        return expected


def keys_changed(
    before: dict[BucketKey, Bucket | None], after: dict[BucketKey, Bucket | None]
) -> Iterator[BucketKey]:
    """Yield the buckets that came to be, or were filled."""
    for key, bucket in after.items():
        was = before[key]
        if bucket is not None and (was is None or was.filled_ns != bucket.filled_ns):
            yield key


def _packed(bucket: Bucket) -> bytes:
    return BUCKET.pack(int(bucket.tokens * TOKEN), bucket.filled_ns % 2**64)


def _bucket(value: bytes | None) -> Bucket | None:
    if value is None:
        return None
    level, filled_ns = BUCKET.unpack(value)
    # What was filled before the machine was started has a time below zero.
    return Bucket(Fraction(level, TOKEN), filled_ns - 2**64 if filled_ns >= 2**63 else filled_ns)


def test_the_kernel_agrees_with_the_reference(prefilter_instructions: bytes) -> None:
    """Verdict, every bucket to a thousand-millionth of a token, packets and bytes of every rule."""
    asked, dropped, refused, together = 0, Counter[int](), 0, Counter[Verdict]()
    # Once, so that all seeds meet in the same maps: what one has left must be nothing to the next.
    prefilter = Prefilter.load(prefilter_instructions, Size(64, 4096))
    for seed in range(SEEDS):
        question = Question(seed)
        both = Asked(prefilter)
        for _ in range(question.chance.randint(1, 40)):
            try:
                both.put(question.rule())
            except (Refused, BadRule):
                refused += 1
        numbers = both.numbers()
        for number in range(PACKETS):
            if number % 50 == 0:
                for_all = question.mode()
                prefilter.set_mode(for_all)
            if number % 150 == 100:
                # What was found before holds no more.
                with contextlib.suppress(Refused, BadRule):
                    both.put(question.rule())
                numbers = both.numbers()
            decision = both.ask(question, for_all, numbers)
            asked += 1
            dropped[decision.dropped] += 1
            together.update(verdict for _, verdict in decision.counts)
        counts = {rule.network: each for rule, each in prefilter.rules().items()}
        assert {
            (network, verdict): count[verdict]
            for network, count in counts.items()
            for verdict in Verdict
            if count[verdict] != NOTHING
        } == {key: Drops(both.counted[key], both.lengths[key]) for key in both.counted}
        assert set(prefilter.rules()) == set(both.rules.values())
        assert not any(prefilter.events().values())
        prefilter.remove(*both.rules)
    prefilter.close()

    # Enough of each kind for the claim to mean something.
    assert asked == SEEDS * PACKETS >= 20_000
    assert min(dropped.values()) > asked // 10
    assert min(together[verdict] for verdict in FATES) > asked // 20
    assert refused > 0
