"""The controller's own metrics, made of the newest snapshot; what was not measured is absent, never 0."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from netsre import conventions as c
from netsre.alerting.decide import SEVERITIES
from netsre.app.snapshot import Snapshot
from netsre.metrics.registry import REGISTRY
from netsre.model.levels import Evaluation, Measured
from netsre.model.runbooks import ENDED, RunState

_TOTAL: Final = "_total"
Samples = list[tuple[dict[str, str], float]]


class _Families(Collector):
    """Presents one snapshot to the client library."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for name, samples in _samples(self._snapshot).items():
            about = REGISTRY[name]
            counter = about.kind == "counter"
            family = Metric(name.removesuffix(_TOTAL) if counter else name, about.help, about.kind)
            for labels, value in samples:
                family.add_sample(name, labels, value)
            yield family


def render(snapshot: Snapshot | None, accept: str) -> tuple[bytes, str]:
    """Return (body, content type) for a client that sent this `Accept` header."""
    registry = CollectorRegistry(auto_describe=False)
    if snapshot is not None:
        registry.register(_Families(snapshot))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _samples(snapshot: Snapshot) -> Mapping[str, Samples]:
    counts = snapshot.counts
    found: dict[str, Samples] = {
        c.SLO_OBJECTIVE: [
            ({"slo": slo.name, "service": slo.service}, float(slo.objective)) for slo in snapshot.slos
        ],
        c.SOURCE_UP: [({"source": source.name}, float(source.up)) for source in snapshot.sources],
        c.TICK_SECONDS: [({}, snapshot.seconds)],
        c.TICK_FAILURES: [({}, float(snapshot.failures))],
        c.ALERTS_ACTIVE: [
            ({"severity": severity}, float(counts.active.get(severity, 0))) for severity in SEVERITIES
        ],
        c.ALERT_TRANSITIONS: [
            ({"alertname": name, "transition": transition}, float(count))
            for (name, transition), count in counts.transitions.items()
        ],
        c.OUTBOX_PENDING: [({"channel": name}, float(count)) for name, count in counts.pending.items()],
    }
    for name in (
        c.SLO_BUDGET_REMAINING,
        c.SLO_BURN_RATE,
        c.SLO_COVERAGE,
        c.SLO_EVENTS,
        c.RUNS,
        c.RUNS_REFUSED,
    ):
        found[name] = []
    for evaluation in snapshot.evaluations:
        _level(evaluation, found)
    _runs(snapshot, found)
    return found


def _level(evaluation: Evaluation, found: dict[str, Samples]) -> None:
    who = {**dict(evaluation.group), "slo": evaluation.slo.name, "service": evaluation.slo.service}
    if isinstance(evaluation.budget_remaining, Measured):
        found[c.SLO_BUDGET_REMAINING].append((who, float(evaluation.budget_remaining.value)))
    for window, burn in evaluation.burn.items():
        if isinstance(burn, Measured):
            found[c.SLO_BURN_RATE].append(({**who, "window": window}, float(burn.value)))
    found[c.SLO_COVERAGE].append((who, float(evaluation.coverage)))
    good = evaluation.total - evaluation.bad
    found[c.SLO_EVENTS].append(({**who, "verdict": "good"}, float(good)))
    found[c.SLO_EVENTS].append(({**who, "verdict": "bad"}, float(evaluation.bad)))


def _runs(snapshot: Snapshot, found: dict[str, Samples]) -> None:
    results: dict[tuple[str, str], int] = {}
    for (runbook, state, reason), count in snapshot.counts.runs.items():
        if state in ENDED:
            results[runbook, state.value] = results.get((runbook, state.value), 0) + count
        if state is RunState.REFUSED:
            found[c.RUNS_REFUSED].append(({"runbook": runbook, "reason": reason}, float(count)))
    for (runbook, result), count in results.items():
        found[c.RUNS].append(({"runbook": runbook, "result": result}, float(count)))
