"""The strict reader of every file that people write.

It collects findings instead of stopping at the first one, so that one run shows everything that is wrong.
A taker (`text`, `exact`, `duration`, …) returns None for a value that is absent or wrong; what is wrong is a
finding by then. Ask `Findings.raise_if_any` before using what was read.

    findings = Findings()
    for document in documents(text, "flow.yaml", {"SLO"}, findings):
        service = document.spec.text("service")
        window = document.spec.duration("window", required=False)
        document.spec.end()                            # whatever was not asked for is an unknown key
    findings.raise_if_any()
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final, TypeVar

from netsre import conventions
from netsre.errors import Finding, SpecErrors
from netsre.model import alert_rules, yamltree
from netsre.model.levels import Origin
from netsre.model.literals import (
    guess,
    nearest,
    parse_alert_name,
    parse_duration,
    parse_exact,
    parse_name,
    parse_percent,
    printable,
    shown,
)

SYNTAX: Final = "SPEC001"
REFUSED_YAML: Final = "SPEC002"
DUPLICATE_KEY: Final = "SPEC003"
UNKNOWN_KEY: Final = "SPEC004"
MISSING: Final = "SPEC005"
SHAPE: Final = "SPEC006"
API_VERSION: Final = "SPEC007"
KIND: Final = "SPEC008"
NUMBER: Final = "SPEC009"
DURATION: Final = "SPEC010"
CHOICE: Final = "SPEC011"
NAME: Final = "SPEC012"
EMPTY: Final = "SPEC013"

CODES: Final = MappingProxyType(
    {
        SYNTAX: "The file is not YAML.",
        REFUSED_YAML: "YAML that is refused: aliases, anchors, tags, keys that are no words, deep nesting.",
        DUPLICATE_KEY: "A key is written twice in one mapping.",
        UNKNOWN_KEY: "A key that nothing reads.",
        MISSING: "A required key or its value is missing.",
        SHAPE: "A list, a mapping or a single value stands where another of the three belongs.",
        API_VERSION: "The file is of another API version.",
        KIND: "The file is of a kind that is not read here.",
        NUMBER: "Not an exact decimal number.",
        DURATION: "Not a length of time.",
        CHOICE: "Not one of the accepted words, or not exactly one of the accepted keys.",
        NAME: "Not a name.",
        EMPTY: "The file holds no document.",
    }
)
"""Every code this reader gives; stable, never reused."""

_LONGEST: Final = 4_000
"""Characters of a message that are kept: room for a list of every metric there is."""
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
Parsed = TypeVar("Parsed")


class Findings:
    """Collects what is wrong, across files."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self._findings: set[Finding] = set()

    def add(self, origin: Origin, code: str, message: str) -> None:
        """Record one finding; the same one twice counts once. Whatever it repeats, it is one line to read."""
        line = printable(message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…")
        self._findings.add(Finding(origin.file, origin.line, code, line))

    def __len__(self) -> int:
        """Return how many findings there are, so that a reader can see whether its part added any."""
        return len(self._findings)

    def sorted(self) -> tuple[Finding, ...]:
        """Return all findings by file, line, code and message."""
        return tuple(sorted(self._findings))

    def raise_if_any(self) -> None:
        """Raise `SpecErrors` with everything that was found, or return when nothing was."""
        if self._findings:
            raise SpecErrors(self.sorted())


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value with its place and its path (`spec.window`)."""

    value: str
    path: str
    origin: Origin
    findings: Findings

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
        return self.read(parse_exact, NUMBER)

    def percent(self) -> Fraction | None:
        """Return a percentage such as `2%` as a share of one, exactly."""
        return self.read(parse_percent, NUMBER)

    def integer(self) -> int | None:
        """Return a whole number that is not negative."""
        if self.value.isascii() and self.value.isdigit() and len(self.value) <= 18:
            return int(self.value)
        self.wrong(NUMBER, f"{shown(self.value)} is not a whole number; write digits such as 5")
        return None

    def duration(self) -> int | None:
        """Return a length of time in milliseconds, at least 1."""
        return self.read(parse_duration, DURATION)

    def name(self, parse: Callable[[str], str] = parse_name) -> str | None:
        """Return the name of a thing of ours, as its kind is named."""
        return self.read(parse, NAME)

    def choice(self, *accepted: str) -> str | None:
        """Return the value when it is one of the accepted words."""
        if self.value in accepted:
            return self.value
        hint = guess(self.value, accepted)
        self.wrong(CHOICE, f"{shown(self.value)} is not one of {', '.join(accepted)}{hint}")
        return None


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list with its place and its path."""

    nodes: tuple[yamltree.Node, ...]
    path: str
    origin: Origin
    findings: Findings

    def __iter__(self) -> Iterator["Value"]:
        """Yield every item, whatever its shape."""
        for index, node in enumerate(self.nodes):
            yield _value(node, f"{self.path}[{index}]", self.origin.file, self.findings)

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

    def __init__(self, node: yamltree.MappingNode, path: str, file: str, findings: Findings) -> None:
        """Wrap a node; a key that is written twice is a finding at once, and its first value counts."""
        self.path = path
        self.origin = Origin(file, node.line)
        self.findings = findings
        self._entries: dict[str, yamltree.Entry] = {}
        self._asked: set[str] = set()
        for entry in node.entries:
            first = self._entries.setdefault(entry.key, entry)
            if first is not entry:
                where = f"line {first.line}"
                self._wrong_key(entry, DUPLICATE_KEY, f"is already written on {where}; keep one of the two")

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
                self.findings.add(self.origin, MISSING, f"{self._under(key)} is missing; write it")
            return None
        node = entry.value
        if isinstance(node, yamltree.ScalarNode) and node.plain and node.text in _NULLS:
            instead = "write one" if required else "write one, or leave the key out"
            self._wrong_key(entry, MISSING, f"has no value; {instead}")
            return None
        return _value(node, self._under(key), self.origin.file, self.findings)

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
            self.findings.add(self.origin, CHOICE, message)
        return None

    def skip(self, *keys: str) -> None:
        """Let these keys be written, whatever their value: somebody else reads them."""
        self._asked.update(keys)

    def end(self) -> None:
        """Report every key that nothing asked for."""
        for key, entry in self._entries.items():
            if key not in self._asked:
                self._wrong_key(entry, UNKNOWN_KEY, f"is unknown{nearest(key, self._asked)}")

    def _wrong_key(self, entry: yamltree.Entry, code: str, message: str) -> None:
        self.findings.add(
            Origin(self.origin.file, entry.line), code, f"key {self._under(entry.key)} {message}"
        )

    def _under(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


Value = Scalar | Sequence | Mapping

_SHAPES: Final = MappingProxyType({Scalar: "a single value", Sequence: "a list", Mapping: "a mapping"})


def _value(node: yamltree.Node, path: str, file: str, findings: Findings) -> Value:
    match node:
        case yamltree.ScalarNode():
            return Scalar(node.text, path, Origin(file, node.line), findings)
        case yamltree.SequenceNode():
            return Sequence(node.items, path, Origin(file, node.line), findings)
        case yamltree.MappingNode():
            return Mapping(node, path, file, findings)


Shape = TypeVar("Shape", Scalar, Sequence, Mapping)


def _expect(value: Value | None, shape: type[Shape]) -> Shape | None:
    if value is None or isinstance(value, shape):
        return value
    message = f"{value.path} is {_SHAPES[type(value)]}; write {_SHAPES[shape]}"
    value.findings.add(value.origin, SHAPE, message)
    return None


@dataclass(frozen=True, slots=True)
class Document:
    """The parts that every file of ours has."""

    kind: str
    name: str
    metadata: Mapping
    """Already read: `name`. Read `labels` if the kind has them, then call `end`."""
    spec: Mapping
    origin: Origin


def documents(text: str, file: str, kinds: Collection[str], findings: Findings) -> list[Document]:
    """Read the documents of one file that have a head we know; everything else becomes findings."""
    instead = f"write one of {', '.join(sorted(kinds))}"
    found = [_document(root, kinds) for root in roots(text, file, instead, findings)]
    return [document for document in found if document is not None]


def roots(text: str, file: str, instead: str, findings: Findings) -> list[Value]:
    """Return every document of a file, of any shape; `instead` says what to write where there is none."""
    nodes, error = yamltree.documents(text)
    if error is not None:
        findings.add(Origin(file, error.line), REFUSED_YAML if error.refused else SYNTAX, error.message)
    elif not nodes:
        findings.add(Origin(file, 1), EMPTY, f"no document; {instead}")
    return [_value(node, "", file, findings) for node in nodes]


def _document(root: Value, kinds: Collection[str]) -> Document | None:
    if not isinstance(root, Mapping):
        first = f"apiVersion: {conventions.API_VERSION}"
        root.findings.add(root.origin, SHAPE, f"the document is {_SHAPES[type(root)]}; begin it with {first}")
        return None
    version, kind = root.scalar("apiVersion"), root.scalar("kind")
    if version and version.value != conventions.API_VERSION:
        version.wrong(API_VERSION, f"{shown(version.value)} is not read; write {conventions.API_VERSION}")
    if kind and kind.value not in kinds:
        kind.wrong(KIND, f"{shown(kind.value)} is not read here{nearest(kind.value, kinds)}")
        return None
    metadata, spec = root.mapping("metadata"), root.mapping("spec")
    name = metadata.scalar("name") if metadata else None
    parse = parse_alert_name if kind and kind.value == alert_rules.KIND else parse_name
    named = name.name(parse) if name else None
    root.end()
    if kind is None or metadata is None or spec is None:
        return None
    # A wrong name does not hide what else is wrong: the document is read on under an empty one.
    return Document(kind.value, named or "", metadata, spec, root.origin)


def refuse_duplicates(documents: Iterable[Document], code: str, what: str, findings: Findings) -> None:
    """Report every document whose name another one of its kind has; a name that was refused is none."""
    first: dict[str, Document] = {}
    for document in documents:
        earlier = first.setdefault(document.name, document)
        if document.name and earlier is not document:
            origin = earlier.metadata.line_of("name")
            message = f"{what} {document.name} already stands in {origin.file}:{origin.line}; rename one"
            findings.add(document.metadata.line_of("name"), code, message)
