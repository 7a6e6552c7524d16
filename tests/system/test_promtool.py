"""Every expression on a board, judged by Prometheus itself: its checker, and its server with our series."""

import contextlib
import http.server
import itertools
import json
import pathlib
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest
import yaml

from netsre import conventions as c
from netsre.app import service_levels
from netsre.dashboards import boards, render
from netsre.metrics.registry import REGISTRY, Exporter, Metric
from netsre.model.levels import SLO
from tests import prometheus
from tests.answers import listening
from tests.machine import PATIENCE
from tests.unit.dashboards import examples

pytestmark = pytest.mark.system

_NODES: Final = ("node-a", "node-b")
_SAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "outcome": ("delivered", "failed"),
    "severity": ("page", "ticket"),
    "result": ("ok", "error"),
    "table": ("kernel", "datapath"),
    "owner": (c.OWNER, "some-owner"),
    "window": ("5m", "1h"),
    "path": ("bpf", "other"),
    "state": ("without_backend",),
    "verdict": ("allowed", "denied"),
    "expected": ("yes", "no"),
    "stage": ("load", "total"),
    "direction": ("egress", "ingress"),
    "protocol": ("tcp", "udp"),
}
"""Values of the labels that expressions select by; any other label has one value of its own."""


def _slos() -> tuple[SLO, ...]:
    """Return the shipped service levels and one of every kind."""
    return (*service_levels.load().slos, *examples.every_kind())


def _substituted(text: str, window: str = "1m") -> str:
    """Put values in place of Grafana's variables, as it does for `All`."""
    return text.replace("$__rate_interval", window).replace("$node", ".*")


def _expressions() -> dict[str, str]:
    """Return every expression of the board by where it stands, annotations included."""
    board = boards.on_call(_slos(), examples.LINKS)
    found = {
        f"{panel.key}#{index}": query.expr.text
        for section in board.sections
        for panel in section.panels
        for index, query in enumerate(panel.queries)
    }
    return found | {f"annotation/{one.name}": one.expr.text for one in board.annotations}


def _rules(expressions: Mapping[str, str]) -> str:
    """Return a rule file with one recording rule for each expression."""
    rules = [
        {"record": f"check:expression_{index}", "expr": _substituted(text), "labels": {"panel": key}}
        for index, (key, text) in enumerate(expressions.items())
    ]
    return yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]})


