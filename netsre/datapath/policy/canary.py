"""Whether new policies, which some endpoints have on trial, may be promoted: by what the kernel counted.

What the old policies denied as well is no regression, and a rule that denies is somebody's intention. What
counts is traffic that the revision before allows and no rule allows now: the kernel counts it apart, with the
rule that allows it (`withdrawn`). No data is never healthy.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

from netsre.datapath.policy.conntrack import REVISION_AT, Connection
from netsre.datapath.policy.layouts import COUNT_KEY, REASONS
from netsre.datapath.policy.reference import Reason as Why
from netsre.datapath.policy.verdicts import Names, sums

_WITHDRAWN: Final = REASONS[Why.WITHDRAWN]
_SAYS_NOTHING: Final = frozenset({REASONS[Why.NODE], REASONS[Why.ITSELF]})
"""What passes by these passes under any policies: probes of the node itself are no evidence."""
_PASSED: Final = frozenset({0, 2})
"""Allowed or audited. What passes because the mode is off was not asked about."""
_SHOWN: Final = 3
FORGED: Final = "forged source"
"""In the place of a rule: an address that the list of before has at the interface, and the new one not."""


class Outcome(StrEnum):
    """What is to be done with a canary; only `pass` is success."""

    PASS = "pass"  # noqa: S105  no secret
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    WAITING = "waiting"


class Reason(StrEnum):
    """Why: the same word on a terminal, in JSON, and in the docs."""

    HEALTHY = "healthy"
    WATCHING = "watching"
    DENIES = "denies"
    """More than may be was denied that the revision before allows."""
    ALERT = "alert"
    """A burn rule of a service level fires that did not before."""
    BURN = "burn"
    """A service level burns fast that did not before."""
    NO_TRAFFIC = "no_traffic"
    NOT_ENFORCED = "not_enforced"
    """The mode was off: nobody asked the policies."""
    NOT_COUNTED = "not_counted"
    """The table of counters was full."""
    NO_LEVEL = "no_level"
    """A service level that had data has none."""
    CONTROLLER_SILENT = "controller_silent"
    ENDED = "ended"
    """The kernel ended the trial before it was judged: the machine slept, or the command was stopped."""
    TAKEN_OVER = "taken_over"
    """Somebody else promoted or withdrew it."""
    INTERRUPTED = "interrupted"


class Verdict(NamedTuple):
    """An answer, in a word and in a line."""

    outcome: Outcome
    reason: Reason
    detail: str = ""


WAITING: Final = Verdict(Outcome.WAITING, Reason.WATCHING)


class Withdrawn(NamedTuple):
    """What a counter has of packets that the revision before allows."""

    rule: str
    """The one that allows them."""
    packets: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known at a moment; `including` the one before it nothing is forgotten."""

    withdrawn: Mapping[bytes, Withdrawn] = field(default_factory=dict)
    """Packets denied, or let pass by the mode monitor alone, that the revision before allows: by counter."""
    connections: Mapping[str, int] = field(default_factory=dict)
    """By endpoint of the canary: the most at once that its policies let pass."""
    off: frozenset[str] = frozenset()
    """Endpoints of the canary whose policies nobody asked at some moment."""
    uncounted: int = 0
    """How often a packet found no room in the table of counters."""
    forged: int = 0
    """Packets whose source their interface has not, where the new list of endpoints can be why."""

    def including(self, before: "Sample") -> "Sample":
        """Return this one with what is not to be seen any more."""
        most = {
            name: max(self.connections.get(name, 0), before.connections.get(name, 0))
            for name in {**before.connections, **self.connections}
        }
        return replace(self, connections=most, off=self.off | before.off)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a canary must show."""

    allowed: int = 0
    """So many packets may be denied."""
    least: int = 1
    """So many connections must have passed at once, of all endpoints together."""


def judged(before: Sample, now: Sample, asked: Asked, *, over: bool) -> Verdict:
    """Return what the kernel's counts say; `before` is from before the trial, `over` at its end."""
    denied = gained(before, now)
    count = sum(denied.values())
    if count > asked.allowed:
        return Verdict(Outcome.FAIL, Reason.DENIES, f"{count} {_packets(count)} denied, {_by_rule(denied)}")
    if not over:
        return WAITING
    if now.off:
        names = ", ".join(sorted(now.off))
        return _unknown(Reason.NOT_ENFORCED, f"the mode was off for {names}: nobody asked the policies")
    if now.uncounted != before.uncounted:
        return _unknown(Reason.NOT_COUNTED, "the table of counters was full: what was denied is not known")
    passed = sum(now.connections.values())
    if passed < asked.least:
        wanted = f", and {asked.least} are asked for" if asked.least > 1 else ""
        return _unknown(Reason.NO_TRAFFIC, f"{passed or 'no'} connections of the canary passed{wanted}")
    return Verdict(Outcome.PASS, Reason.HEALTHY, f"{passed} connections of the canary passed")


def joined(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of several; what fails goes first, and all must pass."""
    found = list(verdicts)
    for outcome in (Outcome.FAIL, Outcome.WAITING, Outcome.INCONCLUSIVE):
        for one in found:
            if one.outcome is outcome:
                return one
    details = "; ".join(one.detail for one in found if one.detail)
    return Verdict(Outcome.PASS, Reason.HEALTHY, details)


def gained(before: Sample, now: Sample) -> Mapping[str, int]:
    """Return how many packets more are denied that the revision before allows, by its rule or as forged.

    Counters of ends that are gone leave the table meanwhile: one that fell, or is there again, began anew.
    """
    more = Counter[str]()
    for counter, (rule, packets) in now.withdrawn.items():
        was = before.withdrawn[counter].packets if counter in before.withdrawn else 0
        more[rule] += packets - was if packets >= was else packets
    more[FORGED] += max(now.forged - before.forged, 0)
    return {rule: count for rule, count in more.items() if count}


def withdrawn(counts: Iterable[tuple[bytes, bytes]], names: Names) -> Mapping[bytes, Withdrawn]:
    """Return what a table of counters has of packets that the revision before allows, by counter."""
    found = {}
    for key, value in counts:
        rule, _, _, _, _, reason, _ = COUNT_KEY.unpack(key)
        if reason == _WITHDRAWN:
            found[key] = Withdrawn(names.rule(rule, reason), sums(value)[0])
    return found


def connections(
    entries: Iterable[tuple[bytes, bytes]], revision: int, endpoints: Mapping[int, str]
) -> Mapping[str, int]:
    """Return how many connections of endpoints (by number) a revision let pass, of a table of connections."""
    found = dict.fromkeys(endpoints.values(), 0)
    # Most are of another revision: of these nobody needs to know more.
    wanted = (revision & (1 << 32) - 1).to_bytes(4, "little")
    mine = (value for _, value in entries if value.startswith(wanted, REVISION_AT))
    for one in map(Connection.of, mine):
        if one.reason not in _SAYS_NOTHING and one.verdict in _PASSED and one.endpoint in endpoints:
            found[endpoints[one.endpoint]] += 1
    return found


def _unknown(reason: Reason, detail: str) -> Verdict:
    return Verdict(Outcome.INCONCLUSIVE, reason, detail)


def _packets(count: int) -> str:
    return "packet was" if count == 1 else "packets were"


def _by_rule(denied: Mapping[str, int]) -> str:
    worst = sorted(denied, key=lambda rule: (-denied[rule], rule))
    more = f" and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""
    return ", ".join(worst[:_SHOWN]) + more
