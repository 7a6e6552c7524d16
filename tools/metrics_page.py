"""Writes docs/metrics.md from the metric registry; with `--check` says whether it is as it should be."""

import pathlib
import sys
from typing import Final

from netsre.metrics.registry import REGISTRY, Exporter, Metric

PAGE: Final = pathlib.Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
_HEAD: Final = """\
# Metrics

Written by `tools/metrics_page.py` from `netsre/metrics/registry.py`; change it there. Both processes answer
in Prometheus' text format and in OpenMetrics. What was not measured is absent, never 0.
"""
_EXPORTERS: Final[tuple[tuple[Exporter, str, str], ...]] = (
    ("agent", "Agent", "`http://127.0.0.1:8601/metrics`: what the kernel says, and what it costs to ask."),
    (
        "controller",
        "Controller",
        "`http://127.0.0.1:8600/metrics`: what follows from it. SLO series also carry the `groupBy` labels.",
    ),
    (
        "datapath",
        "Datapath",
        "Of nodes that have it: services, a flow log, policies in force. Levels wait.",
    ),
)


def text() -> str:
    """Return the page."""
    parts = [_HEAD]
    for exporter, title, about in _EXPORTERS:
        rows = [_row(metric) for metric in REGISTRY.values() if metric.exporter == exporter]
        head = "| metric | kind | labels | meaning |\n|---|---|---|---|"
        parts.append("\n".join((f"## {title}\n", about, "", head, *rows, "")))
    return "\n".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments == ["--check"]:
        current = PAGE.read_text(encoding="utf-8") == text()
        if not current:
            print("docs/metrics.md is not what the registry says; run .venv/bin/python tools/metrics_page.py")
        return 0 if current else 1
    PAGE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
