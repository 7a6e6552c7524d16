"""Whether service levels have become worse since a canary began: as the controller tells them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from netsre.datapath.policy.canary import WAITING, Outcome, Reason, Verdict
from netsre.slo.evaluate import NO_TRAFFIC

FAST: Final = Decimal("14.4")
"""A burn rate at which a budget of thirty days is spent in two: the workbook pages there first."""
FEWEST: Final = 5
"""Bad events since the beginning without which a burn rate says nothing, as in the workbook's policy."""
SERVICES: Final = frozenset({"node-policy", "node-datapath"})
"""Whose levels are looked at unless somebody names others."""


class Key(NamedTuple):
    """One service level of one group."""

    name: str
    group: str
    """`node=a`; empty without groups."""

    def __str__(self) -> str:
        """Return how it is shown."""
        return f"{self.name} ({self.group})" if self.group else self.name


@dataclass(frozen=True, slots=True)
class Level:
    """Where it stands."""

    service: str = ""
    firing: frozenset[str] = frozenset()
    """Severities."""
    burn: Decimal | None = None
    """Over its shortest window; None where nothing is known, or nobody pages by it."""
    bad: Decimal | None = None
    """Events of the whole window."""
    reason: str = ""
    """Why nothing is known; empty where something is."""

    @property
    def burns(self) -> bool:
        """Return whether it burns fast, or a rule fires."""
        return bool(self.firing) or (self.burn is not None and self.burn >= FAST)


Levels = Mapping[Key, Level]
_GONE: Final = Level(reason="the controller does not have it any more")


def chosen(levels: Levels, names: Iterable[str]) -> Levels:
    """Return what is to be judged: what was asked for by name, else what is about policies and has data."""
    wanted = frozenset(names)
    if wanted:
        return {key: one for key, one in levels.items() if key.name in wanted}
    return {key: one for key, one in levels.items() if one.service in SERVICES and not one.reason}


def judged(before: Levels, now: Levels | None, *, over: bool, named: bool) -> Verdict:
    """Return what levels say that were `before` the trial; None where the controller does not answer.

    One that burned before tells only what is worse. One without an event in its shortest window tells
    nothing: where somebody has `named` it, that is no answer.
    """
    for key, was in before.items():
        found = _worse(key, was, (now or {}).get(key, Level()))
        if found is not None:
            return found
    if not over:
        return WAITING
    if now is None:
        return Verdict(Outcome.INCONCLUSIVE, Reason.CONTROLLER_SILENT, "the controller does not answer")
    for key in before:
        one = now.get(key, _GONE)
        if one.reason and (named or one.reason != NO_TRAFFIC):
            why = one.reason.replace("_", " ")
            return Verdict(Outcome.INCONCLUSIVE, Reason.NO_LEVEL, f"nothing is known of {key}: {why}")
    return Verdict(Outcome.PASS, Reason.HEALTHY, f"service levels are no worse: {_listed(before)}")


def _worse(key: Key, was: Level, now: Level) -> Verdict | None:
    if more := sorted(now.firing - was.firing):
        return Verdict(Outcome.FAIL, Reason.ALERT, f"{key} fires: {', '.join(more)}")
    if now.burn is None or now.burn < FAST or (was.burn is not None and was.burn >= FAST):
        return None
    if (now.bad or 0) - (was.bad or 0) < FEWEST:
        return None
    return Verdict(Outcome.FAIL, Reason.BURN, f"{key} burns {now.burn:.1f} times as fast as it may")


def _listed(levels: Iterable[Key]) -> str:
    return ", ".join(sorted({key.name for key in levels}))
