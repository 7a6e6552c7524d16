"""Parameters of a runbook: what a person may choose who begins it by hand, within bounds of its file.

They are filled in before an action reads what stands under `with`: it sees and judges a value like any other.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from netsre.errors import BadInput
from netsre.model import linting, literals, values, yamltree
from netsre.model.documents import Document
from netsre.model.runbooks import Parameter, ParameterType, Runbook, Step
from netsre.runbook import codes
from netsre.runbook.actions.contract import Action

REFERENCE: Final = re.compile(r"\$\{param\.([a-z][a-z0-9_]*)\}")
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
TYPES: Final[tuple[ParameterType, ...]] = ("duration", "integer", "address", "text", "choice")
_ORDERED: Final = frozenset({"duration", "integer"})
_LONGEST: Final = 200
"""Characters of a text."""
_MOST_DIGITS: Final = 18


def read(spec: values.Mapping) -> tuple[Parameter, ...]:
    """Take `parameters`; what is wrong becomes findings."""
    sequence = spec.sequence("parameters", required=False)
    found: dict[str, Parameter] = {}
    for item in () if sequence is None else sequence.mappings():
        parameter = _read(item)
        if parameter is not None and parameter.name in found:
            item.wrong("name", codes.DECLARED, f"{parameter.name!r} is declared twice; rename one")
        elif parameter is not None:
            found[parameter.name] = parameter
    return tuple(found.values())


def problem(parameter: Parameter, text: str) -> str | None:
    """Return what is wrong with a value of a parameter, or None."""
    try:
        size = _size(parameter.type, text)
    except ValueError as error:
        return str(error)
    if parameter.type == "choice" and text not in parameter.choices:
        return f"{literals.shown(text)} is not one of {', '.join(parameter.choices)}"
    least, most = (_bound(parameter, bound) for bound in (parameter.least, parameter.most))
    if least is not None and size < least:
        return f"{text} is less than min, which is {parameter.least}"
    if most is not None and size > most:
        return f"{text} is more than max, which is {parameter.most}"
    return None


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Read NAME=VALUE, each name once; raises `BadInput`."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or name in found:
            raise BadInput(f"set {literals.shown(text)}: write each parameter once, as NAME=VALUE")
        found[name] = value
    return found


def bound(runbook: Runbook, given: Mapping[str, str], actions: Mapping[str, Action]) -> Runbook:
    """Return a runbook whose parameters have these values; raises `BadInput` for one that is not allowed."""
    if not given:
        return runbook
    known = {parameter.name: parameter for parameter in runbook.parameters}
    for name, text in given.items():
        if name not in known:
            hint = literals.nearest(name, known)
            raise BadInput(f"runbook {runbook.name} has no parameter {literals.shown(name)}{hint}")
        wrong = problem(known[name], text)
        if wrong is not None:
            raise BadInput(f"parameter {name}: {wrong}")
    chosen = tuple(replace(one, value=given.get(one.name, one.value)) for one in runbook.parameters)
    return replace(
        runbook, parameters=chosen, steps=tuple(_step(step, chosen, actions) for step in runbook.steps)
    )


def write(parameter: Parameter) -> Document:
    """Return a parameter as a document."""
    return {
        "name": parameter.name,
        "type": parameter.type,
        "value": parameter.value,
        "min": parameter.least,
        "max": parameter.most,
        "choices": parameter.choices,
    }


@dataclass
class Filler:
    """Fills parameters in where steps name them, and knows which of them were named."""

    parameters: tuple[Parameter, ...]
    named: set[str] = field(default_factory=set)

    def fill(self, part: values.Mapping) -> values.Mapping:
        """Return what stands under `with` as the action reads it; names nobody declared become findings."""
        names = set(_names(part.node))
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in sorted(names - known.keys()):
            hint = literals.nearest(name, known)
            message = f"refers to param.{name}, which the runbook does not declare{hint}"
            part.findings.add(part.origin, codes.USED, f"{part.path} {message}")
        self.named |= names
        for text in _parts_of_references(part.node):
            message = f"has a part of a reference in {literals.shown(text)}; write ${{param.NAME}} alone"
            part.findings.add(part.origin, codes.USED, f"{part.path} {message}")
        return _filled(part, {name: one.value for name, one in known.items()}) if names else part

    def check_bounds(self, part: values.Mapping, action: Action) -> None:
        """Report every value within its bounds that an action does not take."""
        known = {parameter.name: parameter.value for parameter in self.parameters}
        names = set(_names(part.node))
        for parameter in self.parameters:
            for text in _extremes(parameter) if parameter.name in names else ():
                wrong = _refusal(part, {**known, parameter.name: text}, action)
                if wrong is not None:
                    message = f"with {parameter.name}={text}, which is allowed: {wrong}"
                    part.findings.add(part.origin, codes.DECLARED, message)

    def check_named(self, spec: values.Mapping) -> None:
        """Report every parameter that no step names."""
        for parameter in self.parameters:
            if parameter.name not in self.named:
                message = f"declare {parameter.name!r}, which no step uses; write ${{param.{parameter.name}}}"
                spec.wrong("parameters", codes.USED, message)


def _read(item: values.Mapping) -> Parameter | None:
    name, kind = item.text("name"), item.choice("type", *TYPES)
    default = item.text("default")
    least, most = item.text("min", required=False), item.text("max", required=False)
    listed = item.sequence("choices", required=False)
    choices = () if listed is None else listed.texts()
    item.end()
    if name is not None and NAME.fullmatch(name) is None:
        message = f"{literals.shown(name)} is no name; write lower-case letters, digits and underscores"
        item.wrong("name", codes.DECLARED, message)
        return None
    found = next((one for one in TYPES if one == kind), None)
    if name is None or found is None or default is None:
        return None
    parameter = Parameter(name, found, default, least, most, choices)
    before = len(item.findings)
    _check(item, parameter)
    return parameter if len(item.findings) == before else None


def _check(item: values.Mapping, parameter: Parameter) -> None:
    if parameter.type not in _ORDERED:
        for key in ("min", "max"):
            if key in item:
                item.wrong(key, codes.DECLARED, f"does not go with type {parameter.type}")
    if (parameter.type == "choice") != bool(parameter.choices):
        message = "are the values of type choice, and of no other; write both or neither"
        item.wrong("choices", codes.DECLARED, message)
        return
    for key, text in (("min", parameter.least), ("max", parameter.most)):
        wrong = None if text is None else _not_of(parameter, text)
        if wrong is not None:
            item.wrong(key, codes.DECLARED, wrong)
            return
    for text in parameter.choices:
        if (wrong := _not_of(parameter, text)) is not None:
            item.wrong("choices", codes.DECLARED, wrong)
    if (wrong := problem(parameter, parameter.value)) is not None:
        item.wrong("default", codes.DECLARED, wrong)


def _not_of(parameter: Parameter, text: str) -> str | None:
    try:
        _size(parameter.type, text)
    except ValueError as error:
        return str(error)
    return None


def _bound(parameter: Parameter, text: str | None) -> int | None:
    return None if text is None or parameter.type not in _ORDERED else _size(parameter.type, text)


def _size(kind: ParameterType, text: str) -> int:
    """Return the size of a value; 0 where it has none; raises `ValueError` for what is none of the type."""
    match kind:
        case "duration":
            return literals.parse_duration(text)
        case "integer":
            if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
                raise ValueError(f"{literals.shown(text)} is not a whole number; write digits such as 5")
            return int(text)
        case "address":
            if not literals.is_address(text):
                raise ValueError(f"{literals.shown(text)} is no address; write one such as 192.0.2.1")
        case "text" | "choice":
            # What looks like a reference must not become one.
            if not text or len(text) > _LONGEST or not text.isprintable() or "${" in text:
                message = f"is no text of 1 to {_LONGEST} printable characters without a reference"
                raise ValueError(f"{literals.shown(text)} {message}")
    return 0


def _extremes(parameter: Parameter) -> Iterator[str]:
    yield from (text for text in (parameter.least, parameter.most, *parameter.choices) if text is not None)


def _step(step: Step, chosen: Iterable[Parameter], actions: Mapping[str, Action]) -> Step:
    action = actions.get(step.action)
    if step.written is None or action is None:
        return step
    findings = linting.Findings()
    part = values.Mapping(step.written, f"{step.action}: with", "", findings)
    taken = action.read(_filled(part, {one.name: one.value for one in chosen}))
    wrong = next(iter(findings.sorted()), None)
    if taken is None or wrong is not None:
        raise BadInput("a step does not take it" if wrong is None else wrong.message)
    return replace(step, parameters=taken)


def _refusal(part: values.Mapping, given: Mapping[str, str], action: Action) -> str | None:
    findings = linting.Findings()
    action.read(_filled(values.Mapping(part.node, part.path, part.origin.file, findings), given))
    return next((one.message for one in findings.sorted()), None)


def _filled(part: values.Mapping, given: Mapping[str, str]) -> values.Mapping:
    def fill(text: str) -> str:
        match = REFERENCE.fullmatch(text)
        return text if match is None else given.get(match[1], text)

    node = yamltree.filled(part.node, fill)
    return values.Mapping(node, part.path, part.origin.file, part.findings)


def _names(node: yamltree.Node) -> Iterator[str]:
    return (match[1] for text in yamltree.texts(node) if (match := REFERENCE.fullmatch(text)) is not None)


def _parts_of_references(node: yamltree.Node) -> Iterator[str]:
    return (text for text in yamltree.texts(node) if "${param" in text and REFERENCE.fullmatch(text) is None)
