"""From the text of policies and endpoints to a revision, stage by stage; one change costs what it touches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from netsre.datapath.policy import reading, resolve
from netsre.datapath.policy.budget import BUDGET
from netsre.datapath.policy.encode import Encoded, Encoder
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.reference import ENFORCED, Staged
from netsre.datapath.policy.resolve import Resolved, Resolver
from netsre.model.policies.values import Endpoint, Policy


class Stage(StrEnum):
    """What a compile consists of, in this order."""

    PARSE = "parse"
    RESOLVE = "resolve"
    ENCODE = "encode"


@dataclass(frozen=True, slots=True)
class Canary:
    """Endpoints that have the new policies, while all others have those of before."""

    endpoints: frozenset[str]
    """`namespace/name` of each."""
    before: Mapping[str, str]
    """Files, name to text."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A revision, and what it was made of."""

    policies: tuple[Policy, ...]
    endpoints: tuple[Endpoint, ...]
    resolved: Resolved
    encoded: Encoded
    seconds: Mapping[Stage, float]
    """How long each stage took."""


class Compiler:
    """Compiles again and again. What it keeps makes it faster, and never changes an answer.

    What it keeps is of the last compile only, about as large as the revision itself.
    """

    def __init__(self, seconds: Callable[[], float], budget: Mapping[Map, int] = BUDGET) -> None:
        """Measure stages by a clock that nobody sets."""
        self._seconds = seconds
        self._budget = budget
        self._policies = reading.of_policies()
        self._endpoints = reading.of_endpoints()
        self._resolver = Resolver()
        self._encoder = Encoder()

    def policies(self, texts: Mapping[str, str]) -> tuple[Policy, ...]:
        """Return what files say, which the next compile then knows; raises `SpecErrors`."""
        return self._policies.read(texts)

    def endpoints(self, texts: Mapping[str, str]) -> tuple[Endpoint, ...]:
        """Return the same of files of endpoints."""
        return self._endpoints.read(texts)

    def compile(
        self,
        policies: Mapping[str, str],
        endpoints: Mapping[str, str],
        previous: Numbers,
        staged: Staged = ENFORCED,
        canary: Canary | None = None,
        called: Callable[[str], str] = str,
    ) -> Compiled:
        """Return the revision of some files (name to text).

        `previous` is what the revision before it, or the kernel, says of numbers, and `called` which of its
        names an interface is known by. Raises `SpecErrors` with all findings, `IdentitiesExhausted`,
        `ZonesExhausted` and `BudgetExceeded`.
        """
        begun = self._seconds()
        before = self._policies.read(canary.before) if canary is not None else ()
        known = self._policies.read(policies)
        ends = self._endpoints.read(endpoints)
        parsed = self._seconds()
        chosen = resolve.Canary(canary.endpoints, before) if canary is not None else None
        trial = resolve.Trial(staged, chosen)
        resolved = self._resolver.resolve(known, ends, previous.identities, trial=trial)
        answered = self._seconds()
        encoded = self._encoder.encode(resolved, (*known, *before), ends, previous, self._budget, called)
        took = (parsed - begun, answered - parsed, self._seconds() - answered)
        seconds = MappingProxyType(dict(zip(Stage, took, strict=True)))
        return Compiled(known, ends, resolved, encoded, seconds)
