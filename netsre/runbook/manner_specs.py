"""What stands beside `action` and `with`: how long a step waits, how often it is tried, and what then."""

from typing import Final

from netsre import clock
from netsre.model import values
from netsre.model.runbooks import Manner, OnFailure, Retry
from netsre.runbook import codes
from netsre.runbook.actions.contract import Action, Notice, Observation

WAYS: Final[tuple[OnFailure, ...]] = ("stop", "undo", "continue")
MOST_TRIES: Final = 10
SHORTEST_TIMEOUT: Final = clock.SECOND
LONGEST_TIMEOUT: Final = 5 * clock.MINUTE
SHORTEST_WAIT: Final = clock.SECOND
LONGEST_WAIT: Final = 10 * clock.MINUTE


def read(item: values.Mapping, action: Action | None) -> Manner:
    """Take `timeout`, `retry` and `onFailure` of a step; what is wrong becomes findings.

    `action` is None where there is none of that name.
    """
    timeout = _length(item, "timeout", SHORTEST_TIMEOUT, LONGEST_TIMEOUT, required=False)
    retry = _retry(item)
    word = item.choice("onFailure", *WAYS, required=False)
    if word == "continue" and action is not None and not isinstance(action, Observation | Notice):
        message = "continue is for what only looks or tells; what failed to change something stops the run"
        item.wrong("onFailure", codes.GOES_ON, message)
    return Manner(timeout, retry, next((way for way in WAYS if way == word), None))


def _retry(item: values.Mapping) -> Retry | None:
    part = item.mapping("retry", required=False)
    if part is None:
        return None
    times, wait = part.integer("times"), _length(part, "wait", SHORTEST_WAIT, LONGEST_WAIT)
    part.end()
    if times is not None and times > MOST_TRIES:
        part.wrong("times", codes.TRY, f"{times} is outside 0 to {MOST_TRIES}; every step has an end")
    return None if times is None or wait is None else Retry(times, wait)


def _length(
    part: values.Mapping, key: str, shortest: int, longest: int, *, required: bool = True
) -> int | None:
    length = part.duration(key, required=required)
    if length is not None and not shortest <= length <= longest:
        least, most = clock.duration_text(shortest), clock.duration_text(longest)
        part.wrong(key, codes.TRY, f"{clock.duration_text(length)} is outside {least} to {most}")
    return length
