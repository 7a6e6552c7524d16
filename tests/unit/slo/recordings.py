"""Recorded series that the tests of a replay share, written as a Prometheus dump has them."""

from collections.abc import Callable, Iterable
from pathlib import Path

T0 = 1_767_225_600
"""2026-01-01T00:00:00Z."""


def flows(outcome: str, **more: str) -> str:
    """Return the series of connections with an outcome, on node `n1` unless somebody says otherwise."""
    labels = {"job": "netsre", "node": "n1", "outcome": outcome, "protocol": "tcp", **more}
    pairs = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if value)
    return f"netsre_flows_total{{{pairs}}}"


def lines(series: str, seconds: Iterable[int], value: Callable[[int], object]) -> list[str]:
    """Return one sample of a series for each of these seconds after `T0`."""
    return [f"{series} {value(at)} {T0 + at}.000" for at in seconds]


def write(path: Path, *parts: Iterable[str], end: str = "# EOF\n") -> Path:
    """Write a recording."""
    path.write_text("".join(f"{line}\n" for part in parts for line in part) + end)
    return path


def outage(path: Path, *, step: int = 15, begins: int = 3600, ends: int = 4200, last: int = 7200) -> Path:
    """Write steady traffic of 10/s of which every connection fails for ten minutes."""
    seconds = range(0, last + 1, step)

    def failed(at: int) -> int:
        return 10 * (min(max(at, begins), ends) - begins)

    return write(
        path,
        lines(flows("delivered"), seconds, lambda at: 1_000 + 10 * at - failed(at)),
        lines(flows("failed"), seconds, failed),
    )
