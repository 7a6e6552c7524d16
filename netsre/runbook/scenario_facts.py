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
from netsre.runbook import scenario_codes
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
            body.wrong(name, scenario_codes.FACT, f"is nothing that a node is asked{hint}")
        elif part is not None:
            found[name] = _fields(part, question.answer)
    return MappingProxyType(found)


def _fields(part: values.Mapping, answer: type) -> Mapping[str, object]:
    shapes = typing.get_type_hints(answer)
    found: dict[str, object] = {}
    for one in dataclasses.fields(answer):
        value = part.value(one.name, required=False)
        if value is not None:
            found[one.name] = _value(value, shapes[one.name])
    part.end()
    return MappingProxyType(found)


def _value(value: values.Value, shape: object) -> object:  # noqa: PLR0911 - a case each
    arguments = [one for one in typing.get_args(shape) if one not in (Ellipsis, types.NoneType)]
    origin = typing.get_origin(shape)
    if origin in (typing.Union, types.UnionType):
        return _value(value, arguments[0])
    if isinstance(value, values.Sequence):
        return tuple(_value(item, arguments[0] if arguments else str) for item in value)
    if isinstance(value, values.Mapping):
        if dataclasses.is_dataclass(shape) and isinstance(shape, type):
            given = _fields(value, shape)
            return (
                Question(value.path, shape, ()).answered(given, ()) if _whole(value, shape, given) else None
            )
        return MappingProxyType(dict(value.pairs()))
    if shape is bool:
        return value.choice("true", "false") == "true"
    if isinstance(shape, type) and issubclass(shape, StrEnum):
        word = value.choice(*(one.value for one in shape))
        return None if word is None else shape(word)
    if shape is str:
        return value.value
    # Whole numbers, and times, which are such.
    return value.integer()


def _whole(value: values.Mapping, shape: type, given: Mapping[str, object]) -> bool:
    try:
        Question(value.path, shape, ()).answered(given, ())
    except ValueError as error:
        value.findings.add(value.origin, scenario_codes.FACT, str(error).removeprefix("facts."))
        return False
    return True
