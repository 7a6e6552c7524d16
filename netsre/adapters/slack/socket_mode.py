"""Socket Mode: a connection that we open, over which Slack sends what is pressed.

Each envelope is answered when what it says is on disk, and never before: Slack sends it again otherwise, also
over another connection. What comes is not signed, so that it must name the app whose token opened the
connection.
"""

import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from slack_sdk.socket_mode.builtin.client import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web import WebClient

from netsre.adapters.slack.api import silent_logger

_log: Final = logging.getLogger("netsre.slack")

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_SECONDS: Final = 10

Take = Callable[[Mapping[str, Any]], bool]
"""Takes the payload of an interaction, in whichever thread; tells whether to answer that it was taken."""


class SocketMode:
    """The connection, opened anew whenever it ends."""

    def __init__(
        self,
        app_token: str,
        api_url: str,
        take: Take,
        tls: ssl.SSLContext | None = None,
        ping_seconds: float = 5.0,
    ) -> None:
        """Prepare; nothing is opened yet."""
        self._app_token, self._api_url, self._take, self._tls = app_token, api_url, take, tls
        self._ping_seconds = ping_seconds
        self._app = ""
        self._client: SocketModeClient | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slack socket", daemon=True)

    def start(self) -> None:
        """Begin to open it, in a thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Close it, and wait for that so long: what comes meanwhile is sent again."""
        self._stopping.set()
        self._thread.join(seconds)

    def connected(self) -> bool:
        """Tell whether Slack can send something now."""
        return self._client is not None and bool(self._client.is_connected())

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            client = self._made()
            try:
                client.connect()
            except Exception as error:  # noqa: BLE001  whatever keeps it from opening may be over soon
                _log.warning("slack socket is not open: %s", type(error).__name__)
                client.close()
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            _log.info("slack socket is open")
            self._client = client
            # From here on the library opens it anew by itself.
            self._stopping.wait()
            client.close()

    def _made(self) -> SocketModeClient:
        logger = silent_logger()
        web = WebClient(
            base_url=self._api_url, timeout=_SECONDS, ssl=self._tls, retry_handlers=[], logger=logger
        )
        client = SocketModeClient(
            self._app_token, logger, web, ping_interval=self._ping_seconds, concurrency=2
        )
        client.message_listeners.append(self._hello)
        client.socket_mode_request_listeners.append(self._heard)
        return client

    def _hello(self, _client: BaseSocketModeClient, message: dict[str, Any], _raw: str | None = None) -> None:
        """Learn which app this connection is of."""
        about = message.get("connection_info")
        if message.get("type") == "hello" and isinstance(about, dict):
            self._app = str(about.get("app_id", ""))

    def _heard(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        if request.type == "interactive":
            ours = self._app and request.payload.get("api_app_id") == self._app
            if not ours:
                _log.warning("slack socket brought an interaction of another app")
            elif not self._take(request.payload):
                return
        # Of another kind: nothing of ours, and not to be sent again.
        client.send_socket_mode_response(SocketModeResponse(request.envelope_id))
