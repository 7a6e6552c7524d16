"""A small server with the console's own router and made-up answers, so that a browser can look at scenes."""

import contextlib
import datetime
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import fastapi
import uvicorn

from netsre.app.control import console

HOSTILE: Final = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
"""A label value that must appear as text and as nothing else."""

_WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_STARTED: Final = time.time() - 3 * 3600


def rfc3339(seconds_ago: float) -> str:
    """Return the time that was so many seconds ago."""
    at = datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _recent(total: int, errors: Callable[[int], int], gap: range = range(0)) -> list[list[object]]:
    """Return an hour of minutes, newest last; `gap` are minutes ago without a reading."""
    now = time.time() // 60 * 60
    minutes = []
    for ago in reversed(range(60)):
        if ago not in gap:
            at = datetime.datetime.fromtimestamp(now - ago * 60, tz=datetime.UTC)
            swing = int(total * (1 + 0.3 * math.sin(ago / 7)))
            minutes.append([at.strftime("%Y-%m-%dT%H:%M:%SZ"), min(swing, errors(ago)), swing])
    return minutes


def _slo(name: str, **fields: object) -> dict[str, Any]:
    """Return one service level that is well, changed by `fields`."""
    return {
        "name": name,
        "service": "node-datapath",
        "description": "Connections that the node accepted are delivered.",
        "group": {"node": "worker-17"},
        "objective": 0.999,
        "window": "30d",
        "good": 1223456,
        "bad": 311,
        "total": 1223767,
        "sli": 0.99974586,
        "budget_remaining": 0.745864,
        "coverage": 0.4417,
        "burn": dict.fromkeys(_WINDOWS, 0.0) | {"1d": 0.12, "3d": 0.2541},
        "firing": [],
        "reasons": {},
        "recent": _recent(480, lambda ago: 2 if ago == 41 else 0),
        **fields,
    }


def _burning() -> dict[str, Any]:
    return _slo(
        "flow-success",
        bad=21840,
        good=1201927,
        sli=0.98215346,
        budget_remaining=-16.8465,
        burn=dict(zip(_WINDOWS, (212.4, 96.1, 52.25, 27.0, 9.31, 2.4, 0.81), strict=True)),
        firing=["page", "ticket"],
        recent=_recent(480, lambda ago: int(110 * (1 - ago / 12)) if ago < 12 else 0),
    )


def _blind() -> dict[str, Any]:
    return _slo(
        "connect-latency",
        description="Connections are established within 250 ms.",
        objective=0.99,
        sli=None,
        bad=None,
        good=None,
        total=None,
        budget_remaining=None,
        coverage=0.0012,
        burn=dict.fromkeys(_WINDOWS),
        reasons={"sli": "no_traffic", "budget_remaining": "no_budget"},
        recent=[],
    )


def _headroom(netns: str, **fields: object) -> dict[str, Any]:
    return _slo(
        "conntrack-headroom",
        description="The connection tracking table keeps at least half of its room.",
        group={"node": "worker-17", "netns": netns, "table": "kernel"},
        objective=0.995,
        recent=_recent(12, lambda _: 0, gap=range(20, 33)),
        **fields,
    )


def _alert(
    name: str, severity: str, seconds: float, labels: dict[str, str] | None = None, **fields: object
) -> dict[str, Any]:
    fixed = {"alertname": name, "severity": severity, "service": "node-datapath", "node": "worker-17"}
    return {
        "fingerprint": f"{abs(hash((name, severity))):016x}"[:16],
        "labels": fixed | (labels or {}),
        "annotations": {
            "summary": f"{name} on worker-17",
            "description": "1.8 % of connections failed in the last hour; the budget allows 0.1 %.",
            "runbook_url": "http://127.0.0.1:8600/runbooks/flow-evidence",
            "budget_remaining": "-1684.65%",
            "time_to_exhaustion": "exhausted",
        },
        "state": "firing",
        "fired_at": rfc3339(seconds),
        "resolved_at": None,
        "updated_at": rfc3339(5),
        **fields,
    }


def _incident(**fields: str) -> dict[str, Any]:
    state = fields.get("state", "open")
    return {
        "id": f"20260101-{state}",
        "node": "worker-17",
        "state": state,
        "severity": "ticket",
        "title": "ErrorBudgetBurn on worker-17",
        "opened_at": rfc3339(655),
        "closed_at": rfc3339(60) if state == "closed" else None,
        "alerts": 2,
        **fields,
    }


def _run() -> dict[str, Any]:
    evidence = {
        "conntrack": {"entries": 61022, "limit": 65536, "utilization": "0.9311"},
        "top_sources": [{"address": "10.0.0.7", "attempts": 40112}, {"address": HOSTILE, "attempts": 3}],
    }
    steps = (
        ("note", 0, "gate", {"cooldown": "passed"}),
        ("intent", 1, "evidence.collect", {"with": {"what": ["conntrack", "top-sources"]}}),
        ("outcome", 1, "evidence.collect", evidence),
    )
    return {
        "id": "5f1c0a9e7",
        "runbook": "flow-evidence",
        "alert": "9f3b2c4d5e6f7a8b",
        "target": "worker-17",
        "state": "succeeded",
        "result": "succeeded",
        "reason": "",
        "started_at": rfc3339(640),
        "ended_at": rfc3339(637.4),
        "journal": [
            {"seq": seq, "at": rfc3339(640 - seq), "kind": kind, "step": step, "action": action, "data": data}
            for seq, (kind, step, action, data) in enumerate(steps)
        ],
    }


