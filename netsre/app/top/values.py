"""What stands in a cell: kinds of values, how a person reads them, and how a program does.

A value that nobody knows is None: `-` for a person, null for a program, and never 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.app import numbers
from netsre.model import literals

NOTHING: Final = "-"
ANY: Final = Fraction(0)
NEARLY_FULL: Final = Fraction(4, 5)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many happened between two readings, and how long that was."""

    count: Decimal
    seconds: Fraction

    @property
    def per_second(self) -> Fraction:
        """Return how many that is each second."""
        return Fraction(self.count) / self.seconds


class Within(NamedTuple):
    """The bucket of a histogram that a quantile is in, which is all that can be said of it."""

    seconds: Decimal
    """Its upper bound; for the last bucket its lower one."""
    beyond: bool = False
    """Whether it is the last bucket, which has no upper bound."""


Value = str | Rate | Within | Fraction | None


class Kind(Enum):
    """What a column holds."""

    NAME = "name"
    """For people only: made of labels, which programs get one by one."""
    TEXT = "text"
    RATE = "rate"
    SPEED = "speed"
    """A number of each second that the agent worked out itself; may be negative."""
    COUNT = "count"
    SHARE = "share"
    WITHIN = "within"
    BYTES = "bytes"
    DURATION = "duration"


def shown(kind: Kind, value: Value) -> str:
    """Return a value as a person reads it, on one line and free of what a terminal would obey."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return literals.printable(value) or NOTHING
    if isinstance(value, Rate):
        return per_second(value.per_second)
    if isinstance(value, Within):
        return f"{'>' if value.beyond else '≤'} {seconds(Fraction(value.seconds))}"
    return _NUMBERS[kind](value)


def per_second(rate: Fraction) -> str:
    """Return a rate in few digits; what is not 0 never reads as 0."""
    sign, size = "-" if rate < 0 else "", abs(rate)
    if not size:
        return "0"
    if size < Fraction(1, 200):
        return f"{sign}<0.01"
    for limit, scale, digits, unit in (
        (Fraction("0.995"), 1, 2, ""),
        (Fraction("9.95"), 1, 1, ""),
        (Fraction("9999.5"), 1, 0, ""),
        (99_950, 1_000, 1, "k"),
        (999_500, 1_000, 0, "k"),
        (99_950_000, 1_000_000, 1, "M"),
    ):
        if size < limit:
            return f"{sign}{float(size / scale):.{digits}f}{unit}"
    return f"{sign}{_rough(size)}"


def count(value: Fraction) -> str:
    """Return how many there are, whole."""
    return f"{round(value):,}" if abs(value) < 10**12 else _rough(value)


def share(value: Fraction) -> str:
    """Return a share in percent, cut and never rounded: only all of it is 100 %, only nothing 0 %."""
    if abs(value) >= 10_000:
        return f"{_rough(value * 100)} %"
    if 0 < value < Fraction(1, 1000):
        return "<0.1 %"
    tenths = int(value * 1000)
    return f"{tenths // 10} %" if tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10} %"


def seconds(value: Fraction) -> str:
    """Return a short time in the unit that leaves few digits."""
    unit, scale = "ns", 1_000_000_000
    for larger, fewer in (("µs", 1_000_000), ("ms", 1_000), ("s", 1)):
        if value * fewer >= 1:
            unit, scale = larger, fewer
    return f"{float(value * scale):.4g} {unit}"


def duration(value: Fraction) -> str:
    """Return a long time in one unit, cut."""
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if value < limit:
            return f"{int(value / size)} {unit}"
    return f"{min(int(value / 86_400), 9_999)} d"


def size(value: Fraction) -> str:
    """Return bytes in the unit that leaves few digits."""
    for limit, scale, unit in ((1 << 10, 1, "B"), (1 << 20, 1 << 10, "KiB"), (1 << 30, 1 << 20, "MiB")):
        if value < limit:
            return f"{float(value / scale):.{1 if scale > 1 and value < 10 * scale else 0}f} {unit}"
    gib = value / (1 << 30)
    return f"{float(gib):.1f} GiB" if gib < 1_000_000 else f"{_rough(gib)} GiB"


def _rough(value: Fraction) -> str:
    """Return a number that nobody expects, as a power of ten; it may be more than a float holds."""
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.1e}"


_NUMBERS: Final[Mapping[Kind, Callable[[Fraction], str]]] = MappingProxyType(
    {
        Kind.SPEED: per_second,
        Kind.COUNT: count,
        Kind.SHARE: share,
        Kind.BYTES: size,
        Kind.DURATION: duration,
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a section."""

    key: str
    """What `--json` calls it."""
    title: str
    kind: Kind
    spare: int = 0
    """What is left out of a narrow terminal first has the largest; 0 always stays."""
    alarm: Fraction | None = None
    """What is more than this is bad news."""
    keep_end: bool = False
    """Where words are shortened: whether they differ at their end, as names of one kind do."""

    @property
    def is_text(self) -> bool:
        """Whether it holds words."""
        return self.kind in (Kind.NAME, Kind.TEXT)


def document(column: Column, value: Value) -> dict[str, str | int | float | bool | None]:
    """Return what a program is told: of a rate how many there were, and how many that is each second."""
    match value:
        case None if column.kind is Kind.RATE:
            return {column.key: None, f"{column.key}_per_second": None}
        case None if column.kind is Kind.WITHIN:
            return {f"{column.key}_seconds": None, f"{column.key}_beyond": None}
        case None | str():
            return {column.key: value}
        case Rate():
            rate = numbers.number(value.per_second)
            return {column.key: numbers.number(value.count), f"{column.key}_per_second": rate}
        case Within():
            bound = numbers.number(value.seconds)
            return {f"{column.key}_seconds": bound, f"{column.key}_beyond": value.beyond}
        case Fraction():
            return {column.key: numbers.number(value)}
