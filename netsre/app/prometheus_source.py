"""What a person asks a Prometheus, checked before it is sent: address, moment, token, service levels."""

import os
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app import recorded_levels, service_levels
from netsre.app.recorded_levels import Progress
from netsre.clock import Timestamp
from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model import literals
from netsre.slo import selectors, targets

TOKEN_VARIABLE: Final = "NETSRE_PROMETHEUS_TOKEN"  # noqa: S105  # the name of the variable
NODE_LABEL: Final = targets.INSTANCE

_UNIX_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_EARLIEST: Final = Timestamp(1_000_000_000 * clock.SECOND)
_LATEST_AHEAD: Final = clock.MINUTE
"""Milliseconds by which another machine's clock may be ahead of ours."""
_LONGEST_TOKEN: Final = 16_384


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
    url = address(question.source)
    at = moment(question.at, now)
    label = question.node_label or NODE_LABEL
    if not selectors.is_label(label):
        raise BadInput(
            f"--node-label {literals.shown(label)} is not the name of a label; write one such as node"
        )
    found = service_levels.load(question.slos)
    if not found.slos:
        where = ", ".join(map(str, question.slos))
        raise BadInput(f"no SLO in {where}; name a file with one, or leave --slos out for those shipped")
    client = PrometheusClient(url, token(question.token_file))
    try:
        standing = recorded_levels.read(client, found.slos, at, label, progress)
    finally:
        client.close()
    return _found(url, at, standing)


def _found(url: str, at: Timestamp, standing: recorded_levels.Standing) -> Found:
    warnings = tuple(literals.printable(f"{doubt.reason}: {doubt.about[:200]}") for doubt in standing.doubts)
    document = {
        **standing.levels.model_dump(mode="json"),
        "source": url,
        "at": clock.rfc3339(at),
        "queries": standing.queries,
        "notes": dict(standing.notes),
        "warnings": list(warnings),
    }
    return Found(document, warnings)


def address(text: str) -> str:
    """Return the address of a Prometheus, which may have a path; raises `BadInput` with a right form."""
    right = "write one such as http://127.0.0.1:9090"
    try:
        parts = urllib.parse.urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        raise BadInput(f"--source {literals.shown(text)} is no address of a Prometheus; {right}")
    if "@" in parts.netloc:
        # Never repeated: it may be in the message that somebody else reads.
        raise BadInput(f"--source has a password or a user in it; set {TOKEN_VARIABLE}, or use --token-file")
    if parts.query or parts.fragment or text.rstrip().endswith(("?", "#")):
        raise BadInput(f"--source {literals.shown(text)} has more than an address and a path; {right}")
    return text.rstrip("/")


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


def token(path: Path | None) -> str | None:
    """Return the bearer token of a file, or of the environment; None where neither is named.

    Raises `BadInput` for what no header can carry, `EnvironmentUnfit` for a file that cannot be read.
    """
    if path is None:
        given = os.environ.get(TOKEN_VARIABLE)
        return _checked(given.strip(), TOKEN_VARIABLE) if given else None
    try:
        with path.open(encoding="ascii") as file:
            return _checked(file.read(_LONGEST_TOKEN + 1).strip(), f"--token-file {path}")
    except OSError as error:
        raise EnvironmentUnfit(
            f"--token-file {path}: {error.strerror}; name a file that you can read"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(
            f"--token-file {path} has more than printable ASCII in it; name the file of a token"
        ) from error


def _checked(text: str, where: str) -> str:
    if not 0 < len(text) <= _LONGEST_TOKEN or not all("!" <= character <= "~" for character in text):
        raise BadInput(f"{where} holds no token: one word of printable ASCII")
    return text
