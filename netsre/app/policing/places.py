"""Where a node has its policy datapath and its prefilter unless somebody says otherwise."""

from pathlib import Path
from typing import Final

PINS: Final = Path("/sys/fs/bpf/netsre/policy")
PREFILTER: Final = Path("/sys/fs/bpf/netsre/prefilter")
STATE: Final = Path("/var/lib/netsre-policy")
"""Beside the data directories, never in one: these are closed to all but the user of the controller."""
