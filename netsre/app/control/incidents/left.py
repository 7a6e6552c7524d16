"""What is left to do about an incident, the most urgent first."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from netsre.alerting import describe
from netsre.app.control.incidents import causes
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.incidents.shapes import RunStory, Todo
from netsre.model.alerts import Alert, AlertState
from netsre.model.runbooks import Run, RunState


def left(facts: Facts, runs: Sequence[RunStory]) -> list[Todo]:
    """Return what a person has to do, or to wait for; empty when it is over."""
    firing = [alert for alert in facts.alerts if alert.state is AlertState.FIRING]
    # A question is told by the run that asks it.
    calls = [alert for alert in firing if dict(alert.labels)["alertname"] == describe.NEEDS_HUMAN]
    burning = causes.worst_first(firing)
    busy = {about for run in facts.runs if not run.ended for about in _about(run, facts)}
    todos = [
        *(_call(alert) for alert in calls),
        *(_decide(run) for run in runs if run.state == RunState.AWAITING_APPROVAL),
        *_untold(facts, burning),
        *(_wait(run) for run in runs if not run.ended and run.state != RunState.AWAITING_APPROVAL),
        *(_act(alert, facts, runs) for alert in burning if causes.cause(alert) not in busy),
        *_lasting(runs),
    ]
    # Page and ticket of one cause ask for one thing.
    return list({(todo.text, todo.link): todo for todo in todos}.values())


def web_address(text: str) -> str | None:
    """Return an address that a browser may follow; anything else, such as a script, is none."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.netloc else None


def _call(alert: Alert) -> Todo:
    said = alert.annotations
    parts = (said.get("summary", "").rstrip("."), said.get("description", ""))
    text = ". ".join(filter(None, parts))
    return Todo(text=f"Act: {text}", link=web_address(said.get("runbook_url", "")))


def _untold(facts: Facts, burning: Sequence[Alert]) -> Iterator[Todo]:
    told = {page.fingerprint for page in facts.pages} | {one.fingerprint for one in facts.received}
    silent = [
        alert for alert in burning if causes.is_page(dict(alert.labels)) and alert.fingerprint not in told
    ]
    if silent:
        names = ", ".join(dict.fromkeys(causes.named(dict(alert.labels)) for alert in silent))
        yield Todo(text=f"Nobody was paged: no Alertmanager has taken {names}.", link=None)


def _decide(run: RunStory) -> Todo:
    asked = run.approval
    until = "" if asked is None else f" until {asked.until[:19].replace('T', ' ')} UTC"
    how = f"netsre runbook approve {run.id}, or deny {run.id}"
    acts = " Without a word it acts by itself then." if asked is not None and asked.veto else ""
    text = f"Decide about run {run.id} of {run.runbook}, which waits{until}: {how}.{acts}"
    return Todo(text=text, link=None)


def _wait(run: RunStory) -> Todo:
    text = f"Wait for run {run.id} of {run.runbook} ({run.state}); change nothing of the same kind meanwhile."
    return Todo(text=text, link=None)


def _act(alert: Alert, facts: Facts, runs: Sequence[RunStory]) -> Todo:
    name = causes.named(dict(alert.labels))
    link = web_address(alert.annotations.get("runbook_url", ""))
    # Without a name of its own an alert leads to the list of all runbooks.
    own = link is not None and not urlsplit(link).path.endswith("/runbooks")
    text = f"{name} still fires: {'follow its runbook' if own else 'it has no runbook; act by hand'}."
    # What began after its end is trouble that it did not help.
    ids = {
        run.id
        for run in facts.runs
        if causes.cause(alert) in _about(run, facts) and alert.fired_at <= (run.ended_at or facts.now)
    }
    proven = [run for run in runs if run.id in ids and run.verify and run.reason == "verified"]
    if proven:
        helped = f"run {proven[-1].id} of {proven[-1].runbook} helped, as {proven[-1].verify} shows"
        text = f"{name} still fires, but {helped}: it should end soon, else follow its page."
    return Todo(text=text, link=link)


def _lasting(runs: Sequence[RunStory]) -> Iterator[Todo]:
    for run in runs:
        for step in run.steps:
            if step.in_force:
                until = (step.until or "")[:19].replace("T", " ")
                text = f"In force until {until} UTC: {step.said}. Find the cause before it ends by itself."
                yield Todo(text=text, link=None)


def _about(run: Run, facts: Facts) -> set[frozenset[tuple[str, str]]]:
    """Return what a run is about; empty where its alert is not shown."""
    return {causes.cause(alert) for alert in facts.alerts if alert.fingerprint == run.alert}
