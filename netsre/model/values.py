"""The values of a file that people write, each with its place; whoever takes one says what it must be.

A taker (`text`, `exact`, `duration`, …) returns None for a value that is absent or wrong; what is wrong is a
finding by then.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final, TypeVar

from netsre.model import linting, yamltree
from netsre.model.levels import Origin
from netsre.model.literals import (
    guess,
    nearest,
    parse_duration,
    parse_exact,
    parse_name,
    parse_percent,
    shown,
)

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH: Final = MappingProxyType({"true": True, "false": False})
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FRACTION: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value with its place and its path (`spec.window`)."""

    value: str
    path: str
    origin: Origin
    findings: linting.Findings
    plain: bool = False
    """Whether it is written without quotes."""

    def wrong(self, code: str, message: str) -> None:
        """Record that this value is wrong; the message continues after its path."""
        self.findings.add(self.origin, code, f"{self.path} {message}")

    def read(self, parse: Callable[[str], Parsed], code: str) -> Parsed | None:
        """Return what a reader makes of the text; words of a `ValueError` are a finding of this code."""
        try:
            return parse(self.value)
        except ValueError as error:
            self.wrong(code, str(error))
            return None

    def exact(self) -> Fraction | None:
        """Return the decimal number, exactly."""
        return self.read(parse_exact, linting.NUMBER)

    def percent(self) -> Fraction | None:
        """Return a percentage such as `2%` as a share of one, exactly."""
        return self.read(parse_percent, linting.NUMBER)

    def integer(self) -> int | None:
        """Return a whole number that is not negative."""
        if self.value.isascii() and self.value.isdigit() and len(self.value) <= 18:
            return int(self.value)
        self.wrong(linting.NUMBER, f"{shown(self.value)} is not a whole number; write digits such as 5")
        return None

    def duration(self) -> int | None:
        """Return a length of time in milliseconds, at least 1."""
        return self.read(parse_duration, linting.DURATION)

    def json(self) -> str | int | bool:
        """Return what JSON has for it: without quotes a whole number or a truth value is one, else a text."""
        if not self.plain:
            return self.value
        if self.value in _NULLS:
            self.wrong(linting.MISSING, "has no value; write one")
        if self.value in _TRUTH:
            return _TRUTH[self.value]
        if _WHOLE.fullmatch(self.value):
            return int(self.value)
        if _FRACTION.fullmatch(self.value):
            self.wrong(
                linting.NUMBER, f"{shown(self.value)} is not a whole number; write it as a text in quotes"
            )
        return self.value

    def name(self, parse: Callable[[str], str] = parse_name) -> str | None:
        """Return the name of a thing of ours, as its kind is named."""
        return self.read(parse, linting.NAME)

    def choice(self, *accepted: str) -> str | None:
        """Return the value when it is one of the accepted words."""
        if self.value in accepted:
            return self.value
        hint = guess(self.value, accepted)
        self.wrong(linting.CHOICE, f"{shown(self.value)} is not one of {', '.join(accepted)}{hint}")
        return None


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list with its place and its path."""

    nodes: tuple[yamltree.Node, ...]
    path: str
    origin: Origin
    findings: linting.Findings

    def __iter__(self) -> Iterator["Value"]:
        """Yield every item, whatever its shape."""
        for index, node in enumerate(self.nodes):
            yield value_of(node, f"{self.path}[{index}]", self.origin.file, self.findings)

    def scalars(self) -> tuple[Scalar, ...]:
        """Return the items, each of which must be a single value."""
        scalars = [_expect(item, Scalar) for item in self]
        return tuple(scalar for scalar in scalars if scalar is not None)

    def texts(self) -> tuple[str, ...]:
        """Return the text of each item, which must be a single value."""
        return tuple(scalar.value for scalar in self.scalars())

    def mappings(self) -> tuple["Mapping", ...]:
        """Return the items, each of which must be a mapping."""
        mappings = [_expect(item, Mapping) for item in self]
        return tuple(mapping for mapping in mappings if mapping is not None)


class Mapping:
    """Keys and values with their place and path; knows which keys were asked for."""

    def __init__(self, node: yamltree.MappingNode, path: str, file: str, findings: linting.Findings) -> None:
        """Wrap a node; a key that is written twice is a finding at once, and its first value counts."""
        self.node = node
        self.path = path
        self.origin = Origin(file, node.line)
        self.findings = findings
        self._entries: dict[str, yamltree.Entry] = {}
        self._asked: set[str] = set()
        for entry in node.entries:
            first = self._entries.setdefault(entry.key, entry)
            if first is not entry:
                where = f"line {first.line}"
                self._wrong_key(
                    entry, linting.DUPLICATE_KEY, f"is already written on {where}; keep one of the two"
                )

    def __contains__(self, key: str) -> bool:
        """Return whether the key is written, with or without a value."""
        return key in self._entries

    def keys(self) -> tuple[str, ...]:
        """Return the keys in the order of the file."""
        return tuple(self._entries)

    def line_of(self, key: str) -> Origin:
        """Return where a key is written, or where the mapping begins when it is not."""
        entry = self._entries.get(key)
        return Origin(self.origin.file, entry.line) if entry else self.origin

    def wrong(self, key: str, code: str, message: str) -> None:
        """Record that the value of a key is wrong; the message continues after the key's path."""
        self.findings.add(self.line_of(key), code, f"{self._under(key)} {message}")

    def value(self, key: str, *, required: bool = True) -> "Value | None":
        """Return the value of a key, whatever its shape."""
        self._asked.add(key)
        entry = self._entries.get(key)
        if entry is None:
            if required:
                self.findings.add(self.origin, linting.MISSING, f"{self._under(key)} is missing; write it")
            return None
        node = entry.value
        if isinstance(node, yamltree.ScalarNode) and node.plain and node.text in _NULLS:
            instead = "write one" if required else "write one, or leave the key out"
            self._wrong_key(entry, linting.MISSING, f"has no value; {instead}")
            return None
        return value_of(node, self._under(key), self.origin.file, self.findings)

    def scalar(self, key: str, *, required: bool = True) -> Scalar | None:
        """Return the single value of a key."""
        return _expect(self.value(key, required=required), Scalar)

    def mapping(self, key: str, *, required: bool = True) -> "Mapping | None":
        """Return the mapping under a key."""
        return _expect(self.value(key, required=required), Mapping)

    def sequence(self, key: str, *, required: bool = True) -> Sequence | None:
        """Return the list under a key."""
        return _expect(self.value(key, required=required), Sequence)

    def text(self, key: str, *, required: bool = True) -> str | None:
        """Return the text of a key, as written."""
        scalar = self.scalar(key, required=required)
        return scalar.value if scalar else None

    def texts(self, key: str, *, required: bool = True) -> tuple[str, ...]:
        """Return the text of a key, or of each item of a list; empty for what is absent or wrong."""
        value = self.value(key, required=required)
        if isinstance(value, Sequence):
            return value.texts()
        scalar = _expect(value, Scalar)
        return (scalar.value,) if scalar else ()

    def exact(self, key: str, *, required: bool = True) -> Fraction | None:
        """Return the decimal number of a key, exactly."""
        scalar = self.scalar(key, required=required)
        return scalar.exact() if scalar else None

    def percent(self, key: str, *, required: bool = True) -> Fraction | None:
        """Return a percentage such as `2%` as a share of one, exactly."""
        scalar = self.scalar(key, required=required)
        return scalar.percent() if scalar else None

    def integer(self, key: str, *, required: bool = True) -> int | None:
        """Return the whole, non-negative number of a key."""
        scalar = self.scalar(key, required=required)
        return scalar.integer() if scalar else None

    def duration(self, key: str, *, required: bool = True) -> int | None:
        """Return the length of time of a key in milliseconds."""
        scalar = self.scalar(key, required=required)
        return scalar.duration() if scalar else None

    def name(self, key: str, *, required: bool = True) -> str | None:
        """Return the name under a key."""
        scalar = self.scalar(key, required=required)
        return scalar.name() if scalar else None

    def choice(self, key: str, *accepted: str, required: bool = True) -> str | None:
        """Return the word under a key, one of the accepted ones."""
        scalar = self.scalar(key, required=required)
        return scalar.choice(*accepted) if scalar else None

    def pairs(self) -> dict[str, str]:
        """Return every key with its text, for mappings whose keys people choose, such as labels."""
        found = {key: self.text(key) for key in self._entries}
        return {key: text for key, text in found.items() if text is not None}

    def one_of(self, *keys: str) -> str | None:
        """Return which one of the keys is written; none or several is a finding."""
        self._asked.update(keys)
        written = [key for key in keys if key in self._entries]
        if len(written) == 1:
            return written[0]
        message = f"{self.path} has {' and '.join(written) or 'none'}; write exactly one of {', '.join(keys)}"
        # A misspelt key is reported by `end`, with its nearest neighbour; a second finding would mislead.
        if written or not set(self._entries) - self._asked:
            self.findings.add(self.origin, linting.CHOICE, message)
        return None

    def skip(self, *keys: str) -> None:
        """Let these keys be written, whatever their value: somebody else reads them."""
        self._asked.update(keys)

    def end(self) -> None:
        """Report every key that nothing asked for."""
        for key, entry in self._entries.items():
            if key not in self._asked:
                self._wrong_key(entry, linting.UNKNOWN_KEY, f"is unknown{nearest(key, self._asked)}")

    def _wrong_key(self, entry: yamltree.Entry, code: str, message: str) -> None:
        self.findings.add(
            Origin(self.origin.file, entry.line), code, f"key {self._under(entry.key)} {message}"
        )

    def _under(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


Value = Scalar | Sequence | Mapping

SHAPES: Final = MappingProxyType({Scalar: "a single value", Sequence: "a list", Mapping: "a mapping"})
"""What people call them."""


def value_of(node: yamltree.Node, path: str, file: str, findings: linting.Findings) -> Value:
    """Return a node of a file as the value that it is."""
    match node:
        case yamltree.ScalarNode():
            return Scalar(node.text, path, Origin(file, node.line), findings, node.plain)
        case yamltree.SequenceNode():
            return Sequence(node.items, path, Origin(file, node.line), findings)
        case yamltree.MappingNode():
            return Mapping(node, path, file, findings)


Shape = TypeVar("Shape", Scalar, Sequence, Mapping)


def _expect(value: Value | None, shape: type[Shape]) -> Shape | None:
    if value is None or isinstance(value, shape):
        return value
    message = f"{value.path} is {SHAPES[type(value)]}; write {SHAPES[shape]}"
    value.findings.add(value.origin, linting.SHAPE, message)
    return None
