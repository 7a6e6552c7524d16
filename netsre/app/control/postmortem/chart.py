"""The picture of a service level during an incident: its error ratio, slot by slot."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.app.control.postmortem.shapes import Level, Postmortem

WIDTH: Final = 720
HEIGHT: Final = 120
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_MOST_BLOCKS: Final = 60


@dataclass(frozen=True, slots=True)
class Bar:
    """A slot; in the units of the picture, as decimal text."""

    x: str
    y: str
    width: str
    height: str
    kind: str
    """`bad`, or `blind` where nothing was measured."""
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A moment."""

    x: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    allowed_y: str
    """Where the error ratio is exactly what the objective allows."""
    top: str
    """The error ratio at the upper edge, in percent."""
    allowed: str
    first: str
    last: str
    """Times of day of both ends."""


def draw(level: Level, postmortem: Postmortem) -> Chart:
    """Return the chart of one service level."""
    allowed = 1 - Fraction(str(level.objective))
    ratios = [_ratio(point.bad, point.total) for point in level.points]
    top = min(max([*ratios, 2 * allowed]), Fraction(1))
    step = postmortem.step_seconds * clock.SECOND
    start = clock.parse_rfc3339(level.points[0].at)
    end = clock.parse_rfc3339(level.points[-1].at) + step
    wide = Fraction(WIDTH * step, end - start)
    bars = []
    for number, (point, ratio) in enumerate(zip(level.points, ratios, strict=True)):
        high = Fraction(HEIGHT) if not point.measured else min(ratio / top, Fraction(1)) * HEIGHT
        if high:
            said = f"{point.at[11:16]}: " + (
                f"{point.bad} bad of {point.total}" if point.measured else "not measured"
            )
            kind = "bad" if point.measured else "blind"
            bars.append(Bar(_text(number * wide), _text(HEIGHT - high), _text(wide), _text(high), kind, said))
    times = {**postmortem.incident.times.model_dump(), "began": postmortem.began.at}
    lines = tuple(
        Line(_text(Fraction(WIDTH * (at - start), end - start)), kind, f"{title} {text[11:19]}")
        for kind, title in (("began", "began"), ("detected", "first alert"), ("first_effect", "first change"),
                            ("verified", "verified"), ("closed", "closed"))
        if (text := times[kind]) is not None and start <= (at := clock.parse_rfc3339(text)) <= end
    )  # fmt: skip
    marks = _text(HEIGHT - allowed / top * HEIGHT)
    ends = level.points[0].at[11:16], clock.rfc3339(clock.Timestamp(end))[11:16]
    return Chart(tuple(bars), lines, marks, _percent(top), _percent(allowed), *ends)


def blocks(level: Level) -> str:
    """Return the same as one line of text; `·` is a time without a reading, `_` one without a bad event."""
    many = -(-len(level.points) // _MOST_BLOCKS)
    pieces = [level.points[at : at + many] for at in range(0, len(level.points), many)]
    worst = [
        max((_ratio(point.bad, point.total) for point in piece if point.measured), default=None)
        for piece in pieces
    ]
    top = max((one for one in worst if one is not None), default=Fraction(0))
    return "".join(_block(one, top) for one in worst)


def _block(ratio: Fraction | None, top: Fraction) -> str:
    if ratio is None:
        return "·"
    return _BLOCKS[min(int(ratio / top * len(_BLOCKS)), len(_BLOCKS) - 1)] if ratio else "_"


def _ratio(bad: float, total: float) -> Fraction:
    return Fraction(bad) / Fraction(total) if total > 0 else Fraction(0)


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):.4g} %"


def _text(length: Fraction | int) -> str:
    return f"{float(length):.2f}".rstrip("0").rstrip(".")
