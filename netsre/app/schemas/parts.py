"""Pieces of a JSON Schema (draft 2020-12), each with the words that an editor shows.

A schema sees what YAML makes of a file, the reader what is written. So a schema is the more lenient of the
two: what it refuses the reader refuses as well, and the reader has the last word.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

_NUMBER: Final = "[+-]?[0-9]{1,30}(\\.[0-9]{1,30})?"


def text(about: str) -> Schema:
    """Return any single value: one that looks like a number is read as its text."""
    return {"description": about, "type": ["string", "number", "boolean"]}


def pattern(about: str, expression: str, *examples: str) -> Schema:
    """Return a text that matches an expression as a whole."""
    shown = {"examples": list(examples)} if examples else {}
    return {"description": about, "type": "string", "pattern": f"^(?:{expression})$"} | shown


def name(about: str) -> Schema:
    """Return the name of a thing; one of digits alone looks like a number."""
    return pattern(about, "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?") | {"type": ["string", "number", "boolean"]}


def choice(about: str, words: Iterable[str]) -> Schema:
    """Return one of some words."""
    return {"description": about, "enum": list(words)}


def number(about: str, **bounds: int) -> Schema:
    """Return an exact decimal number, which may be quoted."""
    return {"description": about, "type": ["number", "string"], "pattern": f"^{_NUMBER}$", **bounds}


def whole(about: str, **bounds: int) -> Schema:
    """Return a whole number that is not negative."""
    digits = {"type": ["integer", "string"], "pattern": "^[0-9]{1,18}$", "minimum": 0}
    return {"description": about, **digits, **bounds}


def percent(about: str) -> Schema:
    """Return a share with its sign."""
    return pattern(about, f"{_NUMBER}%", "2%", "60%")


def duration(about: str, *, none: bool = False) -> Schema:
    """Return a length of time; with `none` it may also be `0s`."""
    # At least one unit, each at most once, the longest first.
    units = "(?=[0-9])(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?"
    return pattern(about, units, *(["0s"] if none else []), "30s", "5m", "1h30m", "30d")


def sequence(about: str, items: Schema, *, least: int = 0) -> Schema:
    """Return a list."""
    return {"description": about, "type": "array", "items": items} | ({"minItems": least} if least else {})


def mapping(
    about: str, required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None
) -> Schema:
    """Return a mapping with these keys and no others."""
    return {
        "description": about,
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def one_of(about: str, keys: Mapping[str, Schema]) -> Schema:
    """Return a mapping with exactly one of these keys."""
    return mapping(about, {}, keys) | {"minProperties": 1, "maxProperties": 1}


def document(kind: str, about: str, metadata: Schema, spec: Schema, version: str) -> Schema:
    """Return a whole file of one kind."""
    head = {
        "apiVersion": {"description": "The version of the format.", "const": version},
        "kind": {"description": "What the file is about.", "const": kind},
    }
    found = mapping(about, {**head, "metadata": metadata, "spec": spec})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind, **found}


def any_of_kinds(about: str, files: Mapping[str, str]) -> Schema:
    """Return a file of any kind: `files` has the schema of each. Errors are those of the kind that it is."""
    branches: Sequence[Schema] = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": {"$ref": file}}
        for kind, file in files.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "netsre",
        "description": about,
        "type": "object",
        "properties": {"kind": choice("What the file is about.", files)},
        "required": ["kind"],
        "allOf": list(branches),
    }
