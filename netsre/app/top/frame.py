"""One picture: what stands in each line of a screen, for a state, a reading and a size."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size

from netsre import clock
from netsre.app.top import sections as tables
from netsre.app.top import views
from netsre.app.top.layout import Line, Piece, fitted
from netsre.app.top.measuring import Interval
from netsre.app.top.sections import Section
from netsre.app.top.state import HELP, Extent, State
from netsre.app.top.values import Kind, shown
from netsre.app.top.views import VIEWS
from netsre.clock import Timestamp

_HEAD: Final = 3
_AROUND: Final = _HEAD + 2
"""Lines that are no rows: above them, the titles of columns, and the keys below."""
_KEYS: Final = ("q quit", "? keys", "1-5 view", "/ filter", "s sort", "r reverse", "p pause")
MEASURING: Final = "measuring: rates need a second reading"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the agent."""

    agent: str
    interval: Interval | None = None
    """The last that was measured, None before."""
    silent_since: Timestamp | None = None
    """When it stopped to answer; None while it does."""


class Picture(NamedTuple):
    """What is shown, and what keys can do with it."""

    lines: tuple[Line, ...]
    extent: Extent


class _Entry(NamedTuple):
    """A line of the body, and the titles that belong above it."""

    line: Line
    header: Line
    is_header: bool = False


def picture(state: State, seen: Seen, width: int, height: int) -> Picture:
    """Return a screen of exactly this size."""
    sections, entries = _tables(state, seen, width)
    room = max(1, height - _AROUND)
    # The first entry is a header, which has a line of its own.
    last = max(0, len(entries) - 1 - room)
    columns = tables.sortable(sections)
    by = _sorted_by(state, sections)
    extent = Extent(last, room, tuple(column.key for column in columns), by)
    offset = min(state.offset, last)
    said = _order(state, seen, sections, by)
    if entries and offset < last:
        said.append(f"{last - offset} lines more below")
    if state.help:
        body = _help()
    elif not entries:
        body = [(Piece(MEASURING, "bold"),)]
    else:
        first = entries[offset]
        below = entries[offset + 1 : offset + 1 + room]
        body = [first.line if first.is_header else first.header, *(entry.line for entry in below)]
    lines = [*_head(state, seen, width), (Piece(_fitting(said, width)),), *body]
    lines = lines[: height - 1]
    lines += [()] * (height - 1 - len(lines))
    return Picture(tuple(_cut(line, width) for line in [*lines, _foot(state, width)][:height]), extent)


def plain(view: int, seen: Seen, width: int, sought: str = "") -> list[str]:
    """Return everything of a view as lines of text, for a file or a pipe."""
    state = State(view, sought=sought)
    _, entries = _tables(state, seen, width)
    about = (Piece(f"netsre top: {VIEWS[view].name} of {_host(seen)}"),)
    lines = [about, *_head(state, seen, width)[1:], (), *(entry.line for entry in entries)]
    return ["".join(piece.text for piece in _cut(line, width)).rstrip() for line in lines]


def chosen(state: State, interval: Interval) -> tuple[Section, ...]:
    """Return the tables of a view with the rows that are wanted, in the order that is wanted."""
    key, turned = state.sort.get(state.view), state.view in state.backwards
    found = []
    for section in _built(state.view, interval):
        kept = replace(section, rows=tables.wanted(section.rows, state.sought))
        if section.rows and not kept.rows:
            kept = replace(kept, note="no name has this text in it")
        found.append(replace(kept, rows=tables.arranged(kept, key, backwards=turned)))
    return tuple(found)


@lru_cache(maxsize=1)
def _built(view: int, interval: Interval) -> tuple[Section, ...]:
    """Return all rows of a view; keys ask for them again and again."""
    return VIEWS[view].sections(interval)


def _tables(state: State, seen: Seen, width: int) -> tuple[tuple[Section, ...], list[_Entry]]:
    """Return the tables of a view, and all their lines."""
    if seen.interval is None:
        return (), []
    turned = state.view in state.backwards
    return _drawn(state.view, state.sort.get(state.view), turned, state.sought, seen.interval, width)


