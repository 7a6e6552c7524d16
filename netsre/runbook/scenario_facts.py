"""What a node of a scenario answers: read by the shapes that actions are answered with, whatever they are.

Every question that an action may ask a node is one of its methods, and the answer a plain value. So a new
question can be answered in a scenario as soon as it exists.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from netsre.model import literals, values
from netsre.model.scenarios import Facts
from netsre.runbook import scenario_codes as codes
from netsre.runbook.actions.contract import Node

_NOTHING: Final = object()
_COMMANDS: Final = frozenset({"apply", "look", "undo", "effects"})


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """Something that an action may ask a node."""

    name: str
    shape: object
    """Of the answer: a class of plain values, or a mapping."""
    parameters: tuple[str, ...]

    def answered(self, given: Mapping[str, object], asked: Sequence[object]) -> object:
        """Return the answer; a field that is not given has the value that was asked about.

        Raises `ValueError` that names a field without a value.
        """
        if not isinstance(self.shape, type):
            return given
        return _made(self.name, self.shape, {**dict(zip(self.parameters, asked, strict=False)), **given})


def _made(name: str, shape: type, given: Mapping[str, object]) -> object:
    hints = typing.get_type_hints(shape)
    found: dict[str, object] = {}
    for one in dataclasses.fields(shape):
        if one.name in given:
            found[one.name] = given[one.name]
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            empty = _empty(hints[one.name])
            if empty is _NOTHING:
                raise ValueError(f"{name} has no {one.name}")
            found[one.name] = empty
    made: object = shape(**found)
    return made


def _empty(shape: object) -> object:
    """Return what is meant where nothing is said of a text, a list or an answer that may be missing."""
    if shape is str:
        return ""
    if types.NoneType in typing.get_args(shape):
        return None
    return () if typing.get_origin(shape) is tuple else _NOTHING


def _questions() -> Mapping[str, Question]:
    found = {}
    for name, method in inspect.getmembers(Node, inspect.isfunction):
        if name.startswith("_") or name in _COMMANDS:
            continue
        parameters = tuple(inspect.signature(method).parameters)[1:]
        found[name] = Question(name, typing.get_type_hints(method)["return"], parameters)
    return MappingProxyType(found)


QUESTIONS: Final = _questions()


def read(body: values.Mapping) -> Facts:
    """Read `facts`: fields of answers, or the word of a refusal, by the name of the question."""
    found: dict[str, Mapping[str, object] | str] = {}
    for name in body.keys():  # noqa: SIM118 - it is no dict
        question, value = QUESTIONS.get(name), body.value(name)
        if question is None:
            hint = literals.nearest(name, QUESTIONS)
            body.wrong(name, codes.FACT, f"is nothing that a node is asked{hint}")
            continue
        match value:
            case values.Mapping():
                found[name] = _fields(value, question.shape)
            case values.Scalar():
                found[name] = value.value
            case values.Sequence():
                body.wrong(name, codes.FACT, "is a list; write an answer, or the word of a refusal")
            case None:
                pass
    return MappingProxyType(found)


def _fields(part: values.Mapping, shape: object) -> Mapping[str, object]:
    if not isinstance(shape, type):
        inner = typing.get_args(shape)[1]
        read = {key: part.value(key) for key in part.keys()}  # noqa: SIM118 - it is no dict
        return MappingProxyType({key: _value(one, inner) for key, one in read.items() if one is not None})
    hints, names = typing.get_type_hints(shape), [one.name for one in dataclasses.fields(shape)]
    found: dict[str, object] = {}
    for key in part.keys():  # noqa: SIM118 - it is no dict
        value = part.value(key)
        if key not in names:
            part.wrong(key, codes.FACT, f"is no part of the answer{literals.nearest(key, names)}")
        elif value is not None:
            found[key] = _value(value, hints[key])
    return MappingProxyType(found)


def _value(value: values.Value, shape: object) -> object:
    arguments = [one for one in typing.get_args(shape) if one not in (Ellipsis, types.NoneType)]
    origin = typing.get_origin(shape)
    if origin in (typing.Union, types.UnionType):
        return _value(value, arguments[0])
    match value:
        case values.Sequence() if origin in (tuple, Sequence):
            return tuple(_value(item, arguments[0]) for item in value)
        case values.Mapping() if isinstance(shape, type) and dataclasses.is_dataclass(shape):
            return _answer(value, shape)
        case values.Mapping() if origin is Mapping:
            return _fields(value, shape)
        case values.Scalar() if origin is None and not dataclasses.is_dataclass(shape):
            return _scalar(value, shape)
        case _:
            message = f"{value.path} is {values.SHAPES[type(value)]}, and the answer has something else there"
            value.findings.add(value.origin, codes.FACT, message)
            return None


def _answer(value: values.Mapping, shape: type) -> object:
    try:
        return _made(value.path, shape, _fields(value, shape))
    except ValueError as error:
        value.findings.add(value.origin, codes.FACT, str(error))
        return None


def _scalar(value: values.Scalar, shape: object) -> object:
    if shape is bool:
        return value.choice("true", "false") == "true"
    if isinstance(shape, type) and issubclass(shape, StrEnum):
        word = value.choice(*(one.value for one in shape))
        return None if word is None else shape(word)
    if shape is str:
        return value.value
    # Whole numbers, and times, which are such.
    return value.integer()
