"""What it takes to compile a thousand policies for a thousand endpoints, and then one change.

Everything up to the operations that the kernel is asked for, in one process, without a kernel. After each
change the compiler and the plan go on from what the one before left.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench import policy_cluster
from bench.lines import Line
from netsre.datapath.policy import sync
from netsre.datapath.policy.compiler import Compiled, Compiler
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.sync import Held

_ROUNDS: Final = 15
_COLD_ROUNDS: Final = 3
_Texts = dict[str, str]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one compile and its plan."""

    stages: Mapping[str, float]
    """By stage; `plan` is the last one."""
    written: int
    """Entries that the kernel is asked to write."""

    @property
    def total(self) -> float:
        """Return all stages together."""
        return sum(self.stages.values())


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of change, and the medians of its costs."""

    what: str
    incremental: Cost
    cold: float
    """Seconds of the same with a compiler that knows nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    policies: int
    endpoints: int
    entries: int
    cold: Cost
    changes: tuple[Change, ...]


def _port(policies: _Texts, endpoints: _Texts, number: int) -> None:
    """Write another port in one rule."""
    del endpoints
    name = f"ns-{number}/in-3.yaml"
    policies[name] = policies[name].replace("{port: 8080}", f"{{port: {10_000 + number}}}")


def _network(policies: _Texts, endpoints: _Texts, number: int) -> None:
    """Write a network into one rule that no policy has mentioned."""
    del endpoints
    name = f"ns-{number}/out-4.yaml"
    policies[name] = policies[name].replace("cidr: 172.16.", "cidr: 172.17.").replace("[172.16.", "[172.17.")


def _replica(policies: _Texts, endpoints: _Texts, number: int) -> None:
    """Add an endpoint of an application that is there."""
    del policies
    name = f"ns-{number}.yaml"
    endpoints[name] += policy_cluster.endpoint(number, 5, 7)


def _application(policies: _Texts, endpoints: _Texts, number: int) -> None:
    """Add an endpoint with labels that nobody has."""
    del policies
    name = f"ns-{number}.yaml"
    endpoints[name] += policy_cluster.endpoint(number, 5, 8).replace("app: app-5", f"app: new-{number}")


_CHANGES: Final[Mapping[str, Callable[[_Texts, _Texts, int], None]]] = {
    "another port in one rule": _port,
    "a network in one rule that no policy had": _network,
    "one more endpoint of an application": _replica,
    "an endpoint with labels that nobody had": _application,
}


def _once(
    compiler: Compiler, policies: _Texts, endpoints: _Texts, previous: Numbers, held: Held
) -> tuple[Cost, Compiled, Held]:
    compiled = compiler.compile(policies, endpoints, previous)
    begun = time.perf_counter()
    plan = sync.plan(held, compiled.encoded)
    stages = {**{stage.value: took for stage, took in compiled.seconds.items()}}
    stages["plan"] = time.perf_counter() - begun
    written = sum(len(one.entries) for one in plan.operations if isinstance(one, sync.Put))
    return Cost(stages, written), compiled, plan.after


def _median(costs: list[Cost]) -> Cost:
    stages = {stage: median(one.stages[stage] for one in costs) for stage in costs[0].stages}
    return Cost(stages, round(median(one.written for one in costs)))


def _changes(policies: _Texts, endpoints: _Texts) -> tuple[Change, ...]:
    compiler = Compiler(time.perf_counter)
    _, compiled, held = _once(compiler, policies, endpoints, Numbers(), Held())
    found = []
    for what, change in _CHANGES.items():
        costs, cold = [], []
        for number in range(1, 1 + _ROUNDS):
            change(policies, endpoints, number)
            previous, before = compiled.encoded.numbers, held
            cost, compiled, held = _once(compiler, policies, endpoints, previous, before)
            costs.append(cost)
            if number <= _COLD_ROUNDS:
                again = Compiler(time.perf_counter)
                cold.append(_once(again, policies, endpoints, previous, before)[0].total)
        found.append(Change(what, _median(costs), median(cold)))
    return tuple(found)


def measure() -> Figures:
    """Compile from nothing a few times, then change by change."""
    policies, endpoints = dict(policy_cluster.policies()), dict(policy_cluster.endpoints())
    costs = []
    for _ in range(_COLD_ROUNDS):
        cost, compiled, _ = _once(Compiler(time.perf_counter), policies, endpoints, Numbers(), Held())
        costs.append(cost)
    entries = compiled.encoded.size(Map.ENTRIES)
    size = len(compiled.policies), len(compiled.endpoints)
    return Figures(*size, entries, _median(costs), _changes(policies, endpoints))


def lines(figures: Figures) -> list[Line]:
    """Return the rows."""
    size = f"{figures.policies} policies for {figures.endpoints} endpoints"
    cold = figures.cold
    stages = ", ".join(f"{stage} {took:.2f} s" for stage, took in cold.stages.items())
    rows = [
        Line(
            f"{size}, from nothing to the operations that write {figures.entries} policy entries",
            f"{cold.total:.2f} s ({stages})",
            "",
            "<= 5 s",
            cold.total <= 5,
        )
    ]
    for change in figures.changes:
        cost = change.incremental
        stages = ", ".join(f"{stage} {1000 * took:.0f}" for stage, took in cost.stages.items())
        rows.append(
            Line(
                f"{size}, one change: {change.what}, to the operations that write {cost.written} entries",
                f"{1000 * cost.total:.0f} ms ({stages})",
                f"from nothing {change.cold:.2f} s",
                "<= 100 ms",
                cost.total <= 0.1,
            )
        )
    return rows


if __name__ == "__main__":
    for line in lines(measure()):
        print(line.row())
