"""What a node remembers of its policies beside the kernel: names of numbers, and what came into force when.

Verdicts do not rest on it: where it is lost, names of rules are, and the next revision has new numbers.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from netsre.app import remembering
from netsre.app.remembering import Remembering
from netsre.datapath.policy import compiles, orders, remembered
from netsre.datapath.policy.compiles import Compiles
from netsre.datapath.policy.numbers import Numbering, Numbers

FILE: Final = "state.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Made:
    """How a revision came to be."""

    at: int
    """Milliseconds since the Unix epoch."""
    policies: int
    endpoints: int
    rules: int
    seconds: Mapping[str, float]
    """How long each stage took."""
    monitored: int = 0
    """Policies that are on monitor."""
    off: int = 0
    """Policies that are off."""
    canary: int = 0
    """Endpoints that alone have it."""


@dataclass(frozen=True, slots=True)
class State:
    """The content of the file."""

    programs: str = ""
    """A digest of the source of the programs that run."""
    numbers: Numbers = field(default_factory=Numbers)
    made: Mapping[int, Made] = field(default_factory=dict)
    """By the number of a revision that the kernel has."""
    compiles: Compiles = field(default_factory=dict)
    """All that there ever were."""
    orders: Numbering = field(default_factory=Numbering)
    """Of the rules that orders are counted under."""

    @property
    def rules(self) -> Mapping[str, int]:
        """Return the numbers that the kernel counts under, by the names of rules and of orders."""
        return {**self.numbers.rules.known, **orders.rule_names(self.orders)}

    def document(self) -> dict[str, Any]:
        """Return what the file has."""
        return {
            "version": _VERSION,
            "programs": self.programs,
            "numbers": remembered.document(self.numbers),
            "made": {str(number): _made(one) for number, one in self.made.items()},
            "compiles": compiles.document(self.compiles),
            "orders": remembered.numbering_document(self.orders),
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return the state of a document; raises one of `remembering.WRONG`."""
        if found["version"] != _VERSION:
            raise ValueError(f"it is of version {found['version']}")
        made = {int(number): _made_of(one) for number, one in found["made"].items()}
        took = compiles.of(found.get("compiles", ()))
        given = remembered.numbering(found["orders"]) if "orders" in found else Numbering()
        return cls(str(found["programs"]), remembered.numbers(found["numbers"]), made, took, given)

    def timed(self, seconds: Mapping[str, float], result: str) -> Self:
        """Return the same with one compile more, by its stages."""
        return dataclasses.replace(self, compiles=compiles.including(self.compiles, seconds, result))


def _made(one: Made) -> dict[str, Any]:
    return {
        "at": one.at,
        "policies": one.policies,
        "endpoints": one.endpoints,
        "rules": one.rules,
        "seconds": dict(one.seconds),
        "monitored": one.monitored,
        "off": one.off,
        "canary": one.canary,
    }


def _made_of(one: Mapping[str, Any]) -> Made:
    seconds = {str(stage): float(took) for stage, took in one["seconds"].items()}
    at, policies, endpoints, rules = (int(one[what]) for what in ("at", "policies", "endpoints", "rules"))
    # Earlier versions did not write these.
    monitored, off, canary = (int(one.get(what, 0)) for what in ("monitored", "off", "canary"))
    return Made(at, policies, endpoints, rules, seconds, monitored, off, canary)


class Place(Remembering):
    """The directory of the file; whoever changes anything on this node holds its lock."""

    def read(self) -> State:
        """Return what is remembered; raises `EnvironmentUnfit` where nobody can tell."""
        return remembering.read(self.directory / FILE, State.of, "verdicts do not rest on it") or State()

    def write(self, state: State) -> None:
        """Put it on disk, whole or not at all; raises `EnvironmentUnfit`."""
        self.put(FILE, json.dumps(state.document(), sort_keys=True))
