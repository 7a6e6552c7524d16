"""The two secrets of a controller: who may send it alerts, and who may have it do something.

Each is a file of the data directory that only its owner can read, made at the first start and kept for good.
The environment wins over the file, for a secret that comes from elsewhere. No token is ever logged.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from netsre.errors import BadInput, EnvironmentUnfit

WEBHOOK: Final = "webhook.token"
"""The file whose token Alertmanager shows when it sends alerts."""
API: Final = "api.token"
"""The file whose token a person's command shows when it asks for something to be done."""
VARIABLES: Final = {WEBHOOK: "NETSRE_WEBHOOK_TOKEN", API: "NETSRE_API_TOKEN"}
"""The variable of the environment that wins over each file."""

_BYTES: Final = 32
_SHORTEST: Final = 16
_LONGEST: Final = 4096


def make(data_dir: Path) -> None:
    """Make the tokens that are missing, for the owner of the data directory; raises `EnvironmentUnfit`.

    A token appears with all of its text or not at all, and of two processes that make one the first wins.
    """
    for name in VARIABLES:
        path = data_dir / name
        if not os.path.lexists(path):
            try:
                _make(path)
            except OSError as error:
                advice = f"make {data_dir} writable for uid {os.geteuid()}"
                raise EnvironmentUnfit(f"token {path}: {error.strerror or error}; {advice}") from error


def read(data_dir: Path, name: str) -> str:
    """Return the token of a file, or what the environment says instead.

    Raises `BadInput` for a token that is too short to be a secret, `EnvironmentUnfit` when there is none.
    """
    variable = VARIABLES[name]
    given = os.environ.get(variable)
    if given:
        return _checked(given, variable)
    path = data_dir / name
    try:
        with path.open(encoding="ascii") as file:
            return _checked(file.read(_LONGEST + 1).strip(), str(path))
    except OSError as error:
        raise EnvironmentUnfit(
            f"token {path}: {error.strerror}; run this as the user that netsre runs as, or set {variable}"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(
            f"token {path} has more than printable ASCII in it; delete it, and start netsre again"
        ) from error


def _checked(text: str, where: str) -> str:
    if not _SHORTEST <= len(text) <= _LONGEST:
        raise BadInput(f"{where} has {len(text)} characters; write {_SHORTEST} to {_LONGEST} random ones")
    if not all("!" <= character <= "~" for character in text):
        raise BadInput(f"{where} has a blank or another character in it that no header can carry")
    return text


def _make(path: Path) -> None:
    """Write a new token beside its place, and put it there unless another one is there by now."""
    owner = path.parent.stat()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(_BYTES)}\n")
            file.flush()
            os.fsync(descriptor)
            if os.geteuid() == 0:
                # Made before the privileges are dropped, read afterwards.
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        # A link never replaces what is there, as a rename would.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path, follow_symlinks=False)
    finally:
        draft.unlink()