def _promtool(path: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.requires("promtool")
def test_promtool_accepts_every_expression(tmp_path: pathlib.Path) -> None:
    """All panels and annotations of a board with SLOs of every kind are PromQL, and all were looked at."""
    expressions = _expressions()
    (tmp_path / "rules.yaml").write_text(_rules(expressions))
    checked = _promtool(tmp_path / "rules.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(expressions)} rules found" in checked.stdout


@pytest.mark.requires("promtool")
def test_promtool_would_refuse_a_broken_one(tmp_path: pathlib.Path) -> None:
    """The check above can fail: one missing bracket is found."""
    (tmp_path / "rules.yaml").write_text(_rules(_expressions() | {"broken": "sum(rate(x[1m])"}))
    assert _promtool(tmp_path / "rules.yaml").returncode != 0


@pytest.mark.requires("promtool")
def test_promtool_accepts_the_committed_board(tmp_path: pathlib.Path) -> None:
    """What lies in the checkout, read back from its JSON, is accepted as it is."""
    from netsre.app import generate  # noqa: PLC0415  # the only user in this module

    document = json.loads((generate.shipped_dashboards() / "on-call.json").read_bytes())
    targets = [target for panel in document["panels"] for target in panel.get("targets", ())]
    texts = {str(index): target["expr"] for index, target in enumerate(targets)}
    (tmp_path / "rules.yaml").write_text(_rules(texts))
    checked = _promtool(tmp_path / "rules.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(texts)} rules found" in checked.stdout


def _exposition(exporter: Exporter, value: int) -> str:
    """Return every metric of one exporter with made-up labels; counters and gauges all have `value`."""
    # Of anybody: what a service level of PromQL asks about.
    lines = [f'x{{team="some-team",code="{code}"}} {value}' for code in (200, 500)]
    for metric in REGISTRY.values():
        # An agent serves what only some nodes have, too.
        if metric.exporter == exporter or {metric.exporter, exporter} == {"datapath", "agent"}:
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines.extend(line for labels in _label_sets(metric) for line in _samples(metric, labels, value))
    return "\n".join(lines) + "\n"


def _label_sets(metric: Metric) -> Iterator[dict[str, str]]:
    """Return label sets of a metric; those of the SLO engine once for every SLO, with its groups."""
    values = [_SAMPLES.get(label, (f"some-{label}",)) for label in metric.labels]
    for chosen in itertools.product(*values):
        labels = dict(zip(metric.labels, chosen, strict=True))
        if "slo" not in labels:
            yield labels
            continue
        for slo in _slos():
            groups = {label: f"some-{label}" for label in slo.group_by}
            yield labels | {"slo": slo.name, "service": slo.service} | groups


def _samples(metric: Metric, labels: dict[str, str], value: int) -> Iterator[str]:
    def sample(suffix: str, number: int, **more: str) -> str:
        pairs = ",".join(f'{name}="{text}"' for name, text in (labels | more).items())
        return f"{metric.name}{suffix}{{{pairs}}} {number}"

    if metric.kind != "histogram":
        yield sample("", value)
        return
    for bound in ("0.1", "0.25", "1.0", "+Inf"):
        yield sample("_bucket", value, le=bound)
    yield sample("_count", value)
    yield sample("_sum", value)


@contextlib.contextmanager
def _exporters() -> Iterator[int]:
    """Serve `/agent` and `/controller` on a loopback port and yield it; counters grow with each scrape."""
    scrapes = itertools.count(1)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            exporter: Exporter = "agent" if self.path == "/agent" else "controller"
            body = _exposition(exporter, next(scrapes)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with listening(Handler) as port:
        yield port


def _configuration(port: int) -> str:
    """Return a scrape configuration with two agents, each with its node label, and one controller."""
    address = f"127.0.0.1:{port}"
    relabel = [{"source_labels": ["node"], "target_label": "instance"}]
    agents = [{"targets": [address], "labels": {c.NODE: node}} for node in _NODES]
    jobs = [
        {
            "job_name": "agents",
            "metrics_path": "/agent",
            "static_configs": agents,
            "relabel_configs": relabel,
        },
        {"job_name": "controller", "metrics_path": "/controller", "static_configs": [{"targets": [address]}]},
    ]
    return yaml.safe_dump({"global": {"scrape_interval": "500ms"}, "scrape_configs": jobs})


@contextlib.contextmanager
def _prometheus(directory: pathlib.Path, exporters: int) -> Iterator[Callable[[str], list[object]]]:
    """Run a server over the exporters; yields a function that evaluates an expression."""
    with prometheus.running(directory, _configuration(exporters)) as (server, port):

        def asked_at(text: str, at: float) -> list[object]:
            words = urllib.parse.urlencode({"query": text, "time": f"{at:.3f}"})
            asked = f"http://127.0.0.1:{port}/api/v1/query?{words}"
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                document = json.load(answer)
            result: list[object] = document["data"]["result"]
            return result

        # On a busy machine a scrape may fail at any later moment, and its series are gone until the next one.
        at = _ready_at(asked_at, server, directory / "log")
        yield lambda text: asked_at(text, at)


def _ready_at(
    asked_at: Callable[[str, float], list[object]], server: subprocess.Popen[bytes], log: pathlib.Path
) -> float:
    """Return the first time at which agents and controller answer, and have often enough for a rate."""
    deadline = time.monotonic() + 2 * PATIENCE
    ready = "count(sum_over_time(up[1m]) >= 4 and up == 1) == 3"
    while True:
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            at = time.time()
            if asked_at(ready, at):
                return at
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


@pytest.mark.requires("prometheus")
def test_prometheus_has_an_answer_for_every_expression(tmp_path: pathlib.Path) -> None:
    """A server that scrapes what the registry promises evaluates each panel to at least one series."""
    with _exporters() as port, _prometheus(tmp_path, port) as query:
        empty = [key for key, text in _expressions().items() if not query(_substituted(text, "1m"))]
        variable = query(f"count by ({c.NODE}) ({c.BUILD_INFO})")
    assert empty == []
    assert len(variable) == len(_NODES)
    assert f"label_values({c.BUILD_INFO}, {c.NODE})" == render.NODE_QUERY
