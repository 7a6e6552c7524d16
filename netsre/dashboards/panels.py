"""What a board is made of, before it is anybody's JSON."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from netsre.dashboards.promql import Expr, Unit
from netsre.metrics.registry import REGISTRY

COLUMNS: Final = 24
"""Width of Grafana's grid."""

# Okabe-Ito: told apart by people with any of the common colour deficiencies.
BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
ORANGE: Final = "#E69F00"
VERMILION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#999999"
PALETTE: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)

_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Query:
    """One line, or group of lines, of a panel."""

    expr: Expr
    legend: str
    """Text with `{{label}}`s, each of which the expression must keep."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a legend that names a label which the expression removed."""
        lost = sorted(set(_LABEL.findall(self.legend)) - self.expr.labels)
        if lost:
            raise ValueError(f"legend {self.legend!r} names {', '.join(lost)}: not in {self.expr.text}")


@dataclass(frozen=True, slots=True)
class Step:
    """A colour from a value upwards."""

    value: float
    color: str


@dataclass(frozen=True, slots=True)
class Link:
    """Where a person goes next."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; `key` names it within its board for ever, since links and its id hang on it."""

    key: str
    kind: Literal["timeseries", "stat", "bargauge"]
    title: str
    advice: str
    """What it shows and what to do about it, in words for 3 a.m."""
    queries: tuple[Query, ...]
    width: int
    height: int = 8
    steps: tuple[Step, ...] = ()
    """Colours by value, lowest first; the first holds below its value, too."""
    lowest: float | None = None
    highest: float | None = None
    decimals: int | None = None
    words: tuple[tuple[str, str], ...] = ()
    """Values that are shown as a word: `(("0", "none"),)`."""
    names: tuple[tuple[str, str], ...] = ()
    """Colours of series whose names are known beforehand."""
    stacked: bool = False
    links: tuple[Link, ...] = ()

    @property
    def unit(self) -> Unit:
        """Return the one unit of all queries; raises `ValueError` when they differ."""
        units = {query.expr.unit for query in self.queries}
        if len(units) != 1:
            raise ValueError(f"panel {self.key} mixes units: {', '.join(sorted(units))}")
        return units.pop()

    @property
    def description(self) -> str:
        """Return the advice, and what the registry says of every metric that is shown."""
        names = sorted({name for query in self.queries for name in query.expr.metrics})
        helps = "\n".join(f"- `{name}`: {REGISTRY[name].help}" for name in names)
        return f"{self.advice}\n\n{helps}"


@dataclass(frozen=True, slots=True)
class Section:
    """A titled row of panels."""

    key: str
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A region on every graph while an expression has a value."""

    name: str
    expr: Expr
    color: str
    title: str


@dataclass(frozen=True, slots=True)
class Board:
    """One board."""

    uid: str
    """At most 40 characters, for ever."""
    title: str
    description: str
    tags: tuple[str, ...]
    sections: tuple[Section, ...]
    annotations: tuple[Annotation, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is on the grid."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel, or the title of a section when `panel` is None, in its place."""

    id: int
    place: Place
    title: str
    panel: Panel | None


def place(board: Board) -> tuple[Placed, ...]:
    """Put every section below the one before, its panels from left to right, wrapped at the edge."""
    placed: list[Placed] = []
    y = 0
    for section in board.sections:
        title = Place(0, y, COLUMNS, 1)
        placed.append(Placed(panel_id(board.uid, section.key), title, section.title, None))
        y += 1
        for row in _rows(section.panels):
            x = 0
            for panel in row:
                spot = Place(x, y, panel.width, panel.height)
                placed.append(Placed(panel_id(board.uid, panel.key), spot, panel.title, panel))
                x += panel.width
            y += max(panel.height for panel in row)
    return tuple(placed)


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    rows: list[list[Panel]] = []
    for panel in panels:
        if not rows or sum(known.width for known in rows[-1]) + panel.width > COLUMNS:
            rows.append([])
        rows[-1].append(panel)
    return rows


def panel_id(board: str, key: str) -> int:
    """Return a panel's id: a hash of board and key, so that it survives every reordering."""
    digest = hashlib.sha256(f"{board}\0{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1 or 1
