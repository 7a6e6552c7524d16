"""The flow log for those who read it: where it is, and the lines of it that are wanted."""

import itertools
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from netsre.adapters.flow_log.reading import FlowLogReader
from netsre.clock import SECOND, SystemClock
from netsre.datapath import flow_lines
from netsre.datapath.flow_filter import Wanted
from netsre.datapath.flow_lines import FlowLine
from netsre.errors import EnvironmentUnfit

DIRECTORY: Final = "flow-log"
"""Below the data directory of `netsre up`. It is root's, as the agent that writes there is."""
FILE_NAME: Final = "flows.jsonl"
DATA_DIRS: Final = (Path("/var/lib/netsre"), Path("/var/lib/netsre-lab"))
_LOOK_SECONDS: Final = 0.2
_SLACK_SECONDS: Final = 60.0
"""A file may be a little older than its last line, where a clock was set."""


def usual_path(data_dir: Path) -> Path:
    """Return where `netsre up` keeps the log of a data directory."""
    return data_dir / DIRECTORY / FILE_NAME


def find() -> Path:
    """Return the log that was written to last, of those that `netsre up` keeps without being told where.

    Raises `EnvironmentUnfit` when there is none that may be read.
    """
    named = os.environ.get("NETSRE_DATA_DIR")
    places = [usual_path(place) for place in ((Path(named),) if named else DATA_DIRS)]
    found: list[tuple[int, Path]] = []
    for place in places:
        try:
            found.append((place.stat().st_mtime_ns, place))
        except PermissionError as error:
            raise EnvironmentUnfit(f"{place} is not for everybody; ask as root: sudo netsre flows") from error
        except OSError:
            continue
    if not found:
        raise EnvironmentUnfit(
            f"there is no flow log at {' or '.join(map(str, places))}; run netsre up, "
            "or name the --flow-log of an agent with --file FILE"
        )
    return max(found)[1]


class Flows:
    """The wanted lines of one log."""

    def __init__(self, path: Path, wanted: Wanted, since_seconds: float) -> None:
        """Open a log; raises `EnvironmentUnfit` when there is none, or it may not be read."""
        self._wanted = wanted
        self.unreadable = 0
        """Lines that are no records: cut off by a crash or a full disk, or not ours."""
        try:
            self._reader = FlowLogReader(path, since_seconds - _SLACK_SECONDS)
        except PermissionError as error:
            raise EnvironmentUnfit(f"{path} is not for everybody; ask as root: sudo netsre flows") from error
        except OSError as error:
            raise EnvironmentUnfit(
                f"the flow log {path} cannot be read: {error.strerror}; "
                f"an agent keeps one when it is started with --flow-log {path}"
            ) from error

    def present(self, last: int | None) -> Iterator[FlowLine]:
        """Return what is there now, or the last so many of it."""
        if last is None:
            return self._wanted_of(self._reader.read())
        if self._wanted == Wanted():
            # Without reading all of what is not shown.
            return self._wanted_of(deque(self._reader.read(), maxlen=last))
        return iter(deque(self._wanted_of(self._reader.read()), maxlen=last))

    def following(self) -> Iterator[FlowLine | None]:
        """Yield what comes, for ever; None where there is nothing for the moment."""
        for _ in itertools.count():
            yield from self._wanted_of(self._reader.read())
            yield None
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()

    def _wanted_of(self, lines: Iterable[bytes]) -> Iterator[FlowLine]:
        for raw in lines:
            if not self._wanted.may_match(raw):
                continue
            try:
                line = flow_lines.parse(raw)
            except ValueError:
                self.unreadable += 1
                continue
            if self._wanted.match(line):
                yield line


def since(ago: int | None) -> tuple[str, float]:
    """Return the moment so many milliseconds ago as lines and as files have it; None is the beginning."""
    if ago is None:
        return "", 0.0
    at = max(0, SystemClock().now() - ago)
    return flow_lines.rfc3339(at * 1_000_000), at / SECOND
