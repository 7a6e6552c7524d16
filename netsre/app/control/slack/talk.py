"""What Slack is told of an incident: a first message that says where it stands, and replies with the details.

Each is a function of what is on record. A run that changes or changed something has a reply of its own, which
grows with it, and each question to people another one, which carries the buttons and becomes a stamp.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netsre.alerting import describe
from netsre.alerting.describe import Links
from netsre.app.control.incidents import causes, view
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.incidents.left import web_address
from netsre.app.control.incidents.shapes import IncidentView, RunStory, StepView
from netsre.app.control.slack import blocks, pages, questions
from netsre.app.control.slack.blocks import Button, Said
from netsre.clock import parse_rfc3339
from netsre.model.alerts import AlertState
from netsre.model.documents import Document
from netsre.model.holds import Pause
from netsre.model.runbooks import Run
from netsre.store.slack import PARENT

RUN: Final = "run/"
TAKE_OVER: Final = "netsre.take_over"
MOST_RUNS: Final = 20
"""Runs of one incident with a reply of their own, the newest."""
_MOST_CAUSES: Final = 5
_MOST_TODOS: Final = 5
_MOST_LINES: Final = 8
_LASTS: Final = re.compile(r"([0-9]+[a-z]+)+")
_MARKS: Final = {
    "done": "✔", "skipped": "-", "failed": "✖", "undone": "↩", "not_undone": "✖", "running": "▶",
    "unknown": "?", "waiting": "·", "not_reached": "·",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """All that what is said follows from."""

    facts: Facts
    pause: Pause | None
    """With which somebody took over."""
    links: Links


def keys(facts: Facts) -> list[str]:
    """Return which messages there are to be, the first one first."""
    runs = told_runs(facts)
    asked = [key for run in runs for key in questions.keys(run, facts)]
    return [PARENT, *asked, *pages.keys(facts), *(RUN + run.id for run in runs)]


def told_runs(facts: Facts) -> list[Run]:
    """Return the runs that have a reply: what a gate refused did nothing, and is a line of the first one."""
    return [run for run in facts.runs if run.counts or questions.keys(run, facts)][-MOST_RUNS:]


def say(known: Known, tokens: Mapping[str, str]) -> dict[str, Said]:
    """Return what every message says by key; `tokens` are what the buttons of each one carry."""
    facts = known.facts
    story = view.build(facts)
    by_id = {run.id: run for run in story.runs}
    told = {PARENT: _parent(known, story, tokens[PARENT])}
    told |= {key: pages.say(key, facts) for key in pages.keys(facts)}
    for run in told_runs(facts):
        for key in questions.keys(run, facts):
            told[key] = questions.say(key, run, facts, tokens[key])
        told[RUN + run.id] = _run(by_id[run.id])
    return told


def may_be_taken(facts: Facts) -> bool:
    """Tell whether there is something that a person can take over: an open incident that has runs."""
    return facts.incident.closed_at is None and any(run.target for run in facts.runs)


def _parent(known: Known, story: IncidentView, token: str) -> Said:
    state = "🔴 OPEN" if story.state == "open" else "✅ closed"
    head = f"{state}{f' {story.severity}' if story.severity else ''}: {story.title}"
    parts: list[Document] = [
        blocks.header(head),
        blocks.section([*_causes(known, story), "", *_figures(known, story)]),
        blocks.section([*_automation(story), *_todos(story)]),
        blocks.context(_foot(known, story)),
    ]
    if known.pause is not None:
        parts.append(blocks.section([_taken(known.pause)]))
    elif may_be_taken(known.facts):
        parts.append(blocks.actions([_take_over(token)]))
    now = next(iter(_automation(story)), "")
    return Said(blocks.escape(head, 500) + (f"\n{now}" if now else ""), tuple(parts))


def _causes(known: Known, story: IncidentView) -> list[str]:
    firing = [alert for alert in known.facts.alerts if alert.state is AlertState.FIRING]
    lines = []
    for alert in causes.worst_first(firing or known.facts.alerts)[:_MOST_CAUSES]:
        name = causes.named(dict(alert.labels))
        named = blocks.link(web_address(alert.annotations.get("runbook_url", "")), name)
        lines.append(f"• *{named}*: {blocks.escape(alert.annotations.get('summary', ''), 350)}")
    calls = sum(describe.is_call(dict(alert.labels)) for alert in known.facts.alerts)
    others = causes.others(story.alerts_total - calls, len(lines))
    return [*lines, *([f"_{others}_"] if others else [])]


def _figures(known: Known, story: IncidentView) -> list[str]:
    facts = known.facts
    where = story.node if not story.node.startswith("~") else "no one node"
    ended = "" if facts.incident.closed_at is None else f" until {blocks.moment(facts.incident.closed_at)}"
    lines = [
        f"*Where* {blocks.code(where)}",
        f"*Since* {blocks.moment(facts.incident.opened_at)}{ended}",
    ]
    budgets = dict.fromkeys(_budget(alert.annotations, dict(alert.labels)) for alert in facts.alerts)
    told = [text for text in budgets if text][:_MOST_CAUSES]
    return [*lines, *([f"*Budget* {'; '.join(told)}"] if told else [])]


def _budget(annotations: Mapping[str, str], labels: Mapping[str, str]) -> str:
    left, slo = annotations.get("budget_remaining", ""), labels.get("slo", "")
    if not left or not slo:
        return ""
    ends = annotations.get("time_to_exhaustion", "")
    # Instead of how long it lasts it can say that it does not, or why that is not known.
    soon = f", spent in {ends} at this rate" if _LASTS.fullmatch(ends) else ""
    return f"{blocks.escape(slo, 100)}: {blocks.escape(left, 60)} left{soon}"


def _automation(story: IncidentView) -> list[str]:
    counted = [run for run in story.runs if run.accepted or run.steps]
    refused = [run for run in story.runs if run not in counted]
    lines = [
        f"{blocks.escape(run.runbook, 100)} on {blocks.code(run.target)}: {_stands(run)}" for run in counted
    ]
    lines += [
        f"{blocks.escape(run.runbook, 100)} did not act: {blocks.escape(run.reason.replace('_', ' '), 100)}"
        for run in refused
    ]
    lines = list(dict.fromkeys(lines))
    if not lines:
        return ["*Automation* does nothing about it"]
    more = [f"… and {len(lines) - _MOST_LINES} more runs"] if len(lines) > _MOST_LINES else []
    return [f"*Automation* {line}" for line in lines[:_MOST_LINES]] + more


def _stands(run: RunStory) -> str:
    """Say in a few words where a run is."""
    if run.ended:
        return f"*{run.state.replace('_', ' ')}* ({blocks.escape(run.reason.replace('_', ' '), 100)})"
    if run.state == "verifying":
        passed = sum(sample.verdict == "pass" for sample in run.samples)
        return f"*verifying*, {passed} of {len(run.samples)} looks were good"
    at_work = next((step for step in run.steps if step.state == "running"), None)
    doing = f", step {at_work.step + 1} {blocks.escape(at_work.action, 80)}" if at_work is not None else ""
    return f"*{run.state.replace('_', ' ')}*{doing}"


def _todos(story: IncidentView) -> list[str]:
    if not story.left:
        return ["*Left to do* nothing"] if story.state == "closed" else []
    lines = [f"• {_todo(todo.text, todo.link)}" for todo in story.left[:_MOST_TODOS]]
    more = len(story.left) - len(lines)
    return ["*Left to do*", *lines, *([f"… and {more} more"] if more > 0 else [])]


def _todo(text: str, address: str | None) -> str:
    return blocks.escape(text, 400) + (f" {blocks.link(address, 'page')}" if address else "")


def _foot(known: Known, story: IncidentView) -> str:
    named = blocks.link(web_address(f"{known.links.base}/incidents/{story.id}"), f"incident {story.id}")
    moments = story.times.model_dump()
    told = [
        f"{name.replace('_', ' ')} {blocks.moment(parse_rfc3339(at))}"
        for name in ("detected", "paged", "first_effect", "verified", "closed")
        if (at := moments[name]) is not None
    ]
    return " · ".join([named, *told])


def _taken(pause: Pause) -> str:
    until = blocks.moment(pause.until)
    return f"✋ *Taken over by {blocks.escape(pause.owner, 100)}*; automation leaves it alone until {until}"


def _take_over(token: str) -> Button:
    return Button(
        "Take over",
        TAKE_OVER,
        token,
        "",
        "Take over?",
        "Every run that goes on ends, and what it changed is taken back; what others did stays until its own "
        "end. Nothing new is begun on their targets for an hour.",
        "I take over",
    )


def _run(run: RunStory) -> Said:
    head = f"*{blocks.escape(run.runbook, 100)}* on {blocks.code(run.target)}: {_stands(run)}"
    lines = [_step(step) for step in run.steps]
    parts = [blocks.section([head, *lines])]
    checks = [*_looks(run), *_notes(run)]
    if checks:
        parts.append(blocks.section(checks))
    parts.append(blocks.context(f"run {blocks.code(run.id)}, since {_at(run.started_at)}{_asker(run)}"))
    return Said(head, tuple(parts))


def _asker(run: RunStory) -> str:
    return "" if run.requested_by is None else f", asked for by {blocks.escape(run.requested_by, 100)}"


def _step(step: StepView) -> str:
    said = f": {blocks.escape(step.said, 300)}" if step.said else ""
    lasts = f", until {_at(step.until)}" if step.in_force and step.until is not None else ""
    mark, state = _MARKS.get(step.state, "·"), step.state.replace("_", " ")
    # What was left out says so itself.
    told = said.removeprefix(":") if step.state == "skipped" and said else f" {state}{said}"
    return f"{mark} {blocks.code(step.action)}{told}{lasts}"


def _looks(run: RunStory) -> Iterator[str]:
    if run.samples and run.verify is not None:
        last = run.samples[-1]
        passed = sum(sample.verdict == "pass" for sample in run.samples)
        told = f"{passed} of {len(run.samples)} looks were good"
        why = blocks.escape(last.reason.replace("_", " "), 150)
        yield f"*Verified by {blocks.escape(run.verify, 100)}* {told}; the last: {last.verdict} ({why})"


def _notes(run: RunStory) -> Sequence[str]:
    return [f"_{blocks.escape(note.note.replace('_', ' '), 300)}_" for note in run.notes[-_MOST_LINES:]]


def _at(text: str) -> str:
    return blocks.moment(parse_rfc3339(text))


def pause_of(pauses: Iterable[Pause], incident: str) -> Pause | None:
    """Return the pause with which somebody took an incident over, if one stands."""
    return next((pause for pause in pauses if pause.reason == taking(incident)), None)


def taking(incident: str) -> str:
    """Return the reason of a pause with which somebody takes an incident over."""
    return f"incident {incident} is taken over"
