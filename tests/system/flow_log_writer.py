"""Writes a flow log until it is killed: `python -m … FILE BYTES FIRST_NUMBER LINES_AT_ONCE [asked]`."""

import sys
from pathlib import Path

from netsre.adapters.flow_log.writing import FlowLogFile
from tests.system.flow_log_lines import line


def main() -> None:
    """Write numbered lines, and say after every batch how many there are."""
    path, most_bytes, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    batch, asked = int(sys.argv[4]), sys.argv[5:] == ["asked"]
    file = FlowLogFile(path, most_bytes)
    while not asked or sys.stdin.readline():
        written = file.append([line(number + each) for each in range(batch)])
        number += written.lines
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