def _status(**fields: object) -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "node": "worker-17",
        "started_at": rfc3339(time.time() - _STARTED),
        "interval_seconds": 5,
        "last_tick_at": rfc3339(2),
        "tick_seconds": 0.0042,
        "tick_failures": 0,
        "problem": None,
        "problems": {},
        "kill_switch": {"state": "off", "reason": "", "by": "root", "at": rfc3339(9000), "problem": ""},
        "pauses": [],
        "alertmanagers": [
            {"peer": "127.0.0.1:9093", "up": True, "reason": None, "last_accepted_at": rfc3339(30)}
        ],
        "slack": None,
        "sources": [{"name": "agent", "up": True, "reason": None, "last_at": rfc3339(2)}],
        "past": None,
        "outbox": {"log": 0, "runbook": 0},
        "specs": {"slos": 3, "runbooks": 1},
        **fields,
    }


Scene = dict[str, dict[str, Any]]


def incident() -> Scene:
    """Return a node in trouble: a page, a ticket, a blind SLO, hostile labels, one run, one more refused."""
    refused = _run() | {
        "id": "77ab31c02",
        "state": "refused",
        "result": "refused",
        "reason": "cooldown",
        "journal": [],
    }
    page = _alert("ErrorBudgetBurn", "page", 655, labels={"slo": "flow-success"})
    ticket = _alert("ConntrackUtilization", "ticket", 90, labels={"netns": HOSTILE})
    ticket["annotations"] |= {
        "runbook_url": "javascript:alert(1)",
        "time_to_exhaustion": "",
        "summary": HOSTILE,
    }
    old = _alert("ErrorBudgetBurn", "page", 90000, state="resolved", resolved_at=rfc3339(88000))
    slos = [_headroom("host"), _headroom(HOSTILE), _blind(), _burning()]
    return {
        "slos": {"slos": slos},
        "alerts": {"alerts": [old, ticket, page]},
        "incidents": {"incidents": [_incident(severity="page", title=HOSTILE), _incident(state="closed")]},
        "runs": {"runs": [_run(), refused]},
        "status": _status(),
    }


def calm() -> Scene:
    """Return a node where all is well."""
    slos = [_slo("flow-success"), _headroom("host")]
    return {
        "slos": {"slos": slos},
        "alerts": {"alerts": []},
        "incidents": {"incidents": []},
        "runs": {"runs": []},
        "status": _status(),
    }


def crowded() -> Scene:
    """Return a node with a dozen namespaces, of which one is not well."""
    slos = [_slo("flow-success"), *(_headroom(f"pod-{number}") for number in range(11))]
    slos.append(_headroom("pod-busy", sli=0.97, budget_remaining=-2.0, firing=["ticket"]))
    return calm() | {"slos": {"slos": slos}}


def stale() -> Scene:
    """Return a controller that answers but has not evaluated for minutes, because its source is away."""
    sources = [{"name": "agent", "up": False, "reason": "connection refused", "last_at": rfc3339(400)}]
    return calm() | {"status": _status(last_tick_at=rfc3339(390), sources=sources)}


def standing_by() -> Scene:
    """Return a controller that waits for another one to end."""
    told = _status(role="standby", leader="other:/var/lib/netsre", last_tick_at=None, sources=[])
    return calm() | {"slos": {"slos": []}, "status": told}


def failing() -> Scene:
    """Return a controller whose evaluations end in an error."""
    return calm() | {"status": _status(tick_failures=3, problem="database is locked; stop the other writer")}


def unarmed() -> Scene:
    """Return a node where all is well, but nobody would be told and nothing would act if it were not."""
    switch = {"state": "on", "reason": HOSTILE, "by": "root", "at": rfc3339(60), "problem": ""}
    peer = {"peer": "127.0.0.1:9093", "up": False, "reason": "connection refused", "last_accepted_at": None}
    return calm() | {"status": _status(kill_switch=switch, alertmanagers=[peer])}


def in_slack(**fields: Any) -> Scene:
    """Return a node where all is well, with a Slack in which it is told of."""
    slack = {"channel": "C0123", "mode": "socket", "problem": None, "waiting": 0, "hears": True}
    return calm() | {"status": _status(slack={**slack, "last_success_at": rfc3339(30), **fields})}


def paused() -> Scene:
    """Return a node where somebody paused a runbook, in words of a stranger."""
    return calm() | {"status": _status(pauses=[f"runbook look paused by ada: {HOSTILE}"])}


def doubted() -> Scene:
    """Return a controller over a Prometheus of which a part cannot be counted."""
    about = f"ambiguous_target: node='a' names several targets: {HOSTILE}"
    source = {"name": "prometheus", "up": True, "reason": about, "last_at": rfc3339(2)}
    past = {"slos": 12, "progress": 0.4275}
    waiting = _slo("policy-correctness", sli=None, total=None, reasons={"sli": "needs_datapath"})
    slos = {"slos": [*calm()["slos"]["slos"], waiting]}
    return calm() | {"slos": slos} | {"status": _status(sources=[source], past=past)}


def newborn() -> Scene:
    """Return a controller that started a moment ago and has measured nothing."""
    return calm() | {
        "slos": {"slos": []},
        "status": _status(started_at=rfc3339(1), last_tick_at=None, tick_seconds=None, sources=[]),
    }


def application(scene: Callable[[], Scene], *, dead: frozenset[str] = frozenset()) -> fastapi.FastAPI:
    """Return the console beside an API that answers `scene`; the parts in `dead` answer 500."""
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(console.router)

    @app.get("/api/v1/{part}")
    def api(part: str) -> dict[str, Any]:
        if part in dead:
            raise fastapi.HTTPException(500, "dead")
        return scene()[part]

    return app


@contextlib.contextmanager
def serve(app: fastapi.FastAPI) -> Iterator[str]:
    """Serve an application on a free loopback port and yield its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the fixture server ended before it listened"
            assert time.monotonic() < deadline, "the fixture server does not listen"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
