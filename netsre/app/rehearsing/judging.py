"""How everything stands, what a scenario expects of it, and the story of how it came to that."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netsre.alerting import describe
from netsre.app import run_lines
from netsre.app.rehearsing.node import VirtualNode, matches, written
from netsre.clock import Timestamp
from netsre.model import literals
from netsre.model.alerts import Alert, AlertState
from netsre.model.documents import Document
from netsre.model.levels import Origin
from netsre.model.runbooks import JournalEntry, JournalKind, Run
from netsre.model.scenarios import ExpectedRun, Look
from netsre.runbook.actions.notify import NOTICE
from netsre.store.database import Store

QUESTION: Final = "approval"
"""Among the calls: people are asked about a plan."""
EARLIER: Final = "earlier"
"""Begins the names of runs that were before a scenario."""
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """Something is not as expected."""

    origin: Origin
    what: str
    """A key of the look; empty where nothing may ever be so."""
    expected: str | None
    seen: str


@dataclass(frozen=True, slots=True)
class State:
    """How everything stands."""

    runs: tuple[Run, ...]
    """Oldest first."""
    journal: tuple[JournalEntry, ...]
    """Of the newest run."""
    calls: tuple[str, ...]
    applied: tuple[Document, ...]
    undone: tuple[Document, ...]
    in_force: tuple[Document, ...]


def state(store: Store, node: VirtualNode) -> State:
    """Return how everything stands now."""
    with store.read() as transaction:
        found = [run for run in transaction.runs.newest(_MOST) if not run.id.startswith(EARLIER)]
        # Two that began in one moment: by name, as they are given out.
        runs = tuple(sorted(found, key=lambda run: (run.started_at, run.id)))
        journal = transaction.runs.journal([runs[-1].id])[runs[-1].id] if runs else ()
        alerts = transaction.alerts.newest(_MOST)
    return State(
        runs,
        journal,
        tuple(_calls(alerts)),
        tuple(written(one) for one in node.applied),
        tuple(written(one) for one in node.undone),
        tuple(written(one.effect) for one in node.in_force()),
    )


def _calls(alerts: Iterable[Alert]) -> Iterator[str]:
    for alert in sorted(alerts, key=lambda one: one.fired_at):
        name = dict(alert.labels).get("alertname")
        if name == describe.NEEDS_HUMAN:
            yield alert.annotations.get("reason", "")
        elif name == describe.AWAITS_APPROVAL:
            yield QUESTION


def compare(look: Look, found: State) -> Iterator[Difference]:
    """Yield what is not as expected."""
    if look.runs is not None and not _runs_agree(look.runs, found.runs):
        seen = _list(f"{run.state} ({run.reason})" for run in found.runs)
        yield Difference(look.origin, "runs", _list(_run(one) for one in look.runs), seen)
    listed = (
        ("effects", look.effects, found.applied),
        ("undone", look.undone, found.undone),
        ("inForce", look.in_force, found.in_force),
    )
    for what, wanted, done in listed:
        if wanted is not None and not _effects_agree(wanted, done):
            yield Difference(look.origin, what, _list(map(_effect, wanted)), _list(map(_effect, done)))
    texts = (
        ("samples", look.samples, _samples(found.journal)),
        ("evidence", look.evidence, _evidence(found.journal)),
        ("calls", look.calls, found.calls),
        ("told", look.told, _told(found.journal)),
    )
    for what, expected, seen_texts in texts:
        if expected is not None and expected != seen_texts:
            yield Difference(look.origin, what, _list(expected), _list(seen_texts))


def end(found: State) -> Mapping[str, str]:
    """Return what must be the same in the end wherever a controller is killed, by the keys of looks."""
    return {
        "runs": _list(f"{run.state} ({run.reason})" for run in found.runs),
        "effects": _list(map(_effect, found.applied)),
        "undone": _list(map(_effect, found.undone)),
        "inForce": _list(map(_effect, found.in_force)),
        "calls": _list(found.calls),
    }


def story(store: Store, told: Iterable[tuple[Timestamp, str]]) -> list[tuple[Timestamp, str, str]]:
    """Return all that happened, in order: what was told, alerts, and the lines of the journals."""
    with store.read() as transaction:
        runs = [run for run in transaction.runs.newest(_MOST) if not run.id.startswith(EARLIER)]
        journals = transaction.runs.journal([run.id for run in runs])
        alerts = transaction.alerts.newest(_MOST)
    lines = [(at, 0, "world", text) for at, text in told]
    lines += [line for alert in alerts for line in _alert(alert)]
    for run in sorted(runs, key=lambda run: (run.started_at, run.id)):
        lines += [(entry.at, 2, "run", _line(entry)) for entry in journals[run.id]]
        if run.ended_at is not None:
            lines.append((run.ended_at, 3, "run", f"ends {run.state} ({run.reason})"))
    return [
        (at, who, literals.printable(text)) for at, _, who, text in sorted(lines, key=lambda one: one[:2])
    ]


def _alert(alert: Alert) -> Iterator[tuple[Timestamp, int, str, str]]:
    pairs = dict(alert.labels)
    name = pairs.get("alertname", "")
    if name == describe.NEEDS_HUMAN:
        name = f"{name} ({alert.annotations.get('reason', '')})"
    yield alert.fired_at, 1, "alert", f"{name} fires"
    if alert.state is AlertState.RESOLVED and alert.resolved_at is not None:
        yield alert.resolved_at, 1, "alert", f"{name} ends"


def _line(entry: JournalEntry) -> str:
    step = f" {entry.step} {entry.action}" if entry.step >= 0 else ""
    return f"{entry.kind}{step}: {run_lines.said(entry.kind.value, entry.data)}"


def _runs_agree(wanted: Sequence[ExpectedRun], found: Sequence[Run]) -> bool:
    return len(wanted) == len(found) and all(
        one.state is run.state and one.reason in (None, run.reason)
        for one, run in zip(wanted, found, strict=True)
    )


def _effects_agree(wanted: Sequence[Document], done: Sequence[Document]) -> bool:
    return len(wanted) == len(done) and all(map(matches, wanted, done))


def _samples(journal: Iterable[JournalEntry]) -> tuple[str, ...]:
    return tuple(str(entry.data.get("verdict")) for entry in journal if entry.kind is JournalKind.SAMPLE)


def _evidence(journal: Iterable[JournalEntry]) -> tuple[str, ...]:
    found = {topic for seen in _seen(journal) for topic in seen}
    return tuple(sorted(found - {"read_at", NOTICE}))


def _told(journal: Iterable[JournalEntry]) -> tuple[str, ...]:
    return tuple(str(seen[NOTICE]) for seen in _seen(journal) if NOTICE in seen)


def _seen(journal: Iterable[JournalEntry]) -> Iterator[Mapping[str, object]]:
    for entry in journal:
        seen = entry.data.get("evidence")
        if entry.kind is JournalKind.OUTCOME and isinstance(seen, dict):
            yield seen


def _run(one: ExpectedRun) -> str:
    return one.state.value if one.reason is None else f"{one.state} ({one.reason})"


def _effect(document: Document) -> str:
    return run_lines.fields_text(document)


def _list(texts: Iterable[str]) -> str:
    return ", ".join(texts) or "none"
