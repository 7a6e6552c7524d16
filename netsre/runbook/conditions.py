"""The `when` of a runbook and the `if` of a step: text is parsed once into a tree, evaluated on values.

    condition = both ("or" both)*
    both      = term ("and" term)*
    term      = "not" term | "(" condition ")" | "still" "(" "alert" ")" | operand compare
    compare   = ("==" | "!=") operand | ["not"] "in" "[" operand ("," operand)* "]"
    operand   = "text" | 'text' | labels.NAME | annotations.NAME | evidence.NAME | state

Everything is text. A label that the alert does not have is the empty text, as in Prometheus; so is evidence
that was not seen.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NoReturn

from netsre.model.alerts import Alert
from netsre.model.conditions import And, Condition, Equal, Field, In, Not, Operand, Or, Still, Text
from netsre.model.documents import Json

_MAX_DEPTH: Final = 20
_LONGEST: Final = 10_000
"""Characters; the time to read a condition grows with their square."""
_ROOTS: Final[Mapping[str, Literal["labels", "annotations", "evidence"]]] = MappingProxyType(
    {"labels": "labels", "annotations": "annotations", "evidence": "evidence"}
)
_NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})
_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>"[^"\\]*"|'[^'\\]*')
      | (?P<sign>==|!=|[()\[\],])
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?)
    )""",
    re.VERBOSE,
)


