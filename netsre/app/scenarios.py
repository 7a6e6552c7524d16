"""The scenarios that lie among runbooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netsre.app import resources, runbooks
from netsre.errors import Finding, SpecErrors
from netsre.runbook import scenario_files

_SUFFIXES: Final = (".yaml", ".yml")


def lint(paths: Sequence[Path]) -> tuple[int, tuple[Finding, ...]]:
    """Return how many scenarios are right, and everything wrong with them and with the files beside them.

    They may be about a runbook in these files, and about every one that ships with netsre.
    """
    try:
        texts = resources.texts(paths, *_SUFFIXES)
        return len(scenario_files.parse(texts, runbooks.known(paths))), ()
    except SpecErrors as error:
        return 0, error.findings
