"""How a person names a Prometheus: its address, the token for it, and the label that names a node."""

import os
import urllib.parse
from pathlib import Path
from typing import Final

from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model import literals
from netsre.slo import selectors, targets

TOKEN_VARIABLE: Final = "NETSRE_PROMETHEUS_TOKEN"  # noqa: S105  # the name of the variable
NODE_LABEL: Final = targets.INSTANCE

_LONGEST_TOKEN: Final = 16_384


def node_label(text: str | None) -> str:
    """Return the label that names the node of a series; raises `BadInput` for what is no label."""
    label = text or NODE_LABEL
    if not selectors.is_label(label):
        raise BadInput(
            f"--node-label {literals.shown(label)} is not the name of a label; write one such as node"
        )
    return label


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