@lru_cache(maxsize=1)
def _drawn(
    view: int,
    key: str | None,
    turned: bool,  # noqa: FBT001
    sought: str,
    interval: Interval,
    width: int,
) -> tuple[tuple[Section, ...], list[_Entry]]:
    """Do so by what they depend on; scrolling through thousands of rows works none of it out again."""
    sort = {} if key is None else {view: key}
    state = State(view, sort, frozenset({view} if turned else ()), sought)
    sections = chosen(state, interval)
    entries: list[_Entry] = []
    for section in sections:
        column = tables.column_of(section, key)
        found = fitted(section, section.rows, column.key, width)
        if entries:
            entries.append(_Entry((), entries[-1].header))
        entries.append(_Entry(found.header, found.header, is_header=True))
        entries += [_Entry(line, found.header) for line in found.rows]
        note = views.remark(section, interval)
        entries += [_Entry((Piece(part, "dim"),), found.header) for part in textwrap.wrap(note, width)]
    return sections, entries


def _head(state: State, seen: Seen, width: int) -> list[Line]:
    title: list[Piece] = [Piece("netsre top ", "bold")]
    for index, view in enumerate(VIEWS):
        name = f"{index + 1} {view.name}"
        title.append(Piece(f"[{name}]", "bold reverse") if index == state.view else Piece(f" {name} "))
    agent = f" {_host(seen)}"
    if sum(cell_len(piece.text) for piece in title) + cell_len(agent) <= width:
        title.append(Piece(agent, "dim"))
    return [tuple(title), (_status(seen, width),)]


def _status(seen: Seen, width: int) -> Piece:
    if seen.silent_since is not None:
        old = "" if seen.interval is None else f"; these numbers are OLD, of {_time(seen.interval.at)} UTC"
        return Piece(f"agent does not answer since {_time(seen.silent_since)} UTC{old}", "bold red")
    if seen.interval is None:
        return Piece("")
    over = f"{_time(seen.interval.at)} UTC, over {float(seen.interval.seconds):.1f} s"
    return Piece(_fitting((*views.status(seen.interval), over), width))


def _order(state: State, seen: Seen, sections: Sequence[Section], by: str) -> list[str]:
    parts = []
    if seen.interval is not None and seen.interval.restarted:
        parts.append("AGENT RESTARTED")
    if state.paused:
        parts.append("PAUSED")
    column = next((c for c in tables.sortable(sections) if c.key == by), None)
    if column is not None:
        first, last = ("A", "Z") if column.is_text else ("largest", "smallest")
        turned = state.view in state.backwards
        parts.append(f"sorted by {column.title}, {last if turned else first} first")
    if state.sought and not state.typing:
        parts.append(f"only names with {shown(Kind.TEXT, state.sought)}")
    return parts


def _foot(state: State, width: int) -> Line:
    if state.typing:
        return (Piece(f"/{shown(Kind.TEXT, state.sought) if state.sought else ''}_", "bold"),)
    return (Piece(_fitting(_KEYS, width), "dim"),)


def _help() -> list[Line]:
    return [(Piece("keys", "bold"),), *((Piece(f"{key:<16}", "bold"), Piece(what)) for key, what in HELP)]


def _sorted_by(state: State, sections: Sequence[Section]) -> str:
    known = {column.key for column in tables.sortable(sections)}
    asked = state.sort.get(state.view)
    if asked in known:
        return asked or ""
    return sections[0].usual if sections else ""


def _fitting(parts: Sequence[str], width: int) -> str:
    """Join the first of some parts, as many as fit as a whole; a single one may be cut later."""
    kept = list(parts)
    while len(kept) > 1 and cell_len("  ".join(kept)) > width:
        kept.pop()
    return "  ".join(kept)


def _host(seen: Seen) -> str:
    return shown(Kind.TEXT, seen.agent.partition("//")[2])


def _cut(line: Line, width: int) -> Line:
    """Keep a line inside the screen: one that is broken would push another out."""
    kept, room = [], width
    for piece in line:
        if cell_len(piece.text) > room:
            kept.append(Piece(set_cell_size(piece.text, room), piece.style))
            break
        kept.append(piece)
        room -= cell_len(piece.text)
    return tuple(kept)


def _time(at: Timestamp) -> str:
    return clock.rfc3339(at)[11:19]
