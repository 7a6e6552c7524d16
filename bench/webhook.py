"""The webhook: how many alerts a second are accepted, each of them on disk before it is answered."""

import http.client
import json
import shutil
import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.controller_process import PATIENCE, Controller, running

_SECONDS: Final = 8.0
_STORM: Final = 64
"""Alerts under way at once."""
_FLOODS: Final = ((64, 4), (1, 4), (1, 64))
"""Alerts in one post, and connections: a group in a storm; and single alerts, as the generated routes make
Alertmanager send them, over few connections, and over as many as it has in a storm."""
_CHECKOUT: Final = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class WebhookFigures:
    """What was accepted and found on disk afterwards, in posts of one size."""

    batch: int
    connections: int
    alerts_per_second: float
    slowest_milliseconds: float
    """The longest that one post waited for its answer."""
    tick_milliseconds: float
    """How long the evaluation beside it took at most."""

    @property
    def in_storm(self) -> bool:
        """Tell whether as many came as in a storm: one post after the other waits for the disk each time."""
        return self.batch * self.connections >= _STORM


def measure() -> list[WebhookFigures]:
    """Flood a controller with new alerts, in posts of each size, a fresh one each time."""
    return [_measure(batch, connections) for batch, connections in _FLOODS]


def _measure(batch: int, connections: int) -> WebhookFigures:
    # Beside the code, not in the memory that /tmp may be: what is measured is a disk.
    (_CHECKOUT / ".cache").mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="netsre-bench-", dir=_CHECKOUT / ".cache"))
    try:
        with running(
            home, "--interval", "1s", "--agent", "http://127.0.0.1:1", "--node", "bench"
        ) as controller:
            token = (home / "webhook.token").read_text(encoding="ascii").strip()
            ticks: list[float] = []
            watch = threading.Thread(target=_watch, args=(controller, ticks))
            watch.start()
            posts = _flood(controller.port, token, batch, connections)
            waits = [wait for wait, _ in posts]
            seconds = max(end for _, end in posts) - min(end - wait for wait, end in posts)
            watch.join()
        with closing(sqlite3.connect(home / "netsre.db")) as database:
            (kept,) = database.execute("SELECT count(*) FROM received WHERE disposition = 'new'").fetchone()
        if kept != len(posts) * batch:
            raise RuntimeError(f"{len(posts) * batch} alerts were accepted, and {kept} are on disk")
    finally:
        shutil.rmtree(home)
    return WebhookFigures(batch, connections, kept / seconds, max(waits) * 1000, max(ticks) * 1000)


def _watch(controller: Controller, ticks: list[float]) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        ticks.append(float(controller.status()["tick_seconds"]))
        time.sleep(0.5)


def _flood(port: int, token: str, batch: int, connections: int) -> list[tuple[float, float]]:
    """Post from several connections at once; return how long each post took, and when it ended."""
    posts: list[tuple[float, float]] = []
    senders = [
        threading.Thread(target=_send, args=(port, token, batch, sender, posts))
        for sender in range(connections)
    ]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    return posts


def _send(port: int, token: str, batch: int, sender: int, posts: list[tuple[float, float]]) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        until, number = time.monotonic() + _SECONDS, 0
        while (began := time.monotonic()) < until:
            connection.request("POST", "/api/v1/alerts", _body(sender, number, batch), headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"{answer.status}: {said!r}")
            posts.append((time.monotonic() - began, time.monotonic()))
            number += 1


def _body(sender: int, number: int, batch: int) -> bytes:
    """Return a body of alerts that were never sent before, as Alertmanager writes them."""
    alerts = [
        {
            "status": "firing",
            "labels": {
                "alertname": "HighErrorRate",
                "severity": "ticket",
                "service": "checkout",
                "instance": f"10.{sender}.{number}:{index}",
                "cluster": "eu-1",
                "team": "payments",
            },
            "annotations": {"summary": "5 % of requests fail", "runbook_url": "https://example.com/runbook"},
            "startsAt": "2026-01-01T00:00:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.com/graph?g0.expr=x",
            "fingerprint": "0123456789abcdef",
        }
        for index in range(batch)
    ]
    body = {
        "receiver": "netsre",
        "status": "firing",
        "alerts": alerts,
        "version": "4",
        "truncatedAlerts": 0,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "groupKey": "{}:{}",
    }
    return json.dumps(body).encode()
