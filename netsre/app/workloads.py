"""Files that name the ends of connections, from where a person keeps them."""

from collections.abc import Iterable
from pathlib import Path

from netsre.app import resources
from netsre.datapath import workload_files
from netsre.datapath.workloads import Workload


def read(paths: Iterable[str]) -> tuple[Workload, ...]:
    """Return what the files, or directories of files, say; none for no path.

    Raises `SpecErrors` with every finding, and `BadInput` for what cannot be read.
    """
    places = [Path(path) for path in paths]
    return workload_files.parse(resources.texts(places, ".yaml", ".yml")) if places else ()
