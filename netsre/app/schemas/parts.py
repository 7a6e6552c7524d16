"""Pieces of a JSON Schema (draft 2020-12), each with the words that an editor shows.

A schema sees what YAML makes of a file, the reader what is written. So a schema is the more lenient of the
two: what it refuses the reader refuses as well, and the reader has the last word.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from netsre.model import literals

Schema = dict[str, Any]

_DRAFT: Final = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
SCALARS: Final = ("string", "number", "boolean")
_LENGTH: Final = literals.DURATION.pattern.replace("\\d", "[0-9]")
_NOT_NEGATIVE: Final = "(?!-(?=.*[1-9]))[+-]?"
_SHARE: Final = "0*(?:100(?:\\.0{1,30})?|[0-9]{1,2}(?:\\.[0-9]{1,30})?)%"
_MAJORITY: Final = "0*(?:50(?=\\.0*[1-9])|5[1-9]|[6-9][0-9])(?:\\.[0-9]{1,30})?%"
_WHOLE_SHARE: Final = "0*(?:100|[0-9]{1,2})(?:\\.0{1,30})?%"


def text(about: str) -> Schema:
    """Return any single value: one that looks like a number is read as its text."""
    return {"description": about, "type": list(SCALARS)}


def listed_text(about: str) -> Schema:
    """Return any single value of a list, where what looks like nothing is a text as well."""
    return {**text(about), "type": [*SCALARS, "null"]}


def pattern(about: str, expression: str, instead: str, *examples: str) -> Schema:
    """Return a text that matches an expression as a whole; of one that does not, editors say `instead`."""
    # The dialect of JSON Schema has no names of groups.
    whole_text = f"^(?:{re.sub('[?]P<[a-z0-9]+>', '', expression)})$"
    shown = {"examples": list(examples)} if examples else {}
    found = {"description": about, "type": "string", "pattern": whole_text, "patternErrorMessage": instead}
    return found | shown


def filled_text(about: str) -> Schema:
    """Return any single value that is more than blanks."""
    return {**text(about), "pattern": "\\S", "patternErrorMessage": "Write at least a word."}


def name(about: str, *examples: str) -> Schema:
    """Return the name of a thing; one of digits alone looks like a number."""
    instead = "At most 63 lower-case letters, digits and inner dashes."
    return pattern(about, literals.NAME.pattern, instead, *examples) | {"type": list(SCALARS)}


def alert_name(about: str) -> Schema:
    """Return the name of an alert; YAML may take one for a truth value."""
    instead = "A capital letter, then letters and digits, at most 63."
    return pattern(about, literals.ALERT_NAME.pattern, instead) | {"type": ["string", "boolean"]}


def choice(about: str, words: Iterable[str | bool]) -> Schema:
    """Return one of some words."""
    return {"description": about, "enum": list(words)}


def or_reference(value: Schema, expression: str) -> Schema:
    """Return a value, or a text that stands for one."""
    named = {"type": "string", "pattern": f"^(?:{expression})$"}
    return {"description": value["description"], "anyOf": [value, named]}


def number(about: str, **bounds: int) -> Schema:
    """Return an exact decimal number, which may be quoted; the bounds are for one that is not."""
    digits = {
        "pattern": f"^{literals.NUMBER.pattern}$",
        "patternErrorMessage": "A decimal number such as 99.9.",
    }
    return {"description": about, "type": ["number", "string"], **digits, **bounds}


def whole(about: str, **bounds: int) -> Schema:
    """Return a whole number that is not negative."""
    digits = {"type": ["integer", "string"], "pattern": "^[0-9]{1,18}$", "minimum": 0}
    return {"description": about, **digits, **bounds}


def share(about: str) -> Schema:
    """Return a percentage from 0 % to 100 %."""
    return pattern(about, _NOT_NEGATIVE + _SHARE, "From 0% to 100%, with its sign.", "20%")


def positive_share(about: str) -> Schema:
    """Return a percentage above 0 % and at most 100 %."""
    return pattern(about, f"(?=.*[1-9])[+]?{_SHARE}", "Above 0% and at most 100%, with its sign.", "2%")


def majority(about: str) -> Schema:
    """Return a percentage above 50 % and below 100 %."""
    return pattern(about, f"[+]?{_MAJORITY}", "Above 50% and below 100%, with its sign.", "99%")


def whole_share(about: str) -> Schema:
    """Return a whole percentage from 0 % to 100 %."""
    return pattern(about, _NOT_NEGATIVE + _WHOLE_SHARE, "A whole one from 0% to 100%, with its sign.", "60%")


def duration(about: str, *, none: bool = False) -> Schema:
    """Return a length of time; with `none` it may also be `0s`."""
    begins = "(?=0s$|.*[1-9])" if none else "(?=.*[1-9])"
    instead = "A length of time such as 250ms, 5m, 1h30m or 30d."
    return pattern(about, begins + _LENGTH, instead, *(["0s"] if none else []), "30s", "5m", "1h30m", "30d")


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


def when(key: str, words: Iterable[str], then: Schema) -> Schema:
    """Return what must hold as well where a key has one of some values."""
    return {"if": has(key, words), "then": then}


def along(key: str, then: Schema) -> Schema:
    """Return what must hold as well where a key is written."""
    return {"if": {"required": [key]}, "then": then}


def has(key: str, words: Iterable[str]) -> Schema:
    """Return the condition that a key is written with one of some values."""
    return {"properties": {key: {"enum": list(words)}}, "required": [key]}


def document(kind: str, about: str, metadata: Schema, spec: Schema, version: str) -> Schema:
    """Return a whole file of one kind."""
    head = {
        "apiVersion": {"description": "The version of the format.", "const": version},
        "kind": {"description": "What the file is about.", "const": kind},
    }
    found = mapping(about, {**head, "metadata": metadata, "spec": spec})
    return {**_DRAFT, "title": kind, **found}


def any_of_kinds(about: str, files: Mapping[str, str]) -> Schema:
    """Return a file of any kind: `files` has the schema of each. Errors are those of the kind that it is."""
    return {
        **_DRAFT,
        "title": "netsre",
        "description": about,
        "type": "object",
        "properties": {"kind": choice("What the file is about.", files)},
        "required": ["kind"],
        "allOf": [when("kind", [kind], {"$ref": file}) for kind, file in files.items()],
    }
