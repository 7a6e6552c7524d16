"""Blocks of Slack, always within its limits, with outside text that can do nothing.

What does not fit is cut where people see it. Text of labels and annotations is escaped: it cannot mention
anybody, ring a channel, or turn around what stands behind it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.documents import Document

MOST_BLOCKS: Final = 50
MOST_TEXT: Final = 3000
MOST_HEADER: Final = 150
MOST_BUTTON: Final = 75
MOST_BUTTONS: Final = 25
MOST_TITLE: Final = 100
MOST_CONFIRM: Final = 300
MOST_FALLBACK: Final = 3000
"""Of the text for notifications; Slack cuts far later, and nobody reads that far."""
_CUT: Final = " … (cut)"
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says."""

    text: str
    """For notifications, and where blocks are not shown; escaped."""
    blocks: tuple[Document, ...]
    broadcast: bool = False
    """A reply that is shown in the channel as well."""

    def plain(self) -> "Said":
        """Return it without blocks, for a Slack that does not take them."""
        return Said(self.text, (), self.broadcast)


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press."""

    text: str
    action: str
    value: str
    """What comes back; it says nothing by itself."""
    style: str
    """`primary`, `danger`, or empty."""
    title: str
    """Of the question whether it is meant."""
    question: str
    confirm: str


def tame(text: str) -> str:
    """Return a text without what cannot be seen: control characters, and such as change its direction."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in one_line(text))


def one_line(text: str) -> str:
    """Return a text with single blanks."""
    return " ".join(text.split())


def escape(text: str, most: int = MOST_TEXT) -> str:
    """Return outside text for mrkdwn, in at most so many characters, cut where that can be seen."""
    signs = [_ESCAPES.get(sign, sign) for sign in tame(text)]
    if sum(map(len, signs)) <= most:
        return "".join(signs)
    left, kept = most - len(_CUT), list[str]()
    for sign in signs:
        left -= len(sign)
        if left < 0:
            break
        kept.append(sign)
    return "".join(kept) + _CUT


def cut(text: str, most: int) -> str:
    """Return outside text for a place without markup."""
    told = tame(text)
    return told if len(told) <= most else told[: most - len(_CUT)] + _CUT


def code(text: str, most: int = 200) -> str:
    """Return outside text as code: nothing in it is markup."""
    return f"`{escape(text.replace('`', chr(0x2019)), most)}`"


def link(address: str | None, text: str, most: int = 300) -> str:
    """Return a link; without an address that can stand in one, the text."""
    shown = escape(text.replace("|", "/"), most)
    safe = address is not None and len(address) <= 1000 and not set(address) & set("<>|\"' \n\t")
    return f"<{escape(address or '', 1200)}|{shown}>" if safe else shown


def moment(at: Timestamp | None) -> str:
    """Return a time as each reader's own Slack writes it, with UTC for who does not."""
    if at is None:
        return "unknown"
    told = clock.rfc3339(at)[:19].replace("T", " ")
    return f"<!date^{at // clock.SECOND}^{{date_short_pretty}} {{time_secs}}|{told} UTC>"


def header(text: str) -> Document:
    """Return a headline."""
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": cut(text, MOST_HEADER) or "-", "emoji": False},
    }


def section(lines: Iterable[str]) -> Document:
    """Return lines of mrkdwn that were escaped; lines that do not fit are counted."""
    return {"type": "section", "text": _mrkdwn(fitting(list(lines)))}


def context(text: str) -> Document:
    """Return a line in small letters."""
    return {"type": "context", "elements": [_mrkdwn(text)]}


def actions(buttons: Sequence[Button]) -> Document:
    """Return buttons in a row."""
    return {"type": "actions", "elements": [_button(button) for button in buttons[:MOST_BUTTONS]]}


def fitting(lines: Sequence[str], most: int = MOST_TEXT) -> str:
    """Return as many lines as there is room for, and how many more there are."""
    whole = "\n".join(lines)
    if len(whole) <= most and whole:
        return whole
    kept, length = list[str](), 0
    for number, line in enumerate(lines):
        rest = f"… and {len(lines) - number} more lines"
        if length + len(line) + len(rest) + 2 > most:
            return "\n".join([*kept, rest])
        kept.append(line)
        length += len(line) + 1
    return "-"


def _mrkdwn(text: str) -> Document:
    # Verbatim: names of channels and addresses in it stay text.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _button(button: Button) -> Document:
    made: dict[str, object] = {
        "type": "button",
        "text": _plain(button.text, MOST_BUTTON),
        "action_id": button.action,
        "value": button.value,
        "confirm": {
            "title": _plain(button.title, MOST_TITLE),
            "text": _plain(button.question, MOST_CONFIRM),
            "confirm": _plain(button.confirm, 30),
            "deny": _plain("Back", 30),
        },
    }
    return {**made, "style": button.style} if button.style else made  # type: ignore[return-value,dict-item]


def _plain(text: str, most: int) -> Document:
    return {"type": "plain_text", "text": cut(text, most), "emoji": False}
