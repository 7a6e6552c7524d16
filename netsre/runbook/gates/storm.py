"""A storm: so many alerts want a change at once that what ails them is not to be mended one by one."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from netsre import clock
from netsre.clock import MINUTE, Timestamp
from netsre.model.holds import Asked, Bounds
from netsre.runbook.gates.answers import Answer, age_text
from netsre.runbook.gates.circumstances import Act, Circumstances, Holds
from netsre.runbook.gates.names import Gate

WINDOW: Final = MINUTE


def answer(act: Act, circumstances: Circumstances, *, comes: bool) -> Answer:
    """Return whether there is no storm, and was none a short while ago; `comes`: the alert asks just now."""
    now = circumstances.now
    new = [Asked(act.alert.fingerprint, now)] if comes else []
    return standing(circumstances.holds, now, new, changes=act.changes)


def standing(holds: Holds, now: Timestamp, new: Iterable[Asked] = (), *, changes: bool = True) -> Answer:
    """Return whether there is no storm, with some alerts that ask just now and are not on record."""
    bounds = holds.bounds
    most, at = worst((*holds.asked, *new), bounds, now)
    said = (
        f"at most {most} alerts wanted a change within {clock.duration_text(WINDOW)}, a storm is more than "
    )
    said += str(bounds.storm_alerts)
    if at is None or not changes:
        return Answer(Gate.STORM, passed=True, detail=said)
    hold = clock.duration_text(bounds.storm_hold)
    said += f"; the last such minute ended {age_text(abs(now - at))} ago, and nothing is changed for {hold}"
    return Answer(Gate.STORM, passed=False, detail=said)


def lookback(bounds: Bounds) -> int:
    """Return how far back, in milliseconds, it must be known who wanted a change."""
    return bounds.storm_hold + WINDOW


def worst(asked: Iterable[Asked], bounds: Bounds, now: Timestamp) -> tuple[int, Timestamp | None]:
    """Return the most alerts within a window, and when the last storm ended that is not over yet."""
    most, last = 0, None
    inside, counts = list[Asked](), Counter[str]()
    for one in sorted(asked, key=lambda one: one.at):
        inside.append(one)
        counts[one.alert] += 1
        while inside[0].at <= one.at - WINDOW:
            gone = inside.pop(0).alert
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
        if abs(now - one.at) >= bounds.storm_hold:
            continue
        most = max(most, len(counts))
        if len(counts) > bounds.storm_alerts:
            last = one.at
    return most, last
