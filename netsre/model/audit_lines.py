"""Rows of the audit log as JSON lines for a SIEM, in the names of the Elastic Common Schema, and back."""

import json
from typing import Any, Final

from netsre import clock
from netsre.model.audit import Row

DATASET: Final = "netsre.audit"
ECS_VERSION: Final = "8.11.0"


def write(row: Row) -> str:
    """Return a row as one line without its end: keys sorted, ASCII only.

    The details stay the text that the hash covers, so that a store that sorts keys anew loses no proof, and
    no index grows a field for each key.
    """
    document = {
        "@timestamp": clock.rfc3339(row.at),
        "ecs": {"version": ECS_VERSION},
        "event": {
            "action": row.verb,
            "dataset": DATASET,
            "hash": row.hash,
            "kind": "event",
            "module": "netsre",
            "sequence": row.seq,
        },
        "netsre": {"audit": {"details": row.details, "prev_hash": row.prev_hash, "subject": row.subject}},
        "user": {"name": row.actor},
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def read(line: str) -> Row:
    """Return the row of a line, whatever a forwarder added; raises `ValueError` for anything else."""
    try:
        document = json.loads(line)
        event, own = document["event"], document["netsre"]["audit"]
        return Row(
            seq=_number(event["sequence"]),
            at=clock.parse_rfc3339(_text(document["@timestamp"])),
            actor=_text(document["user"]["name"]),
            verb=_text(event["action"]),
            subject=_text(own["subject"]),
            details=_text(own["details"]),
            prev_hash=_text(own["prev_hash"]),
            hash=_text(event["hash"]),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no line of an audit export") from error


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    if not isinstance(value, str):
        raise TypeError
    # What cannot be written cannot have been in the database.
    value.encode()
    return value


def _number(value: Any) -> int:  # noqa: ANN401 - JSON
    if type(value) is not int:
        raise TypeError
    return value
