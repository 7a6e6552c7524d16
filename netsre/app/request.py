"""Asks the running controller to do something, with the token that it made for that."""

import os
from collections.abc import Mapping
from pathlib import Path

from netsre.adapters import controller_client
from netsre.app import settings, tokens
from netsre.errors import EnvironmentUnfit
from netsre.model.documents import Document


def send(controller: str | None, data_dir: str | None, path: str, document: Document) -> object:
    """Post a document to a path of the running controller and return its JSON; raises `NetsreError`.

    `controller` and `data_dir` are what the command line says of them, None where it says nothing.
    """
    base = settings.controller_url(controller)
    return controller_client.post(base, path, token(base, data_dir), document)


def token(base: str, data_dir: str | None) -> str:
    """Return the token for requests to the controller at `base`; raises `NetsreError` when there is none.

    Looked for in the environment, then in the data directory that the option or the environment names, and
    without these in the one that the controller itself says it uses.
    """
    if os.environ.get(tokens.VARIABLES[tokens.API]) or data_dir or os.environ.get("NETSRE_DATA_DIR"):
        return tokens.read(settings.data_dir(data_dir), tokens.API)
    return tokens.read(_told(base), tokens.API)


def data_dir(option: str | None, controller: str | None = None) -> tuple[Path, str]:
    """Return the data directory that the options or the environment name, or the running controller's.

    Without a controller it is the usual one: what is written there is read when one starts. The text says
    so; it is empty where nothing was guessed. A controller that was named must answer, or `EnvironmentUnfit`
    is raised.
    """
    if option is None and (controller or not os.environ.get("NETSRE_DATA_DIR")):
        base = settings.controller_url(controller)
        try:
            return _told(base), ""
        except EnvironmentUnfit:
            if controller:
                raise
        return settings.data_dir(None), f"no controller answers at {base}"
    return settings.data_dir(option), ""


def _told(base: str) -> Path:
    status = controller_client.ask(base, "/api/v1/status")
    found = status.get("data_dir") if isinstance(status, Mapping) else None
    if not isinstance(found, str):
        raise EnvironmentUnfit(f"controller {base} does not say where its data is; name it with --data-dir")
    return Path(found)
