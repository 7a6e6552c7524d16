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
from netsre.runbook import scenario_codes as codes
from netsre.runbook.actions.contract import Node

_COMMANDS: Final = frozenset({"apply", "look", "undo", "effects"})


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """Something that an action may ask a node."""

    name: str
    answer: type
    parameters: tuple[str, ...]

    def answered(self, given: Mapping[str, object], asked: Sequence[object]) -> object:
        """Return the answer; a field that is not given has the value that was asked about.

        Raises `ValueError` that names a field without a value.
        """
        about = dict(zip(self.parameters, asked, strict=False))
        found: dict[str, object] = {}
        for one in dataclasses.fields(self.answer):
            if one.name in given:
                found[one.name] = given[one.name]
            elif one.name in about:
                found[one.name] = about[one.name]
            elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
                empty = _empty(typing.get_type_hints(self.answer)[one.name])
                if empty is None:
                    raise ValueError(f"facts.{self.name} has no {one.name}")
                found[one.name] = empty
        answer: object = self.answer(**found)
        return answer


def _empty(shape: object) -> object | None:
    """Return what a list or a text is where nothing is said; None for what must be said."""
    if shape is str:
        return ""
    return () if typing.get_origin(shape) is tuple else None


def _questions() -> Mapping[str, Question]:
    found = {}
    for name, method in inspect.getmembers(Node, inspect.isfunction):
        if name.startswith("_") or name in _COMMANDS:
            continue
        answer = typing.get_type_hints(method)["return"]
        if not dataclasses.is_dataclass(answer):
            continue
        parameters = tuple(inspect.signature(method).parameters)[1:]
        found[name] = Question(name, typing.cast("type", answer), parameters)
    return MappingProxyType(found)


QUESTIONS: Final = _questions()


def read(body: values.Mapping) -> Mapping[str, Mapping[str, object]]:
    """Read `facts`: fields of answers, by the name of the question."""
    found = {}
    for name in body.keys():  # noqa: SIM118 - it is no dict
        question = QUESTIONS.get(name)
        part = body.mapping(name)
        if question is None:
            hint = literals.nearest(name, QUESTIONS)
            body.wrong(name, codes.FACT, f"is nothing that a node is asked{hint}")
        elif part is not None:
            found[name] = _fields(part, question.answer)
    return MappingProxyType(found)


def _fields(part: values.Mapping, answer: type) -> Mapping[str, object]:
    shapes, names = typing.get_type_hints(answer), [one.name for one in dataclasses.fields(answer)]
    found: dict[str, object] = {}
    for key in part.keys():  # noqa: SIM118 - it is no dict
        value = part.value(key)
        if key not in names:
            part.wrong(key, codes.FACT, f"is no part of the answer{literals.nearest(key, names)}")
        elif value is not None:
            found[key] = _value(value, shapes[key])
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
            return MappingProxyType(dict(value.pairs()))
        case values.Scalar() if origin is None and not dataclasses.is_dataclass(shape):
            return _scalar(value, shape)
        case _:
            message = f"{value.path} is {values.SHAPES[type(value)]}, and the answer has something else there"
            value.findings.add(value.origin, codes.FACT, message)
            return None


def _answer(value: values.Mapping, shape: type) -> object:
    try:
        return Question(value.path, shape, ()).answered(_fields(value, shape), ())
    except ValueError as error:
        value.findings.add(value.origin, codes.FACT, str(error).removeprefix("facts."))
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
