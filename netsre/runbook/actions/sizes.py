"""What changes have in common that give a table more room: how much, and never more than its bounds."""

import re
from typing import Final

from netsre import clock
from netsre.model import literals, values
from netsre.model.documents import Document, Json
from netsre.runbook import codes
from netsre.runbook.actions import sources
from netsre.runbook.actions.contract import NothingToDo

LONGEST: Final = clock.DAY
"""For which a table may have more room."""
TIMES: Final = re.compile(r"x([2-8])")
NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")


def read(parameters: values.Mapping, wish: str, bound: str) -> Document | None:
    """Take, by their keys, the size that is wished for (`x2`, or a number) and its bound, and `ttl`."""
    size, most = _wish(parameters, wish), parameters.integer(bound)
    ttl = sources.ttl(parameters, LONGEST)
    if most == 0:
        parameters.wrong(bound, codes.PARAMETER, "0 would allow no entry; write a number of entries")
        return None
    if size is None or most is None or ttl is None:
        return None
    if isinstance(size, int) and size > most:
        parameters.wrong(wish, codes.PARAMETER, f"{size} is above {bound}, which is {most}")
        return None
    return {wish: size, bound: most, "ttl": ttl}


def chosen(now: int, wish: Json, most: Json, memory: int, what: str) -> int:
    """Return the new size: never above the bound, nor above what the node's memory bears.

    Raises `NothingToDo` with `at_bound` when that is not more than there is of `what`.
    """
    match = TIMES.fullmatch(wish) if isinstance(wish, str) else None
    asked = now * int(match[1]) if match else wish
    after = min(bound for bound in (asked, most, memory) if isinstance(bound, int))
    if after <= now:
        message = f"{what} is {now} and may be {after}: there is nothing left to raise"
        raise NothingToDo("at_bound", message)
    return after


def _wish(parameters: values.Mapping, key: str) -> str | int | None:
    text = parameters.text(key)
    if text is None or TIMES.fullmatch(text):
        return text
    if NUMBER.fullmatch(text):
        return int(text)
    message = f"{literals.shown(text)} is no {key}; write x2 to x8, or a number of entries"
    parameters.wrong(key, codes.PARAMETER, message)
    return None
