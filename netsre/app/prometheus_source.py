"""What a person asks a Prometheus, checked before it is sent: address, moment, token, service levels."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.adapters.prometheus.native import Remark
from netsre.app import prometheus_options, recorded_levels, service_levels
from netsre.app.recorded_levels import Progress
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model import literals

_UNIX_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_EARLIEST: Final = Timestamp(1_000_000_000 * clock.SECOND)
_LATEST_AHEAD: Final = clock.MINUTE
"""Milliseconds by which another machine's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line says; None where it says nothing."""

    source: str
    at: str | None = None
    node_label: str | None = None
    token_file: Path | None = None
    slos: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The document of the answer, and what a person has to be told beside it."""

    document: Mapping[str, object]
    warnings: tuple[str, ...]


def ask(question: Question, now: Timestamp, progress: Progress) -> Found:
    """Return where SLOs stood; raises `BadInput` before, and `SourceUnreachable` after something was sent."""
    url = prometheus_options.address(question.source)
    at = moment(question.at, now)
    label = prometheus_options.node_label(question.node_label)
    found = service_levels.load(question.slos)
    if not found.slos:
        where = ", ".join(map(str, question.slos))
        raise BadInput(f"no SLO in {where}; name a file with one, or leave --slos out for those shipped")
    client = PrometheusClient(url, prometheus_options.token(question.token_file))
    try:
        standing = recorded_levels.read(client, found.slos, at, label, progress)
    finally:
        client.close()
    return _found(url, at, standing, client.remarks)


def _found(url: str, at: Timestamp, standing: recorded_levels.Standing, remarks: Iterable[Remark]) -> Found:
    said = [(one.reason, one.about) for one in standing.doubts] + [(one.reason, one.about) for one in remarks]
    warnings = tuple(literals.printable(f"{reason}: {about[:200]}") for reason, about in said)
    document = {
        **standing.levels.model_dump(mode="json"),
        "source": url,
        "at": clock.rfc3339(at),
        "queries": standing.queries,
        "notes": dict(standing.notes),
        "warnings": list(warnings),
    }
    return Found(document, warnings)


def moment(text: str | None, now: Timestamp) -> Timestamp:
    """Return the moment that `--at` names, now when it names none; raises `BadInput`."""
    if text is None:
        return now
    right = "write one such as 2026-01-02T03:04:05Z, or seconds since 1970"
    try:
        unix = _UNIX_SECONDS.fullmatch(text)
        at = Timestamp(int(Decimal(text) * clock.SECOND)) if unix else clock.parse_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"--at {literals.shown(text)} is no time; {right}") from error
    if at > now + _LATEST_AHEAD:
        raise BadInput(f"--at {literals.shown(text)} is in the future ({clock.rfc3339(now)} now); {right}")
    if at < _EARLIEST:
        raise BadInput(f"--at {literals.shown(text)} is before there was a Prometheus; {right}")
    return at
