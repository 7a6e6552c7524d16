"""What Slack says about a message it is given: the limits of its documentation, as its words."""

import json
import re
from typing import Any, Final

TEXTS: Final = {"plain_text": {"type", "text", "emoji"}, "mrkdwn": {"type", "text", "verbatim"}}
_MENTION: Final = re.compile(r"<(?:!(?!date\^)|@|#|!subteam)")
_ENTITY: Final = re.compile(r"&(?!amp;|lt;|gt;)")
_MARKUP: Final = re.compile(r"<(?:https?://[^<>|]+(?:\|[^<>]*)?|!date\^\d+\^[^<>^|]+\|[^<>]+)>")


def wrong(message: dict[str, Any]) -> str:
    """Return the word with which Slack refuses a message; empty for one that it takes."""
    blocks, text = message.get("blocks"), message.get("text", "")
    if blocks is not None and not isinstance(blocks, list):
        return "invalid_blocks_format"
    if not text and not blocks:
        return "no_text"
    if len(text) > 40_000:
        return "msg_too_long"
    if blocks and (len(blocks) > 50 or any(_block(block) for block in blocks)):
        return "invalid_blocks"
    if blocks and len(json.dumps(blocks)) > 120_000:
        return "msg_blocks_too_long"
    return "" if _metadata(message.get("metadata")) else "invalid_metadata_format"


def stray(text: str) -> str:
    """Return what of a mrkdwn text could be somebody else's markup: a mention, a bare sign, an entity cut."""
    if found := _MENTION.search(text) or _ENTITY.search(text):
        return text[max(found.start() - 20, 0) : found.end() + 20]
    rest = _MARKUP.sub("", text)
    return rest if "<" in rest or ">" in rest else ""


def texts(message: dict[str, Any]) -> list[tuple[str, str]]:
    """Return every text of a message, each with its kind."""
    found: list[tuple[str, str]] = [("mrkdwn", message.get("text", ""))]

    def walk(part: object) -> None:
        if isinstance(part, dict):
            if part.get("type") in TEXTS:
                found.append((part["type"], part["text"]))
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(message.get("blocks") or [])
    return found


def _metadata(found: object) -> bool:
    if found is None:
        return True
    return isinstance(found, dict) and isinstance(found.get("event_payload"), dict) and "event_type" in found


def _block(block: Any) -> str:  # noqa: ANN401 - JSON
    """Return what is wrong with a block."""
    if not isinstance(block, dict) or len(block.get("block_id", "")) > 255:
        return "no block"
    match block.get("type"):
        case "header":
            return _text(block.get("text"), "plain_text", 150)
        case "section":
            return _text(block.get("text"), "mrkdwn", 3000)
        case "context":
            elements = block.get("elements", [])
            several = not 1 <= len(elements) <= 10
            return "elements" if several else "".join(_text(one, "mrkdwn", 3000) for one in elements)
        case "actions":
            elements = block.get("elements", [])
            names = {one.get("action_id") for one in elements}
            several = not 1 <= len(elements) <= 25 or len(names) != len(elements)
            return "elements" if several else "".join(map(_button, elements))
        case _:
            return "type"


def _text(found: Any, kind: str, most: int) -> str:  # noqa: ANN401 - JSON
    if not isinstance(found, dict) or found.get("type") != kind or set(found) - TEXTS[kind]:
        return "text"
    return "" if 1 <= len(found["text"]) <= most else "length"


def _button(button: dict[str, Any]) -> str:
    known = {"type", "text", "action_id", "value", "style", "confirm"}
    if button.get("type") != "button" or set(button) - known or not 1 <= len(button["action_id"]) <= 255:
        return "button"
    if len(button["value"]) > 2000 or button.get("style", "primary") not in ("primary", "danger"):
        return "value"
    confirm = button["confirm"]
    return _text(button["text"], "plain_text", 75) + "".join(
        _text(confirm[key], "plain_text", most)
        for key, most in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30))
    )
