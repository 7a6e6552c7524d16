"""Where a node has its balancer unless somebody says otherwise."""

from pathlib import Path
from typing import Final

PINS: Final = Path("/sys/fs/bpf/netsre/balance")
STATE: Final = Path("/var/lib/netsre-balance")
"""Beside the data directories, never in one: these are closed to all but the user of the controller."""
