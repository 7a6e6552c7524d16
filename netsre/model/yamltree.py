"""YAML text as a tree in which every value still knows its line, and nothing was guessed.

Scalars keep their own text: `99.9` never passes through a float, `no` never becomes False. Anchors, aliases,
tags and merge keys are refused, because a file that decides on pages must read the same to everyone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import yaml

MAX_DEPTH: Final = 64
"""Deeper nesting is refused: no file of ours needs a tenth of it, and readers of trees recurse."""

# libyaml where PyYAML was built with it: ten times faster, the same events.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One value, as written."""

    text: str
    plain: bool
    """Written without quotes."""
    line: int


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    items: tuple["Node", ...]
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping and its value."""

    key: str
    line: int
    value: "Node"


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping with its entries in the order of the file; a key may still occur twice."""

    entries: tuple[Entry, ...]
    line: int


Node = ScalarNode | SequenceNode | MappingNode


def texts(node: Node) -> Iterator[str]:
    """Yield the text of every single value in a tree."""
    match node:
        case ScalarNode(text):
            yield text
        case SequenceNode(items):
            for item in items:
                yield from texts(item)
        case MappingNode(entries):
            for entry in entries:
                yield from texts(entry.value)


def filled(mapping: MappingNode, fill: Callable[[str], str]) -> MappingNode:
    """Return a mapping with every single value in it put through `fill`; what comes back is never a null."""
    entries = (Entry(entry.key, entry.line, _filled(entry.value, fill)) for entry in mapping.entries)
    return MappingNode(tuple(entries), mapping.line)


def _filled(node: Node, fill: Callable[[str], str]) -> Node:
    match node:
        case ScalarNode(text, _, line):
            found = fill(text)
            return node if found == text else ScalarNode(found, plain=False, line=line)
        case SequenceNode(items, line):
            return SequenceNode(tuple(_filled(item, fill) for item in items), line)
        case MappingNode():
            return filled(node, fill)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Where reading stopped: the text is not YAML, or uses a part of YAML that is refused."""

    line: int
    message: str
    refused: bool
    """Valid YAML, which we do not take."""


class _Refused(Exception):
    def __init__(self, line: int, message: str) -> None:
        self.unreadable = Unreadable(line, message, refused=True)
        super().__init__(message)


def documents(text: str) -> tuple[list[Node], Unreadable | None]:
    """Return the root of every document that is not empty, and what ended the reading early, if anything."""
    builder = _Builder()
    roots: list[Node] = []
    unreadable = None
    try:
        for event in yaml.parse(text, Loader=_Loader):
            root = builder.feed(event)
            if root is not None and not _is_empty(root):
                roots.append(root)
    except _Refused as error:
        unreadable = error.unreadable
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # An end that came too early is reported behind the last line.
        line = min(mark.line, text.count("\n")) + 1 if mark else 1
        unreadable = Unreadable(line, f"not YAML: {error.problem or error.context}", refused=False)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        unreadable = Unreadable(line, f"not YAML: {error.reason}", refused=False)
    return roots, unreadable


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.plain and not node.text


class _Open:
    """A collection whose end was not seen yet."""

    def __init__(self, line: int, *, mapping: bool) -> None:
        self.line = line
        self.mapping = mapping
        self.items: list[Node] = []
        self.entries: list[Entry] = []
        self.key: ScalarNode | None = None

    def take(self, node: Node) -> None:
        if not self.mapping:
            self.items.append(node)
        elif self.key is not None:
            self.entries.append(Entry(self.key.text, self.key.line, node))
            self.key = None
        elif isinstance(node, ScalarNode):
            self.key = node
        else:
            raise _Refused(node.line, "a key is a list or a mapping; write a plain word")

    def close(self) -> Node:
        if self.mapping:
            return MappingNode(tuple(self.entries), self.line)
        return SequenceNode(tuple(self.items), self.line)


class _Builder:
    """Turns YAML events into trees, without recursion."""

    def __init__(self) -> None:
        self._open: list[_Open] = []

    def feed(self, event: yaml.Event) -> Node | None:
        """Take one event; return the root when it completed a document."""
        match event:
            case yaml.AliasEvent():
                raise _Refused(_line(event), f"alias *{event.anchor}: write the value out")
            case yaml.ScalarEvent():
                _refuse_extras(event)
                return self._complete(
                    ScalarNode(event.value, plain=bool(event.implicit[0]), line=_line(event))
                )
            case yaml.CollectionStartEvent():
                _refuse_extras(event)
                if len(self._open) == MAX_DEPTH:
                    message = f"nested more than {MAX_DEPTH} levels deep; write it flatter"
                    raise _Refused(_line(event), message)
                self._open.append(_Open(_line(event), mapping=isinstance(event, yaml.MappingStartEvent)))
            case yaml.CollectionEndEvent():
                return self._complete(self._open.pop().close())
            case _:
                pass  # where streams and documents begin and end: roots say as much
        return None

    def _complete(self, node: Node) -> Node | None:
        if not self._open:
            return node
        self._open[-1].take(node)
        return None


def _refuse_extras(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
    if event.anchor is not None:
        raise _Refused(_line(event), f"anchor &{event.anchor}: write the value out")
    if event.tag is not None:
        raise _Refused(_line(event), f"tag {event.tag}: write the bare value")


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 1
