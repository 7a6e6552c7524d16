"""What rules of the prefilter have counted, by their networks: totals since somebody looks."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.block import BLOCKED_REASON, Drops
from netsre.datapath.policy.gains import Counts, Gains
from netsre.datapath.policy.modes import Mode
from netsre.datapath.prefilter import FATES, Action, Rule, Verdict, Written

MOST: Final = 1_024
"""Rules kept apart at most, first come, first served; all others are `~other`."""
KEPT_SECONDS: Final = 300.0
"""A rule that is gone for so long is told of no more: its counters were read many times by then."""
REASONS: Final = MappingProxyType({Action.DROP: BLOCKED_REASON, Action.LIMIT: "rate_limited"})
"""Why packets are dropped, by what a rule says."""
_POSSIBLE: Final = MappingProxyType(
    {
        Action.PASS: (Verdict.PASSED,),
        Action.DROP: (Verdict.DROPPED, Verdict.AUDITED),
        Action.LIMIT: FATES,
    }
)


class Counted(NamedTuple):
    """A rule, and what it has counted."""

    name: str
    """Its network."""
    written: Written
    counts: tuple[int, ...]
    """Packets and bytes, by verdict."""

    @property
    def rule(self) -> Rule:
        """Return what it says."""
        return self.written.rule

    def drops(self, verdict: Verdict) -> Drops:
        """Return what it has counted of a verdict."""
        return Drops(*self.counts[2 * verdict : 2 * verdict + 2])


def counts_of(words: Sequence[int], cpus: int) -> list[tuple[int, ...]]:
    """Return packets and bytes by verdict of each counter, from their numbers as the kernel has them."""
    one = 2 * cpus
    packets, octets = (
        [sum(each) for each in zip(*(words[2 * cpu + at :: one] for cpu in range(cpus)), strict=True)]
        for at in (0, 1)
    )
    size = len(Verdict)
    columns = chain.from_iterable((packets[at::size], octets[at::size]) for at in range(size))
    return list(zip(*columns, strict=True))


class Kind(NamedTuple):
    """What packets are told apart by, in the order of the labels."""

    rule: str
    action: str
    verdict: str


class Drop(NamedTuple):
    """What dropped packets are told apart by."""

    reason: str
    rule: str


@dataclass(slots=True)
class RuleTotals:
    """Totals that only ever grow, until a rule is gone for long."""

    packets: Counter[Kind] = field(default_factory=Counter)
    octets: Counter[str] = field(default_factory=Counter)
    """By verdict."""
    drops: Counter[Drop] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """By the rule that drops."""
    _gains: Gains[tuple[str, int]] = field(default_factory=Gains)
    """By the counter, too: a rule that was removed and added again has another one."""
    _seen: dict[str, float] = field(default_factory=dict)

    def take(self, number: int, rules: Iterable[Counted], now: float) -> None:
        """Add what was counted since the last look; `number` is another one for other tables."""
        known = {(each.name, each.written.counter): each for each in rules}
        counts: dict[tuple[str, int], Counts] = {key: each.counts for key, each in known.items()}
        for name, _ in known:
            self._seen[self._shown(name)] = now
        for key, gained in self._gains.take(number, counts):
            self._add(known[key].rule, self._shown(key[0]), gained)
        self._retire(now)

    def _shown(self, name: str) -> str:
        return name if name in self._seen or len(self._seen) < MOST else OTHER

    def _add(self, rule: Rule, name: str, gained: Counts) -> None:
        if rule.action is Action.DROP:
            self.missed[name] += int(gained[2 * Verdict.MISSED])
        for verdict in FATES:
            packets, octets = map(int, gained[2 * verdict : 2 * verdict + 2])
            word = verdict.name.lower()
            if packets or verdict in _POSSIBLE[rule.action]:
                self.packets[Kind(name, rule.action.name.lower(), word)] += packets
            self.octets[word] += octets
            if verdict is Verdict.DROPPED and rule.action in REASONS:
                self.drops[Drop(REASONS[rule.action], name)] += packets

    def _retire(self, now: float) -> None:
        gone = {name for name, seen in self._seen.items() if now - seen > KEPT_SECONDS}
        for name in gone:
            del self._seen[name]
        if gone:
            for kind in [kind for kind in self.packets if kind.rule in gone]:
                del self.packets[kind]
            for name in gone & self.missed.keys():
                del self.missed[name]
            for drop in [drop for drop in self.drops if drop.rule in gone]:
                del self.drops[drop]


def in_force(rules: Iterable[Rule], now_ns: int) -> Counter[tuple[str, str]]:
    """Return how many rules are not over, by action and by the mode that each has now."""
    found = Counter((rule.action, rule.mode.now(now_ns)) for rule in rules if not rule.is_over(now_ns))
    modes = [mode for mode in Mode if mode is not Mode.INHERIT]
    return Counter(
        {(action.name.lower(), mode.value): found[action, mode] for action in Action for mode in modes}
    )
