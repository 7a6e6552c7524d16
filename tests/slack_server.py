"""A Slack for tests: its Web API, Socket Mode and signed clicks, as its documentation has them, on loopback.

What is posted is kept, and refused by Slack's own limits. A test can have it limit, hang up after a message
is taken, answer nonsense, or be away.
"""

import hashlib
import hmac
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests import slack_rules
from tests.machine import PATIENCE
from tests.slack_socket import Connection, accept_key

TOKEN: Final = "xoxb-what-the-tests-show"  # noqa: S105
APP_TOKEN: Final = "xapp-1-A0NETSRE-1-what-the-tests-show"  # noqa: S105
SECRET: Final = "what-slack-signs-with"  # noqa: S105
APP, TEAM, CHANNEL, BOT = "A0NETSRE", "T0NETSRE", "C0NETSRE", "B0NETSRE"
SCOPES: Final = "chat:write,channels:history"


@dataclass
class Kept:
    """One message in the channel."""

    ts: str
    said: dict[str, Any]
    thread: str
    edits: int = 0

    def buttons(self) -> dict[str, dict[str, Any]]:
        """Return its buttons by action."""
        rows = [block["elements"] for block in self.said.get("blocks", ()) if block["type"] == "actions"]
        return {one["action_id"]: one for row in rows for one in row}

    @property
    def shown(self) -> str:
        """Return everything that people read in it."""
        return "\n".join(text for _, text in slack_rules.texts(self.said))


@dataclass
class Trouble:
    """What befalls the next requests of a method, one entry each."""

    method: str
    kind: str
    """`limit`, `hang_up` (after it is done), `nonsense`, `away` (not done), or a word of Slack's."""


@dataclass
class Slack:
    """What a test sees and does of it."""

    url: str
    messages: dict[str, Kept] = field(default_factory=dict)
    whispers: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    down: bool = False
    moving: threading.Event = field(default_factory=threading.Event)
    """While it is not set, requests are taken and wait."""
    sockets: list[Connection] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    clock: int = 0

    def parents(self) -> list[Kept]:
        """Return the messages that are no replies."""
        with self.lock:
            return [one for one in self.messages.values() if not one.thread]

    def replies(self, text: str = "") -> list[Kept]:
        """Return the replies with a text in them."""
        with self.lock:
            return [one for one in self.messages.values() if one.thread and text in one.shown]

    def question(self) -> Kept | None:
        """Return the newest message that can be approved."""
        with self.lock:
            return next(
                (m for m in reversed(self.messages.values()) if "netsre.approve" in m.buttons()), None
            )

    def payload(self, message: Kept, action: str, account: str, value: str | None = None) -> dict[str, Any]:
        """Return the interaction of a press of a button."""
        self.clock += 1
        pressed = message.buttons().get(action, {"value": value})
        return {
            "type": "block_actions",
            "user": {"id": account, "username": "whoever", "team_id": TEAM},
            "api_app_id": APP,
            "token": "deprecated",
            "container": {
                "type": "message", "message_ts": message.ts, "channel_id": CHANNEL, "is_ephemeral": False,
            },
            "trigger_id": "1.2.3",
            "team": {"id": TEAM, "domain": "tests"},
            "enterprise": None,
            "channel": {"id": CHANNEL, "name": "network"},
            "message": {"ts": message.ts, "thread_ts": message.thread or message.ts, "type": "message"},
            "response_url": "https://hooks.slack.invalid/actions/never-used",
            "actions": [
                {
                    "action_id": action, "block_id": "x", "type": "button",
                    "value": value or pressed["value"], "action_ts": f"{1_790_000_000 + self.clock}.000100",
                    "text": {"type": "plain_text", "text": "x"},
                }
            ],
        }  # fmt: skip

    def connected(self) -> bool:
        """Tell whether somebody has a socket open."""
        return any(one.open for one in self.sockets)

    def send(self, payload: dict[str, Any], envelope: str = "") -> str:
        """Send an interaction over the newest socket; return the id of its envelope."""
        name = envelope or f"envelope-{len(self.acknowledged)}-{self.clock}"
        told = {
            "envelope_id": name,
            "type": "interactive",
            "accepts_response_payload": False,
            "payload": payload,
        }
        next(one for one in reversed(self.sockets) if one.open).send(json.dumps(told))
        return name


def form(payload: object) -> bytes:
    """Return an interaction as the body of a request."""
    return urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()


def signature(body: bytes, at: int | str, secret: str = SECRET) -> str:
    """Return what Slack signs a body with."""
    told = b"v0:" + str(at).encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()


def headers(body: bytes, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    """Return the headers of a request that Slack signed."""
    now = int(time.time()) if at is None else at
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": str(now),
        "X-Slack-Signature": signature(body, now, secret),
    }


def press(controller: str, payload: object) -> httpx.Response:
    """Send an interaction as Slack does."""
    body = form(payload)
    where = f"{controller}/api/v1/slack/interactions"
    return httpx.post(where, content=body, headers=headers(body), timeout=PATIENCE)


