"""Structured values that are stored or sent: JSON without floats, with one way to write each value."""

import json
from collections.abc import Mapping, Sequence

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]
"""A JSON value; numbers that are not whole travel as decimal text, so that nothing is rounded on the way."""

Document = Mapping[str, Json]
"""A JSON object."""


def canonical(value: Json) -> str:
    """Write a value in its one form: keys sorted, no spaces, text as it is.

    Hashes, keys and comparisons are taken over this form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
