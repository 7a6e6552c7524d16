"""What a run saw, in lines for people: of each topic what is no list, and the first rows of every list."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from netsre.model import literals

_MOST_ROWS: Final = 3
_NO_TOPIC: Final = frozenset({"read_at"})


def lines(evidence: Mapping[str, object]) -> Iterator[str]:
    """Yield a line for each topic, however long."""
    for topic, seen in evidence.items():
        if topic not in _NO_TOPIC:
            yield f"{topic}: {_text(seen)}"


def _text(seen: object) -> str:
    if isinstance(seen, str):
        return literals.printable(seen)
    if isinstance(seen, Mapping):
        return "; ".join(_fields(seen)) or "none"
    if isinstance(seen, Sequence):
        more = len(seen) - _MOST_ROWS
        rows = [_text(row) for row in seen[:_MOST_ROWS]]
        return "; ".join([*rows, *([f"and {more} more"] if more > 0 else [])]) or "none"
    return json.dumps(seen, ensure_ascii=False)  # a number, a truth, or nothing


def _fields(seen: Mapping[str, object]) -> Iterator[str]:
    """Yield the fields of an object: what is short in one piece, then each of the others."""
    plain = {name: value for name, value in seen.items() if not isinstance(value, Mapping | list | tuple)}
    if plain:
        yield " ".join(f"{name}={_text(value)}" for name, value in plain.items())
    for name, value in seen.items():
        if name not in plain:
            yield f"{name}: {_text(value)}"
