"""Writes a flow log until it is killed: `python -m … FILE BYTES FIRST_NUMBER LINES_AT_ONCE [asked]`."""

import sys
from pathlib import Path

from netsre.adapters.flow_log.writing import FlowLogFile
from tests.system.flow_log_lines import line

_BATCHES = 5
"""Right after each other: of a full file each makes another."""


def main() -> None:
    """Write numbered lines in some batches at a time, and say how many there are."""
    path, most_bytes, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    size, asked = int(sys.argv[4]), sys.argv[5:] == ["asked"]
    file = FlowLogFile(path, most_bytes)
    while not asked or sys.stdin.readline():
        for batch in [[line(number + each * size + one) for one in range(size)] for each in range(_BATCHES)]:
            number += file.append(batch).lines
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
