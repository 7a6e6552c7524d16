"""Conditions of a runbook as a tree of values: parsed once, never text that is put together and run."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Text:
    """A fixed text."""

    value: str


@dataclass(frozen=True, slots=True)
class Field:
    """`labels.x`, `annotations.x` or `state` of the alert, or `evidence.x`; empty where it is absent."""

    root: Literal["labels", "annotations", "state", "evidence"]
    name: str = ""


Operand = Text | Field


@dataclass(frozen=True, slots=True)
class Equal:
    """Both sides are the same text."""

    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class In:
    """The value is one of several."""

    item: Operand
    choices: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    term: "Condition"


@dataclass(frozen=True, slots=True)
class And:
    """Every term holds."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one term holds."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Still:
    """`still(alert)`: what the alert of the run says is still so, as measured now."""


Condition = Equal | In | Not | And | Or | Still