@contextmanager
def slack() -> Iterator[Slack]:
    """Run one."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.slack = Slack(f"http://127.0.0.1:{server.server_port}/api/")  # type: ignore[attr-defined]
    server.slack.moving.set()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.slack  # type: ignore[attr-defined]
    finally:
        server.slack.moving.set()  # type: ignore[attr-defined]
        for socket in server.slack.sockets:  # type: ignore[attr-defined]
            socket.close()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"

    @property
    def slack(self) -> Slack:
        """Return what this server is."""
        return self.server.slack  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Open a socket."""
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept_key(self.headers["Sec-WebSocket-Key"]))
        self.end_headers()
        connection = Connection(self.connection)
        self.slack.sockets.append(connection)
        hello = {"type": "hello", "num_connections": 1, "connection_info": {"app_id": APP}}
        connection.send(json.dumps(hello))
        for text in connection.received():
            self.slack.acknowledged.append(json.loads(text)["envelope_id"])
        self.close_connection = True

    def do_POST(self) -> None:
        """Answer a method of the Web API."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        method = self.path.rpartition("/")[2]
        self.slack.moving.wait()
        with self.slack.lock:
            self.slack.calls.append(method)
            trouble = next((one for one in self.slack.troubles if one.method == method), None)
            if trouble is not None:
                self.slack.troubles.remove(trouble)
        kind = "away" if self.slack.down else "" if trouble is None else trouble.kind
        if kind in ("away", "limit", "nonsense"):
            self._fail(kind)
            return
        answer = {"ok": False, "error": kind} if kind not in ("", "hang_up") else self._answer(method, body)
        if kind == "hang_up":
            self.close_connection = True
            return
        self._send(200, json.dumps(answer).encode())

    def _fail(self, kind: str) -> None:
        if kind == "limit":
            self._send(429, b'{"ok":false,"error":"ratelimited"}', {"Retry-After": "1"})
        elif kind == "nonsense":
            self._send(200, b"<html>a proxy of somebody's</html>", {"Content-Type": "text/html"})
        else:
            self._send(503, b"away")

    def _send(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        told = {"Content-Type": "application/json; charset=utf-8", "X-OAuth-Scopes": SCOPES} | (more or {})
        for name, value in {**told, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, method: str, body: bytes) -> dict[str, Any]:
        shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if shown != (APP_TOKEN if method == "apps.connections.open" else TOKEN):
            return _no("invalid_auth")
        asked = _asked(self.headers.get("Content-Type", ""), body)
        known: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "auth.test": lambda _: {
                "ok": True,
                "team_id": TEAM,
                "team": "tests",
                "user": "netsre",
                "bot_id": BOT,
            },
            "apps.connections.open": lambda _: {"ok": True, "url": self._socket_url()},
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.postEphemeral": self._whisper,
            "conversations.history": self._history,
            "conversations.replies": self._history,
        }
        if method not in known:
            return _no("unknown_method")
        if asked.get("channel", CHANNEL) != CHANNEL:
            return _no("channel_not_found")
        with self.slack.lock:
            return known[method](asked)

    def _socket_url(self) -> str:
        return self.slack.url.replace("http://", "ws://").replace("/api/", "/socket")

    def _post(self, asked: dict[str, Any]) -> dict[str, Any]:
        if word := slack_rules.wrong(asked):
            return _no(word)
        thread = asked.get("thread_ts", "")
        if thread and thread not in self.slack.messages:
            return _no("thread_not_found")
        self.slack.clock += 1
        ts = f"{int(time.time())}.{self.slack.clock:06d}"
        self.slack.messages[ts] = Kept(ts, asked, thread)
        return {"ok": True, "channel": CHANNEL, "ts": ts, "message": {"ts": ts, "bot_id": BOT}}

    def _update(self, asked: dict[str, Any]) -> dict[str, Any]:
        if word := slack_rules.wrong(asked):
            return _no(word)
        found = self.slack.messages.get(asked["ts"])
        if found is None:
            return _no("message_not_found")
        found.said = {**found.said, "blocks": [], **asked}
        found.edits += 1
        return {"ok": True, "channel": CHANNEL, "ts": found.ts, "text": asked["text"]}

    def _whisper(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.slack.whispers.append(asked)
        return {"ok": True, "message_ts": "1.1"}

    def _history(self, asked: dict[str, Any]) -> dict[str, Any]:
        thread, all_of_it = asked.get("ts", ""), asked.get("include_all_metadata") in ("1", "true", True)
        found = [
            one for one in self.slack.messages.values() if (one.thread or one.ts) == thread or not thread
        ]
        told = [
            {
                "type": "message", "ts": one.ts, "bot_id": BOT, "text": one.said.get("text", ""),
                **({"metadata": one.said["metadata"]} if all_of_it and "metadata" in one.said else {}),
            }
            for one in found
            if (thread or not one.thread) and float(one.ts) >= float(asked.get("oldest", "0"))
        ]  # fmt: skip
        # One on a page: whoever looks has to turn it.
        told = told if thread else told[::-1]
        at = int(asked.get("cursor") or "0")
        more = str(at + 1) if at + 1 < len(told) else ""
        return {"ok": True, "messages": told[at : at + 1], "response_metadata": {"next_cursor": more}}


def _asked(kind: str, body: bytes) -> dict[str, Any]:
    if kind.startswith("application/json"):
        found: dict[str, Any] = json.loads(body)
        return found
    return dict(urllib.parse.parse_qsl(body.decode()))


def _no(word: str) -> dict[str, Any]:
    return {"ok": False, "error": word}
