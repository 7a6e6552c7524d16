"""Where the files that ship with netsre are: inside a wheel, or beside the package in a checkout."""

from pathlib import Path
from typing import Final, Literal

import netsre
from netsre.errors import EnvironmentUnfit

Directory = Literal["bpf", "slos", "runbooks", "dashboards", "migrations"]

_PACKAGE: Final = Path(netsre.__file__).resolve().parent


def data_directory(name: Directory) -> Path:
    """Return the directory of shipped files; raises `EnvironmentUnfit` when the installation lacks it."""
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    message = f"the shipped directory {name!r} is missing below {_PACKAGE}; install netsre again"
    raise EnvironmentUnfit(message)