class ConditionError(ValueError):
    """The text is no condition; says what stands where something else belongs."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str
    at: int


def parse(text: str) -> Condition:
    """Read a condition; raises `ConditionError`."""
    if len(text) > _LONGEST:
        message = f"it has {len(text)} characters, at most {_LONGEST}; split it into several runbooks"
        raise ConditionError(message)
    parser = _Parser(_tokens(text))
    condition = parser.condition(0)
    parser.end()
    return condition


def holds(
    condition: Condition, alert: Alert, *, still: bool = False, evidence: Mapping[str, Json] = _NOTHING
) -> bool:
    """Tell whether a condition holds for an alert; `still` is what is measured of it now."""
    return _holds(condition, _Given(alert, still, evidence))


@dataclass(frozen=True, slots=True)
class _Given:
    alert: Alert
    still: bool
    evidence: Mapping[str, Json]


def _holds(condition: Condition, given: _Given) -> bool:
    match condition:
        case Still():
            return given.still
        case Equal(left, right):
            return _value(left, given) == _value(right, given)
        case In(item, choices):
            return _value(item, given) in {_value(choice, given) for choice in choices}
        case Not(term):
            return not _holds(term, given)
        case And(terms):
            return all(_holds(term, given) for term in terms)
        case Or(terms):
            return any(_holds(term, given) for term in terms)


def measures(condition: Condition) -> bool:
    """Tell whether a condition asks for what is measured now (`still(alert)`)."""
    match condition:
        case Still():
            return True
        case Not(term):
            return measures(term)
        case And(terms) | Or(terms):
            return any(measures(term) for term in terms)
        case Equal() | In():
            return False


def is_settled(condition: Condition) -> bool:
    """Tell whether a condition is the same whenever it is asked, once the evidence is there.

    Annotations and the state of an alert change while a run waits.
    """
    return not measures(condition) and all(
        operand.root in ("labels", "evidence") for operand in _operands(condition)
    )


def evidence(condition: Condition) -> frozenset[str]:
    """Return the names of the evidence that a condition asks for."""
    return frozenset(field.name for field in _operands(condition) if field.root == "evidence")


def _operands(condition: Condition) -> Iterator[Field]:
    match condition:
        case Still():
            return
        case Equal(left, right):
            yield from (side for side in (left, right) if isinstance(side, Field))
        case In(item, choices):
            yield from (side for side in (item, *choices) if isinstance(side, Field))
        case Not(term):
            yield from _operands(term)
        case And(terms) | Or(terms):
            for term in terms:
                yield from _operands(term)


def text(condition: Condition) -> str:
    """Write a condition so that `parse` reads the same one."""
    match condition:
        case Still():
            return "still(alert)"
        case Equal(left, right):
            return f"{_written(left)} == {_written(right)}"
        case In(item, choices):
            return f"{_written(item)} in [{', '.join(_written(choice) for choice in choices)}]"
        case Not(term):
            return f"not {_bracketed(term)}"
        case And(terms):
            return " and ".join(_bracketed(term) for term in terms)
        case Or(terms):
            return " or ".join(_bracketed(term) for term in terms)


def _bracketed(condition: Condition) -> str:
    return f"({text(condition)})" if isinstance(condition, And | Or) else text(condition)


def _written(operand: Operand) -> str:
    match operand:
        case Text(value):
            return f"'{value}'" if '"' in value else f'"{value}"'
        case Field(root, name):
            return f"{root}.{name}" if name else root


def _value(operand: Operand, given: _Given) -> str:
    match operand:
        case Text(value):
            return value
        case Field("labels", name):
            return dict(given.alert.labels).get(name, "")
        case Field("annotations", name):
            return given.alert.annotations.get(name, "")
        case Field("evidence", name):
            return _text(given.evidence.get(name))
        case Field():
            return given.alert.state.value


def _text(value: Json) -> str:
    """Return what was seen as text: nothing, a list or an object is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            message = f"cannot read {text[start : start + 12]!r} at column {start + 1}"
            raise ConditionError(message)
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    found.append(_Token("end", "", len(text)))
    return found


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def condition(self, depth: int) -> Condition:
        if depth > _MAX_DEPTH:
            self._fail(f"at most {_MAX_DEPTH} levels of brackets and `not`")
        terms = [self._both(depth)]
        while self._take("word", "or"):
            terms.append(self._both(depth))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def end(self) -> None:
        if self._peek().kind != "end":
            self._fail("and, or, or the end")

    def _both(self, depth: int) -> Condition:
        terms = [self._term(depth)]
        while self._take("word", "and"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self, depth: int) -> Condition:
        if depth > _MAX_DEPTH:
            self._fail(f"at most {_MAX_DEPTH} levels of brackets and `not`")
        if self._take("word", "not"):
            return Not(self._term(depth + 1))
        if self._take("sign", "("):
            inner = self.condition(depth + 1)
            self._need(")")
            return inner
        if self._take("word", "still"):
            self._need("(")
            if not self._take("word", "alert"):
                self._fail("alert")
            self._need(")")
            return Still()
        return self._compare(self._operand())

    def _compare(self, left: Operand) -> Condition:
        if self._take("sign", "=="):
            return Equal(left, self._operand())
        if self._take("sign", "!="):
            return Not(Equal(left, self._operand()))
        negated = self._take("word", "not")
        if not self._take("word", "in"):
            self._fail("==, !=, in, or not in")
        self._need("[")
        choices = [self._operand()]
        while self._take("sign", ","):
            choices.append(self._operand())
        self._need("]")
        found = In(left, tuple(choices))
        return Not(found) if negated else found

    def _operand(self) -> Operand:
        token = self._peek()
        if token.kind == "text":
            self._next += 1
            return Text(token.value[1:-1])
        root, _, name = token.value.partition(".")
        if token.kind == "word" and token.value == "state":
            self._next += 1
            return Field("state")
        if token.kind == "word" and name and root in _ROOTS:
            self._next += 1
            return Field(_ROOTS[root], name)
        return self._fail('labels.NAME, annotations.NAME, evidence.NAME, state, or "text"')

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, kind: str, value: str) -> bool:
        token = self._peek()
        if (token.kind, token.value) == (kind, value):
            self._next += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._take("sign", sign):
            self._fail(f"{sign!r}")

    def _fail(self, wanted: str) -> NoReturn:
        token = self._peek()
        found = repr(token.value) if token.value else "the end"
        message = f"{found} at column {token.at + 1}, where {wanted} belongs"
        raise ConditionError(message)
