"""Writes a flow log as fast as it can until it is killed: `python flow_log_writer.py FILE BYTES FIRST`."""

import sys
from pathlib import Path

from netsre.adapters.flow_log.writing import FlowLogFile
from tests.system.flow_log_lines import line

_BATCH = 2_000


def main() -> None:
    """Write numbered lines, and say after every batch how many there are."""
    path, most_bytes, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    file = FlowLogFile(path, most_bytes)
    while True:
        written = file.append([line(number + each) for each in range(_BATCH)])
        number += written.lines
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
