"""The controller's list of runs, read into lines that a terminal can show."""

import json
from collections.abc import Iterator, Mapping

from netsre import clock
from netsre.errors import SourceUnreachable


def read_runs(document: object) -> tuple[str, ...]:
    """Read the answer of `/api/v1/runs`; one that is none raises `SourceUnreachable`."""
    runs = document.get("runs") if isinstance(document, Mapping) else None
    try:
        if isinstance(runs, list):
            return tuple(line for run in runs for line in _lines(run))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable() from error
    raise _unreadable()


def _unreadable() -> SourceUnreachable:
    return SourceUnreachable("the controller's list of runs is not readable: is it of this version?")


def _lines(run: Mapping[str, object]) -> Iterator[str]:
    what = f"{run['runbook']}  {run['target']}  {run['state']} ({run['reason']})"
    yield f"{run['started_at']}  {what}  {run['id']}"
    journal = run["journal"]
    for entry in journal if isinstance(journal, list) else ():
        shown = json.dumps(entry["data"], ensure_ascii=False)
        at = clock.rfc3339(clock.parse_rfc3339(str(entry["at"])))
        yield f"  {at}  {entry['seq']} {entry['kind']} {entry['action']}  {shown}"
