"""What a person at the screen has asked for, and what each key changes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from netsre.app.top import keys
from netsre.app.top.views import VIEWS

HELP: Final = (
    ("1 … 5, Tab", "another view: flows, tcp, conntrack, drops, bpf"),
    ("s, r", "sort by the next column; turn the order round"),
    ("/", "only rows that name a text; Enter keeps it, Esc clears it"),
    ("p", "pause: the numbers stay, and the agent is still read"),
    ("↑ ↓ PgUp PgDn", "scroll; Home and End too"),
    ("?", "this page; any key leaves it"),
    ("q, Ctrl-C", "quit"),
)
LONGEST_FILTER: Final = 60


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is on the screen now."""

    last: int
    """The largest offset that still fills the screen."""
    page: int
    """Rows that it holds."""
    columns: tuple[str, ...]
    """Keys of the columns that can be sorted by, in order."""
    sorted_by: str


@dataclass(frozen=True, slots=True)
class State:
    """What is shown, and how."""

    view: int = 0
    sort: Mapping[int, str] = field(default_factory=dict)
    """By view; without a word it is the usual column."""
    backwards: frozenset[int] = frozenset()
    """Views in which the order is turned round."""
    sought: str = ""
    typing: bool = False
    paused: bool = False
    help: bool = False
    offset: int = 0
    ended: bool = False


def pressed(state: State, key: str, extent: Extent) -> State:
    """Return what is to be shown after a key."""
    if key == keys.INTERRUPT:
        return replace(state, ended=True)
    if state.help:
        return replace(state, help=False, ended=key == "q")
    moved = _scrolled(state, key, extent)
    if moved is not None:
        return moved
    return _typed(state, key) if state.typing else _asked(state, key, extent)


def _scrolled(state: State, key: str, extent: Extent) -> State | None:
    steps = {
        keys.UP: -1,
        keys.DOWN: 1,
        keys.PAGE_UP: -extent.page,
        keys.PAGE_DOWN: extent.page,
        keys.HOME: -state.offset,
        keys.END: extent.last,
    }
    if key not in steps:
        return None
    return replace(state, offset=max(0, min(min(state.offset, extent.last) + steps[key], extent.last)))


def _typed(state: State, key: str) -> State:
    match key:
        case keys.ENTER:
            return replace(state, typing=False)
        case keys.ESCAPE:
            return replace(state, typing=False, sought="", offset=0)
        case keys.CLEAR:
            return replace(state, sought="", offset=0)
        case keys.ERASE:
            return replace(state, sought=state.sought[:-1], offset=0)
        case _ if len(key) == 1 and len(state.sought) < LONGEST_FILTER:
            return replace(state, sought=state.sought + key, offset=0)
        case _:
            return state


def _asked(state: State, key: str, extent: Extent) -> State:
    if key == "s":
        return _sorted(state, extent)
    if key.isascii() and key.isdigit():
        chosen = int(key) - 1
        return replace(state, view=chosen, offset=0) if 0 <= chosen < len(VIEWS) else state
    changes: Mapping[str, dict[str, Any]] = {
        "q": {"ended": True},
        "p": {"paused": not state.paused},
        "/": {"typing": True},
        "?": {"help": True},
        "h": {"help": True},
        "r": {"backwards": state.backwards ^ {state.view}, "offset": 0},
        keys.ESCAPE: {"sought": "", "offset": 0},
        keys.TAB: {"view": (state.view + 1) % len(VIEWS), "offset": 0},
        keys.BACKTAB: {"view": (state.view - 1) % len(VIEWS), "offset": 0},
    }
    return replace(state, **changes.get(key, {}))


def _sorted(state: State, extent: Extent) -> State:
    if extent.sorted_by not in extent.columns:
        return state
    following = extent.columns.index(extent.sorted_by) + 1
    column = extent.columns[following % len(extent.columns)]
    return replace(
        state, sort={**state.sort, state.view: column}, backwards=state.backwards - {state.view}, offset=0
    )
