"""Slack's Web API: say something, change it, look whether it is there. Every answer is a value.

It may be away, slow, or tell us to wait. Of a message that was sent and not answered nobody knows whether it
is there: that is an answer of its own, because sending it again could have it there twice.
"""

import logging
import re
import socket
import ssl
import urllib.error
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import WebClient, slack_response

from netsre.model.documents import Document

EVENT: Final = "netsre_incident"
"""The type of the metadata of our messages."""
_SECONDS: Final = 10
_USUAL_WAIT: Final = 30
_LONGEST_WAIT: Final = 600
_LONGEST_REASON: Final = 300
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,79}")
_IN_DOUBT: Final = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
_GONE: Final = frozenset({"message_not_found", "thread_not_found"})
_CONTENT: Final = frozenset(
    {
        *("invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "no_text"),
        *("invalid_arguments", "invalid_metadata_format", "metadata_too_large", "block_mismatch"),
        *("cant_update_message", "edit_window_closed"),
    }
)


class Result(StrEnum):
    """What became of a request: the word in the metric."""

    DONE = "done"
    LIMITED = "limited"
    """Slack asks us to wait."""
    REJECTED = "rejected"
    """What was said is not as Slack wants it, or what is there may not be changed."""
    REFUSED = "refused"
    """The token, its scopes or the channel: nothing can be said at all."""
    GONE = "gone"
    """The message, or the thread, is not there any more."""
    IN_DOUBT = "in_doubt"
    """Sent, and no answer that says what became of it."""
    UNREACHABLE = "unreachable"
    """Not even sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended."""

    result: Result
    reason: str = ""
    """One line; empty when there is nothing to say."""
    wait: int = 0
    """Milliseconds that Slack asks us to wait."""
    data: Mapping[str, Any] | None = None
    """What it answered, where the request was done."""
    scopes: tuple[str, ...] = ()
    """What the token may do, where Slack says so."""

    def text(self, key: str) -> str:
        """Return a text of the answer, empty where there is none."""
        found = (self.data or {}).get(key)
        return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class Message:
    """What is said."""

    text: str
    """For notifications, and for who sees no blocks."""
    blocks: Sequence[Document]
    token: str
    """What finds it again."""
    broadcast: bool = False
    """A reply that is shown in the channel as well."""

    def metadata(self) -> dict[str, Any]:
        """Return it as metadata."""
        return {"event_type": EVENT, "event_payload": {"id": self.token}}


class Slack:
    """One workspace, as one bot of it."""

    def __init__(self, token: str, api_url: str, tls: ssl.SSLContext | None = None) -> None:
        """Prepare for requests; nothing is sent yet."""
        # Without the library's own repetitions: only we know what may be said twice.
        self._client = WebClient(
            token, api_url, timeout=_SECONDS, ssl=tls, retry_handlers=[], logger=silent_logger()
        )

    def who(self) -> Answer:
        """Ask whose token it is: `team_id`, `team`, `user`, and its scopes."""
        return self._call(self._client.auth_test)

    def opened(self) -> Answer:
        """Ask for a socket, with the token of an app; it is not opened."""
        return self._call(self._client.apps_connections_open, app_token=self._client.token)

    def post(self, channel: str, message: Message, thread: str = "") -> Answer:
        """Say something, in a thread where one is named; the answer has `ts` and `channel`."""
        where: dict[str, Any] = {"thread_ts": thread} if thread else {}
        if thread and message.broadcast:
            where["reply_broadcast"] = True
        return self._call(
            self._client.chat_postMessage,
            channel=channel,
            text=message.text,
            blocks=list(message.blocks),
            metadata=message.metadata(),
            unfurl_links=False,
            unfurl_media=False,
            link_names=False,
            **where,
        )

    def update(self, channel: str, ts: str, message: Message) -> Answer:
        """Say something else in place of what is there."""
        return self._call(
            self._client.chat_update,
            channel=channel,
            ts=ts,
            text=message.text,
            blocks=list(message.blocks),
            metadata=message.metadata(),
            link_names=False,
        )

    def whisper(self, channel: str, user: str, text: str, thread: str = "") -> Answer:
        """Say something to one person alone, where that person can see it."""
        where = {"thread_ts": thread} if thread else {}
        return self._call(self._client.chat_postEphemeral, channel=channel, user=user, text=text, **where)

    def history(self, channel: str, oldest: str, cursor: str = "", limit: int = 200) -> Answer:
        """Ask for the messages of a channel since a time, newest first; the answer has `messages`."""
        asked = {"oldest": oldest, "inclusive": True, "include_all_metadata": True, "limit": limit}
        return self._call(self._client.conversations_history, channel=channel, **asked, **_page(cursor))

    def replies(self, channel: str, thread: str, oldest: str, cursor: str = "") -> Answer:
        """Ask for the messages of a thread since a time."""
        asked = {"oldest": oldest, "inclusive": True, "include_all_metadata": True, "limit": 200}
        return self._call(
            self._client.conversations_replies, channel=channel, ts=thread, **asked, **_page(cursor)
        )

    def _call(self, method: Callable[..., slack_response.SlackResponse], **said: Any) -> Answer:
        try:
            response = method(**said)
        except SlackApiError as error:
            return _refusal(error)
        except urllib.error.URLError as error:
            sent = not isinstance(error.reason, ConnectionRefusedError | socket.gaierror)
            return Answer(Result.IN_DOUBT if sent else Result.UNREACHABLE, _line(error.reason))
        except (SlackClientError, OSError, ValueError) as error:
            return Answer(Result.IN_DOUBT, _line(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001  broken answers make the library raise whatever it likes
            return Answer(Result.IN_DOUBT, _line(f"{type(error).__name__}: {error}"))
        data = response.data if isinstance(response.data, dict) else {}
        return Answer(Result.DONE, data=data, scopes=_scopes(response.headers))


def silent_logger() -> logging.Logger:
    """Return a logger for the library: what it says can have tokens and addresses with secrets in it."""
    logger = logging.getLogger("netsre.slack.sdk")
    logger.setLevel(logging.CRITICAL)
    return logger


def found(messages: object, token: str) -> str:
    """Return the name of the message with a token in its metadata; empty where there is none."""
    for one in messages if isinstance(messages, list) else ():
        metadata = one.get("metadata") if isinstance(one, dict) else None
        payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
        if isinstance(payload, dict) and payload.get("id") == token and isinstance(one.get("ts"), str):
            return str(one["ts"])
    return ""


def next_page(answer: Answer) -> str:
    """Return the cursor of the next page; empty on the last one."""
    more = (answer.data or {}).get("response_metadata")
    cursor = more.get("next_cursor") if isinstance(more, dict) else None
    return cursor if isinstance(cursor, str) else ""


def _refusal(error: SlackApiError) -> Answer:
    response = error.response
    status, headers = int(response.status_code), response.headers
    data = response.data if isinstance(response.data, dict) else {}
    word = str(data.get("error", ""))
    if status == HTTPStatus.TOO_MANY_REQUESTS or word in ("ratelimited", "rate_limited"):
        wait = _wait(headers)
        return Answer(Result.LIMITED, f"Slack asks us to wait {wait // 1000} s", wait=wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or word in _IN_DOUBT:
        said = word if _WORD.fullmatch(word) else ""
        return Answer(Result.IN_DOUBT, f"Slack answered {status} {said}".strip())
    if _WORD.fullmatch(word) is None:
        return Answer(Result.IN_DOUBT, f"answered {status}, and not as Slack does")
    details = "; ".join(map(str, data.get("errors", ()))) if isinstance(data.get("errors"), list) else ""
    needed = f" (needs {data['needed']})" if "needed" in data else ""
    reason = _line(f"{word}{needed}{': ' if details else ''}{details}")
    if word in _GONE:
        return Answer(Result.GONE, reason)
    return Answer(Result.REJECTED if word in _CONTENT else Result.REFUSED, reason, scopes=_scopes(headers))


def _wait(headers: Mapping[str, Any]) -> int:
    said = next((str(value) for name, value in headers.items() if name.lower() == "retry-after"), "")
    seconds = int(said) if said.isascii() and said.isdigit() and len(said) <= 6 else _USUAL_WAIT
    return 1000 * min(max(seconds, 1), _LONGEST_WAIT)


def _scopes(headers: Mapping[str, Any]) -> tuple[str, ...]:
    said = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
    return tuple(scope.strip() for scope in str(said).split(",") if scope.strip())


def _page(cursor: str) -> dict[str, str]:
    return {"cursor": cursor} if cursor else {}


def _line(what: object) -> str:
    return " ".join(str(what).split())[:_LONGEST_REASON]
