"""The controller's list of service levels, read into lines that a terminal can show."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, InvalidOperation

from netsre.errors import SourceUnreachable
from netsre.model import literals
from netsre.slo import evaluate


@dataclass(frozen=True, slots=True)
class LevelLine:
    """One service level of one group, as text."""

    name: str
    group: str
    """`node=a`, empty without groups; for the worst of many, how many there are."""
    objective: str
    sli: str
    """A percentage, or the reason why there is none."""
    budget: str
    burn: str
    """The two shortest windows, each with its rate: `5m 1.50 30m -`."""
    events: str
    firing: str
    """Severities of the burn rules that hold, `ok` when none does, `-` when nothing is known."""
    burns: bool
    """Whether a burn rule holds."""
    waits: bool
    """Whether it is about a part of netsre that no node that was read has: neither well nor a trouble."""
    trouble: str
    """Why this is not known to be well: a rule that holds, a spent budget, no data; empty when it is well."""
    badness: tuple[bool, Decimal]
    """Compares lines of one service level: the largest is the one to look at."""


def read_levels(document: object) -> tuple[LevelLine, ...]:
    """Read the answer of `/api/v1/slos`; one that is none raises `SourceUnreachable`."""
    levels = document.get("slos") if isinstance(document, Mapping) else None
    if not isinstance(levels, list):
        raise SourceUnreachable(
            "the controller's list of service levels is not readable: is it of this version?"
        )
    return tuple(_line(level) for level in levels if isinstance(level, Mapping))


def all_well(levels: tuple[LevelLine, ...]) -> bool:
    """Tell whether every service level that does not wait is known to be well; without any none is."""
    return not all(line.waits for line in levels) and not any(line.trouble for line in levels)


def worst(levels: tuple[LevelLine, ...]) -> tuple[LevelLine, ...]:
    """Return one line for each service level that does not wait: its worst group, ordered by name."""
    lines: dict[str, list[LevelLine]] = {}
    for line in (level for level in levels if not level.waits):
        lines.setdefault(line.name, []).append(line)
    found = []
    for _, group in sorted(lines.items()):
        chosen = max(group, key=lambda line: line.badness)
        note = chosen.group if len(group) == 1 else f"worst of {len(group)}: {chosen.group}"
        found.append(dataclasses.replace(chosen, group=note))
    return tuple(found)


def _line(level: Mapping[str, object]) -> LevelLine:
    sli = _number(level.get("sli"))
    firing = level.get("firing")
    severities = sorted({str(severity) for severity in firing}) if isinstance(firing, list) else []
    return LevelLine(
        name=literals.printable(str(level.get("name", "?"))),
        group=_group(level.get("group")),
        objective=_percent(_number(level.get("objective"))),
        sli=_reason(level, "sli") if sli is None else _percent(sli),
        budget=_percent(_number(level.get("budget_remaining")), places=1),
        burn=_burn(level.get("burn")),
        events=_count(_number(level.get("total"))),
        firing=", ".join(severities) or ("-" if sli is None else "ok"),
        burns=bool(severities),
        waits=_waits(level),
        trouble="" if _waits(level) else _trouble(level, severities),
        # Without a number there is nothing to look at, unless a rule holds nevertheless.
        badness=(bool(severities), Decimal(-1) if sli is None else 1 - sli),
    )


def _waits(level: Mapping[str, object]) -> bool:
    reasons = level.get("reasons")
    return isinstance(reasons, Mapping) and reasons.get("sli") == evaluate.NEEDS_DATAPATH


def _trouble(level: Mapping[str, object], severities: list[str]) -> str:
    budget = _number(level.get("budget_remaining"))
    burn, reasons = level.get("burn"), level.get("reasons")
    if severities:
        return f"burns: {', '.join(severities)}"
    if budget is None:
        return _reason(level, "budget_remaining")
    if budget <= 0:
        return "budget spent"
    # The whole window may be full of good numbers while nobody has looked for an hour.
    windows = [f"burn.{window}" for window in burn] if isinstance(burn, Mapping) else []
    blind = isinstance(reasons, Mapping) and "source_down" in {reasons.get(window) for window in windows}
    return "source down" if blind else ""


def _group(value: object) -> str:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return literals.printable(" ".join(f"{label}={text}" for label, text in pairs))


def _burn(value: object) -> str:
    if not isinstance(value, Mapping):
        return "-"
    parts = []
    for window, rate in list(value.items())[:2]:
        number = _number(rate)
        parts.append(f"{window} {'-' if number is None else format(number, '.2f')}")
    return " ".join(parts) or "-"


def _reason(level: Mapping[str, object], field: str) -> str:
    reasons = level.get("reasons")
    found = reasons.get(field) if isinstance(reasons, Mapping) else None
    return str(found or "no data").replace("_", " ")


def _number(value: object) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None


def _percent(share: Decimal | None, places: int = 3) -> str:
    if share is None:
        return "-"
    # Down, never up: 99.9999 % must not read as 100 %.
    text = format((share * 100).quantize(Decimal(1).scaleb(-places), rounding=ROUND_FLOOR), "f")
    return f"{text.rstrip('0').rstrip('.')} %"


def _count(number: Decimal | None) -> str:
    return "-" if number is None else format(number, ",.0f")
