"""Debian's Alertmanager as a child of `netsre up`: it takes our alerts, and sends them back to our webhook.

Its configuration and its data are in the data directory and its user is the service user. It knows no other
Alertmanager and, by default, listens on loopback only, because it asks nobody for a password.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Final

from netsre.adapters import processes
from netsre.adapters.endpoints import Endpoint
from netsre.app import tokens
from netsre.app.local.supervise import Program
from netsre.app.privileges import ServiceUser
from netsre.errors import EnvironmentUnfit
from netsre.model.documents import Document

NAME: Final = "alertmanager"
PACKAGE: Final = "prometheus-alertmanager"
PROGRAM: Final = Path("/usr/bin/prometheus-alertmanager")
WEBHOOK: Final = "/api/v1/alerts"

_DIRECTORY: Final = "alertmanager"
_CONFIGURATION: Final = "alertmanager.yml"
_TOKEN: Final = "webhook.token"  # noqa: S105  a file's name
_DATA: Final = "data"


def installed() -> bool:
    """Tell whether the program is there."""
    return os.access(PROGRAM, os.X_OK)


def require() -> None:
    """Raise `EnvironmentUnfit` where the program is not installed."""
    if not installed():
        raise EnvironmentUnfit(
            f"{PROGRAM} is not installed; run apt-get install --no-install-recommends {PACKAGE}, "
            f"or leave --with-alertmanager out"
        )


def program(data_dir: Path, user: ServiceUser, listen: Endpoint, controller: Endpoint) -> Program:
    """Write the configuration and return what to start; raises `EnvironmentUnfit` when that is impossible."""
    directory = data_dir / _DIRECTORY
    token = tokens.read(data_dir, tokens.WEBHOOK)
    written = json.dumps(configuration(f"{controller.url}{WEBHOOK}", directory / _TOKEN), indent=2)
    try:
        _write(directory, user, {_TOKEN: token, _CONFIGURATION: f"{written}\n"})
    except OSError as error:
        raise EnvironmentUnfit(f"{directory}: {error.strerror}; name another with --data-dir") from error
    command = (
        str(PROGRAM),
        f"--config.file={directory / _CONFIGURATION}",
        f"--storage.path={directory / _DATA}",
        f"--web.listen-address={listen}",
        f"--web.external-url={listen.url}",
        # Empty: no cluster, and no port for one.
        "--cluster.listen-address=",
        "--log.level=warn",
    )
    return Program(NAME, command, {"HOME": str(directory)}, user=user)


def configuration(webhook: str, token_file: Path) -> Document:
    """Return a configuration that sends every alert, and its end, to one webhook; JSON is YAML."""
    return {
        "route": {
            "receiver": "netsre",
            # One group for each alert: the news about one never waits for the news about another.
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "5s",
            "repeat_interval": "4h",
        },
        "receivers": [
            {
                "name": "netsre",
                "webhook_configs": [
                    {
                        "url": webhook,
                        "send_resolved": True,
                        "http_config": {
                            "authorization": {"type": "Bearer", "credentials_file": str(token_file)},
                        },
                    }
                ],
            }
        ],
    }


def _write(directory: Path, user: ServiceUser, files: dict[str, str]) -> None:
    """Write files for a user into a directory of theirs; no link of theirs leads root elsewhere."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, user.uid, user.gid)
        mark = processes.this_process().name("up", "draft")
        for name, text in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(mark, flags, 0o600, dir_fd=descriptor), "w", encoding="utf-8") as file:
                file.write(text)
                os.fchown(file.fileno(), user.uid, user.gid)
            os.replace(mark, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    finally:
        os.close(descriptor)
